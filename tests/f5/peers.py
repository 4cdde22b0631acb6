"""Servers that are no BIG-IP, or one in trouble: TLS with a certificate that a test chooses, answers that a test writes.

Rule of this file: they speak real TLS and HTTP on 127.0.0.1, count what they decrypt, and end with their block.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle

TOKEN = "ZZ42XIKJMI6UGXDD7I3VU52EUY"
Answer = tuple[int, dict[str, str], bytes]
SILENCE: None = None
"""Says nothing, and keeps the connection until the test is over."""


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def context_of(bundle: Bundle, folder: Path) -> ssl.SSLContext:
    """A server's side of TLS with this certificate."""
    folder.mkdir(parents=True, exist_ok=True)
    pem = folder / f"{bundle.fingerprint[:16]}.pem"
    key = bundle.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(key + b"".join(one.public_bytes(Encoding.PEM) for one in (bundle.leaf, *bundle.chain)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


class Peer:
    """Listens with TLS. ``answer`` gets each request; ``tls`` may be exchanged while it runs: the next connection meets it."""

    def __init__(self, tls: ssl.SSLContext | None, answer: Callable[[Asked], Answer | None]) -> None:
        """Without ``tls`` it accepts connections and never says a word."""
        self.tls = tls
        self.answer = answer
        self.asked: list[Asked] = []
        self.connections = 0
        self.decrypted = 0
        self.failed_handshakes = 0
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for one in self._open:
            one.close()

    def _start(self, work: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        if self.tls is None:
            self._over.wait()
            return
        try:
            secure = self.tls.wrap_socket(client, server_side=True)
        except OSError:  # ssl.SSLError is one
            self.failed_handshakes += 1
            client.close()
            return
        self._open.append(secure)
        with suppress(OSError), secure:
            while (asked := self._read(secure)) is not None:
                self.asked.append(asked)
                answer = self.answer(asked)
                if answer is None:
                    self._over.wait()
                    return
                status, headers, body = answer
                lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
                head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
                secure.sendall(head.encode() + body)
                if headers.get("Connection") == "close":
                    return

    def _read(self, secure: ssl.SSLSocket) -> Asked | None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more(secure)
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", "0")):
            body += self._more(secure)
        method, path, _ = first.split(" ")
        return Asked(method, path, headers, body)

    def _more(self, secure: ssl.SSLSocket) -> bytes:
        try:
            data = secure.recv(65536)
        except ssl.SSLError:
            self.failed_handshakes += 1  # with TLS 1.3 a client's refusal of the certificate comes after our last word
            raise
        if not data:
            raise ConnectionResetError
        self.decrypted += len(data)
        return data


def in_json(body: Any, status: int = 200, **headers: str) -> Answer:
    """An answer as a REST API gives it."""
    return status, {"Content-Type": "application/json", **headers}, json.dumps(body).encode()


def page(text: str = "<html><body>Welcome</body></html>", status: int = 200) -> Answer:
    """An answer of a web site."""
    return status, {"Content-Type": "text/html"}, text.encode()


def always(answer: Answer | None) -> Callable[[Asked], Answer | None]:
    """The same answer to everything."""

    def say(_: Asked) -> Answer | None:
        return answer

    return say


def like_a_bigip(asked: Asked) -> Answer:
    """Just enough to be logged in to: the login, the version, an open transaction; anything else is done and says nothing."""
    if asked.path == "/mgmt/shared/authn/login":
        return in_json({"token": {"token": TOKEN}})
    if asked.path == "/mgmt/tm/sys/":
        return in_json({"kind": "tm:sys:syscollectionstate", "selfLink": "https://localhost/mgmt/tm/sys?ver=14.1.2.1"})
    if asked.path == "/mgmt/tm/transaction/":
        return in_json({
            "transId": 7, "kind": "tm:transactionstate", "selfLink": "https://localhost/mgmt/tm/transaction/7?ver=14.1.2.1",
        })  # fmt: skip
    return in_json({})


class Management:
    """A CA of a test's own, and the certificates of management addresses."""

    def __init__(self, folder: Path, name: str = "management") -> None:
        self.ca = TestCA.new(name)
        self._folder = folder
        self.ca_file = folder / f"{name}.pem"
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_file.write_bytes(self.ca.root_pem)

    def tls(self, *names: str) -> ssl.SSLContext:
        """A server's side of TLS for these names; 127.0.0.1 where none is given."""
        return context_of(self.ca.issue(names or ("127.0.0.1",), key="ec256"), self._folder)
