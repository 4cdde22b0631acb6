"""One TCP connection, with or without TLS: what came and is not read yet, back pressure both ways, an idle time, a real reset.

Rule of this room: one reader and one writer at a time. It knows no HTTP.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress

CHUNK = 64 * 1024
_HIGH = 4 * CHUNK
_LOW = CHUNK
_CLOSE_WAIT_S = 5.0
"""A peer that has said its last word, and is told nothing either, is given up."""
_LINGER_NOT = struct.pack("ii", 1, 0)


class Wire(asyncio.Protocol):
    """One end of one connection. ``tls`` is the tunnel once there is one."""

    def __init__(self, idle_s: float) -> None:
        """``idle_s``: seconds without a byte in either direction after which it is reset."""
        self.idle_s = idle_s
        self.buffer = bytearray()
        self.eof = False
        self.lost = False
        self.tls: ssl.SSLObject | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._broken = False
        self._parked = False
        self._held = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._full = False
        self._touched = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._when_lost: list[Callable[[], None]] = []

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there; with TLS, the handshake is over."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  streams are all that is asked for
        self._transport = transport
        self.tls = transport.get_extra_info("ssl_object")
        # asyncio sets it only where the socket says that it is TCP's, as one that was accepted does not.
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._touched = self._loop.time()
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        self.buffer += data
        self._touched = self._loop.time()
        if len(self.buffer) > _HIGH and self._transport is not None and not self._held:
            self._held = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        """The peer has said its last word. It may still listen, unless TLS ended with it or nobody talks to it any more."""
        self.eof = True
        self._hurry()
        _wake(self._reader)
        return self.tls is None and not self._parked

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.lost = self.eof = True
        self._broken = exc is not None
        if self._timer is not None:
            self._timer.cancel()
        _wake(self._reader)
        _wake(self._writer)
        waiting, self._when_lost = self._when_lost, []
        for callback in waiting:
            callback()

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        self._full = True

    def resume_writing(self) -> None:
        """It does again."""
        self._full = False
        _wake(self._writer)

    # Reading.

    async def more(self) -> bool:
        """Wait for bytes that are not in the buffer yet; false when none will come. Raises ConnectionResetError."""
        if not self.eof:
            self._resume()
            self._reader = self._loop.create_future()
            before = len(self.buffer)
            try:
                await self._reader
            finally:
                self._reader = None
            if len(self.buffer) > before:
                return True
        if self._broken:
            raise ConnectionResetError
        return False

    def take(self, limit: int) -> bytes:
        """What is there, at most so many bytes."""
        if limit >= len(self.buffer):
            data = bytes(self.buffer)
            self.buffer.clear()
        else:
            data = bytes(self.buffer[:limit])
            del self.buffer[:limit]
        if len(self.buffer) < _LOW:
            self._resume()
        return data

    def _resume(self) -> None:
        if self._held and self._transport is not None and not self.lost:
            self._held = False
            self._transport.resume_reading()

    # Writing.

    @property
    def connected(self) -> bool:
        """True once it was there."""
        return self._transport is not None

    def write(self, data: bytes) -> None:
        """Send. Raises ConnectionResetError when it is gone."""
        if self._transport is None or self.lost or self._transport.is_closing():
            raise ConnectionResetError
        self._touched = self._loop.time()
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the peer keeps up. Raises ConnectionResetError."""
        if not self._full:
            return
        while self._full and not self.lost:
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        self._touched = self._loop.time()
        if self.lost:
            raise ConnectionResetError

    def finish(self) -> None:
        """Say the last word, and listen on where that can be told (TLS cannot)."""
        if self._transport is None or self.lost or self._transport.is_closing():
            return
        if self.tls is None:
            self._transport.write_eof()
        else:
            self.close()

    # Ending.

    def park(self, idle_s: float | None = None) -> None:
        """Nobody talks to the peer for now: when it closes, so does this end. ``idle_s`` is another idle time meanwhile."""
        self._parked = True
        if self.eof:
            self.close()
        elif idle_s is not None:
            self._rest(idle_s)

    def unpark(self, idle_s: float | None = None) -> bool:
        """Somebody wants to talk; false where the connection is no good any more. ``idle_s`` is its idle time from now on."""
        self._parked = False
        if idle_s is not None and not self.eof:
            self._rest(idle_s)
        return not (self.eof or self.buffer or self._transport is None or self._transport.is_closing())

    def close(self) -> None:
        """Send what is written and end it."""
        if self._transport is not None and not self._transport.is_closing():
            # A TLS peer that does not answer the farewell would hold it open.
            self._hurry()
            self._transport.close()

    def reset(self) -> None:
        """End it with a TCP reset."""
        if self._transport is None or self.lost:
            return
        raw: socket.socket | None = self._transport.get_extra_info("socket")
        if raw is not None:
            with suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.abandon()

    def abandon(self) -> None:
        """End it now: nothing more is read, sent or said, not even TLS's farewell."""
        if self._transport is not None and not self.lost:
            self._transport.abort()

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Call back once it is gone; at once where it is."""
        if self.lost:
            callback()
        else:
            self._when_lost.append(callback)

    def _hurry(self) -> None:
        self._rest(min(self.idle_s, _CLOSE_WAIT_S))

    def _rest(self, idle_s: float) -> None:
        self.idle_s = idle_s
        self._touched = self._loop.time()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.lost or math.isinf(self.idle_s):
            return
        due_s = self._touched + self.idle_s - self._loop.time()
        if due_s <= 0:
            self.reset()
        else:
            self._timer = self._loop.call_later(due_s, self._arm)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


async def relay(one: Wire, other: Wire) -> None:
    """Carry bytes both ways until both sides have said their last word. Raises ConnectionResetError."""
    ways = [asyncio.ensure_future(_carry(one, other)), asyncio.ensure_future(_carry(other, one))]
    try:
        await asyncio.gather(*ways)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _carry(source: Wire, sink: Wire) -> None:
    while True:
        if source.buffer:
            sink.write(source.take(CHUNK))
            await sink.drain()
        elif not await source.more():
            break
    if source.lost:
        sink.close()
    else:
        sink.finish()
