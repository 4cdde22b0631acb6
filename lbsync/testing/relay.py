"""A TCP relay that counts round trips: how often the client speaks again after the server has answered.

Rule of this room: it passes bytes on in their order and looks at their direction only. A count does not depend on how fast the
machine is, as a time would; where both sides speak at once it counts more than a network would make one wait. For that there
is the delay: what takes longer by it, divided by it, is what was waited for.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from types import TracebackType
from typing import Self

_POLL_S = 0.05


class CountingRelay:
    """Listens on 127.0.0.1 and leads to ``address``:``port``; ``turns`` and ``connections`` count from the beginning.

    ``delay_s`` is how long bytes are on their way, in each direction, so half a round trip; it may be changed at any time.
    """

    def __init__(self, address: str, port: int, *, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self._to = (address, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.turns = 0
        self.connections = 0
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, work: object, *args: socket.socket) -> None:
        assert callable(work)
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(_POLL_S)
        while not self._ending.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            self._start(self._pass_on, client)

    def _pass_on(self, client: socket.socket) -> None:
        """One connection until either side ends it. A turn is counted when the client speaks first or after the server."""
        with client, socket.create_connection(self._to) as server, selectors.DefaultSelector() as ready:
            other = {client: server, server: client}
            for end in other:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ready.register(end, selectors.EVENT_READ)
            last = server
            under_way = _UnderWay()
            while not self._ending.is_set() and under_way.deliver():
                for key, _ in ready.select(under_way.wait_s()):
                    side = key.fileobj
                    assert isinstance(side, socket.socket)
                    data = _received(side)
                    under_way.add(time.monotonic() + self.delay_s, other[side], data)
                    if not data:
                        ready.unregister(side)
                        continue
                    if side is client and last is server:
                        self.turns += 1
                    last = side


class _UnderWay:
    """What came and has not arrived yet: when it shall, to whom, and what; nothing stands for the end."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, socket.socket, bytes]] = deque()

    def add(self, due: float, to: socket.socket, data: bytes) -> None:
        """Something came."""
        self._waiting.append((due, to, data))

    def wait_s(self) -> float:
        """Seconds until the next is due, or until it is worth a look whether all shall end."""
        return max(0.0, min(_POLL_S, self._waiting[0][0] - time.monotonic())) if self._waiting else _POLL_S

    def deliver(self) -> bool:
        """Hand over what is due; false when that was the end, or nobody takes it any more."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, to, data = self._waiting.popleft()
            if not data:
                return False
            try:
                to.sendall(data)
            except ConnectionError:
                return False
        return True


def _received(side: socket.socket) -> bytes:
    """What came; nothing at the end, a reset among them."""
    try:
        return side.recv(65536)
    except ConnectionError:
        return b""
