"""Farms to drive, and clients that know nothing of the lab: unmodified pywinrm, http.client, pyspnego."""

from __future__ import annotations

import base64
import gc
import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import spnego
from spnego.channel_bindings import GssChannelBindings
from winrm.protocol import Protocol

from lbsync.lab.farm import LabFarm, LabServer, LabSpec

_SCRIPTS = files("lbsync").joinpath("exchange", "scripts")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Callable[..., LabFarm]]:
    """Start a farm; quiet, small and without faults unless the test says otherwise."""
    with ExitStack() as stack:
        base = LabSpec(servers=1, faults=0.0, oa_lag_s=0.1, gap_s=0.15, ping_s=0.2, seed=7)

        def start(**knobs: Any) -> LabFarm:
            return stack.enter_context(
                LabFarm(replace(base, **knobs), tmp_path / f"lab{len(list(tmp_path.iterdir()))}")
            )

        yield start


@dataclass
class Remote:
    """One WinRM client of one server, as a program using pywinrm would be."""

    protocol: Protocol

    def shell_run(self, script: str, params: Mapping[str, object]) -> tuple[bytes, bytes, int]:
        """Open a shell, run a script by the bootstrap, close the shell: raw stdout, stderr, code."""
        shell = self.protocol.open_shell(codepage=65001)
        try:
            command = self.protocol.run_command(
                shell,
                "powershell.exe",
                ["-NoProfile", "-EncodedCommand", base64.b64encode(text("bootstrap").encode("utf-16-le")).decode()],
                console_mode_stdin=False,
                skip_cmd_shell=True,
            )
            payload = base64.b64encode(json.dumps({"script": script, "params": params}).encode())
            for at in range(0, len(payload), 32768):
                last = at + 32768 >= len(payload)
                self.protocol.send_command_input(shell, command, payload[at : at + 32768], end=last)
            result = self.protocol.get_command_output(shell, command)
            self.protocol.cleanup_command(shell, command)
        finally:
            self.protocol.close_shell(shell)
        return result

    def run(self, name: str, params: Mapping[str, object]) -> dict[str, Any]:
        """A script's whole answer."""
        stdout, _stderr, code = self.shell_run(text(name), params)
        assert code == 0
        answer: dict[str, Any] = json.loads(base64.b64decode(stdout))
        return answer

    def result(self, name: str, params: Mapping[str, object]) -> dict[str, Any]:
        """A script's result; it must have succeeded."""
        answer = self.run(name, params)
        assert answer["ok"], answer
        result: dict[str, Any] = answer["result"]
        return result

    def error(self, name: str, params: Mapping[str, object]) -> dict[str, str]:
        """A script's error; it must have failed."""
        answer = self.run(name, params)
        assert not answer["ok"], answer
        error: dict[str, str] = answer["error"]
        return error


def text(name: str) -> str:
    """The text of a script of the package."""
    return _SCRIPTS.joinpath(f"{name}.ps1").read_text(encoding="utf-8")


@pytest.fixture
def remote() -> Iterator[Callable[..., Remote]]:
    """A WinRM client for one server of a farm; its connection is closed after the test, a refused one too."""
    opened: list[Protocol] = []

    def connect(farm: LabFarm, server: LabServer, **options: Any) -> Remote:
        host = "localhost" if farm.spec.tls_winrm else server.address
        settings: dict[str, Any] = {
            "transport": "ntlm",
            "username": farm.user,
            "password": farm.password,
            "message_encryption": "auto",
            "ca_trust_path": str(farm.directory / "ca.pem"),
            "proxy": None,
        }
        endpoint = f"{farm.winrm_scheme}://{host}:{server.winrm_port}/wsman"
        opened.append(Protocol(endpoint, **(settings | options)))
        return Remote(opened[-1])

    yield connect
    for protocol in opened:
        protocol.transport.close_session()
    # What pywinrm leaves open when a login fails inside it goes here, not in the middle of some other test.
    gc.collect()


@pytest.fixture
def inner() -> Callable[[LabFarm, LabServer], dict[str, object]]:
    """The ``exchange`` parameter with an explicit credential."""

    def explicit(farm: LabFarm, server: LabServer) -> dict[str, object]:
        return {"server": server.fqdn, "user": farm.user, "password": farm.password}

    return explicit


@dataclass
class Browser:
    """One connection of one client to a front end."""

    connection: http.client.HTTPConnection
    binding: bytes | None = None
    log: list[int] = field(default_factory=list)

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request: status, headers (names in lower case; repeated ones joined), body."""
        self.connection.request(method, path, body=body, headers=dict(headers or {}))
        answer = self.connection.getresponse()
        content = answer.read()
        joined: dict[str, str] = {}
        for name, value in answer.getheaders():
            key = name.lower()
            joined[key] = f"{joined[key]}, {value}" if key in joined else value
        self.log.append(answer.status)
        return answer.status, joined, content

    def ntlm(
        self, path: str, user: str, password: str, *, binding: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request with an NTLM handshake; ``binding`` replaces the one of this connection."""
        own = binding if binding is not None else self.binding
        bindings = GssChannelBindings(application_data=own) if own else None
        context = spnego.client(user, password, protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm,
                                channel_bindings=bindings)  # fmt: skip
        token = context.step()
        status, headers, content = self.ask(path, headers=_negotiate(token))
        if status != 401 or " " not in headers["www-authenticate"]:
            return status, headers, content
        challenge = base64.b64decode(headers["www-authenticate"].split(" ", 1)[1])
        return self.ask(path, headers=_negotiate(context.step(challenge)))


def _negotiate(token: bytes | None) -> dict[str, str]:
    return {"Authorization": f"NTLM {base64.b64encode(token or b'').decode()}"}


@pytest.fixture
def browse() -> Iterator[Callable[..., Browser]]:
    """Connect to a server's front end over ``http`` or ``https``."""
    with ExitStack() as stack:

        def connect(farm: LabFarm, server: LabServer, scheme: str = "http") -> Browser:
            if scheme == "http":
                plain = http.client.HTTPConnection(server.address, server.http_port, timeout=30)
                stack.callback(plain.close)
                return Browser(plain)
            context = ssl.create_default_context(cadata=farm.ca_pem)
            secure = _Named(server, context)
            stack.callback(secure.close)
            secure.connect()
            der = secure.sock.getpeercert(binary_form=True)
            assert der is not None
            return Browser(secure, b"tls-server-end-point:" + sha256(der).digest())

        yield connect


class _Named(http.client.HTTPSConnection):
    """HTTPS to an address, verified for the server's name."""

    def __init__(self, server: LabServer, context: ssl.SSLContext) -> None:
        super().__init__(server.fqdn, server.https_port, context=context, timeout=30)
        self._to = (server.address, server.https_port)
        self._context_of_ours = context

    def connect(self) -> None:
        import socket

        raw = socket.create_connection(self._to, timeout=30)
        self.sock = self._context_of_ours.wrap_socket(raw, server_hostname=self.host)
