"""A TCP relay that counts round trips: how often the client speaks again after the server has answered.

Rule of this room: it passes bytes on as they come and looks at their direction only. A count does not depend on how fast the
machine is, as a time would.
"""

from __future__ import annotations

import selectors
import socket
import threading
from types import TracebackType
from typing import Self

_POLL_S = 0.05


class CountingRelay:
    """Listens on 127.0.0.1 and leads to ``address``:``port``; ``turns`` and ``connections`` count from the beginning."""

    def __init__(self, address: str, port: int) -> None:
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
            for side in other:
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ready.register(side, selectors.EVENT_READ)
            last = server
            while not self._ending.is_set():
                for key, _ in ready.select(_POLL_S):
                    side = key.fileobj
                    assert isinstance(side, socket.socket)
                    data = _received(side)
                    if not data:
                        return
                    if side is client and last is server:
                        self.turns += 1
                    last = side
                    other[side].sendall(data)


def _received(side: socket.socket) -> bytes:
    """What came; nothing at the end, a reset among them."""
    try:
        return side.recv(65536)
    except ConnectionError:
        return b""
