"""Farms to talk to, and a WinRM endpoint that answers exactly what a test tells it."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lbsync.exchange.session import LoginGate, SessionPool, SessionSettings
from lbsync.lab import wsman
from lbsync.lab.farm import LabFarm, LabServer, LabSpec
from lbsync.testing.ca import TestCA

BASE = LabSpec(servers=1, faults=0.0, oa_lag_s=0.1, gap_s=0.1, warm_up_s=0.0, seed=7, data_plane=False)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Callable[..., LabFarm]]:
    """Start a farm: one server, no faults, no data path, unless the test says otherwise."""
    with ExitStack() as stack:
        started: list[LabFarm] = []

        def start(**knobs: Any) -> LabFarm:
            farm = stack.enter_context(LabFarm(replace(BASE, **knobs), tmp_path / f"lab{len(started)}"))
            started.append(farm)
            return farm

        yield start


@pytest.fixture
def settings() -> Callable[..., SessionSettings]:
    """Settings of a lab server; any field may be given otherwise."""

    def make(farm: LabFarm, name: str = "EX01", **fields: Any) -> SessionSettings:
        server: LabServer = farm.servers[name]
        known: dict[str, Any] = {
            "name": name,
            "address": server.address,
            "port": server.winrm_port,
            "scheme": farm.winrm_scheme,
            "server_name": server.fqdn,
            "user": farm.user,
            "password": lambda: farm.password,
            "ca_pem": farm.ca_pem,
        }
        return SessionSettings(**(known | fields))

    return make


@pytest.fixture
def pool(settings: Callable[..., SessionSettings]) -> Iterator[Callable[..., SessionPool]]:
    """A pool for a lab server, closed after the test."""
    with ExitStack() as stack:

        def make(farm: LabFarm, name: str = "EX01", *, gate: LoginGate | None = None, **fields: Any) -> SessionPool:
            return stack.enter_context(SessionPool(settings(farm, name, **fields), gate))

        yield make


Answer = tuple[int, bytes, dict[str, str]]
"""Status, body, further headers."""


@dataclass
class Double:
    """WinRM over TLS with Basic authentication. ``answer`` may replace any answer; ``stdout`` is what each command prints."""

    stdout: bytes = b""
    code: int = 0
    answer: Callable[[wsman.Message], Answer | None] = lambda _message: None
    challenge: str = 'Basic realm="WSMAN"'
    actions: list[str] = field(default_factory=list[str])
    stdin: list[bytes] = field(default_factory=list[bytes])
    closed: int = 0
    port: int = 0
    ca_pem: str = ""
    address: str = "127.0.0.1"
    certificate: Path = Path()
    """Its certificate and key, which its CA would also accept from a client."""

    def says(self, answer: object) -> None:
        """Print this as the bootstrap would."""
        self.stdout = base64.b64encode(json.dumps(answer).encode())

    def settings(self, **fields: Any) -> SessionSettings:
        """Settings to reach it; any field may be given otherwise."""
        known: dict[str, Any] = {
            "name": "EX01",
            "address": self.address,
            "port": self.port,
            "server_name": "ex01.contoso.test",
            "transport": "basic",
            "user": "LAB\\lbsync",
            "password": lambda: "S3cret-of-the-double",
            "ca_pem": self.ca_pem,
        }
        return SessionSettings(**(known | fields))

    def respond(self, message: wsman.Message) -> Answer:
        """What a good server answers, unless the test said otherwise."""
        self.actions.append(message.action)
        told = self.answer(message)
        if told is not None:
            return told
        match message.action:
            case "Create":
                body = wsman.created(message, "SHELL")
            case "Command":
                body = wsman.commanded(message, "COMMAND")
            case "Receive":
                body = wsman.received(message, self.stdout, b"", self.code)
            case action:
                if action == "Send":
                    self.stdin.append(message.stdin)
                self.closed += action == "Delete"
                body = wsman.done(message)
        return 200, body, {"Content-Type": "application/soap+xml;charset=UTF-8"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    double: Double

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""

    @property
    def _credentials(self) -> str:
        return self.headers.get("Authorization") or ""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = self.connection
        certified = (
            isinstance(connection, ssl.SSLSocket) and connection.getpeercert() and "/https/mutual" in self._credentials
        )
        if not (self._credentials.startswith("Basic ") or certified):
            answer: Answer = (401, b"", {"WWW-Authenticate": self.double.challenge})
        else:
            answer = self.double.respond(wsman.parse(body))
        status, reply, headers = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)
        self.wfile.flush()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that turns away is no error here."""


class _Server6(_Server):
    address_family = socket.AF_INET6


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Callable[..., Double]]:
    """Start a double; by default on 127.0.0.1 with a certificate for ex01.contoso.test."""
    with ExitStack() as stack:

        def start(address: str = "127.0.0.1", names: tuple[str, ...] = ("ex01.contoso.test",)) -> Double:
            ca = TestCA.new("double", intermediate=False)
            file = tmp_path / f"double{len(list(tmp_path.iterdir()))}.pem"
            file.write_bytes(ca.issue(list(names), key="ec256").pem())
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(file)
            context.load_verify_locations(cadata=ca.root_pem.decode())
            context.verify_mode = ssl.CERT_OPTIONAL
            made = Double(ca_pem=ca.root_pem.decode(), address=address, certificate=file)
            handler = type("Handler", (_Handler,), {"double": made})
            server = (_Server6 if ":" in address else _Server)((address, 0), handler)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            made.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return made

        yield start
