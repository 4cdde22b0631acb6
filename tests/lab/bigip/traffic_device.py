"""A data plane under test, and configurations for it written by hand, object by object.

Rule of this file: it writes what REST would show, and knows nothing of how it is read.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lbsync.lab.bigip.plane import Config
from lbsync.lab.bigip.traffic import Traffic
from lbsync.testing.ca import TestCA
from lbsync.testing.ports import free_port
from lbsync_certs import Bundle
from tests.balancers.by_hand import Peer

PATIENCE_S = 20.0
HOST = "mail.contoso.test"
Object = dict[str, Any]


def forward(pool: str) -> Object:
    """An action that selects a pool."""
    return {"forward": True, "select": True, "request": True, "pool": f"/Common/{pool}"}


NO_SERVER_SSL: Object = {"disable": True, "serverSsl": True, "request": True}
SERVER_SSL: Object = {"enable": True, "serverSsl": True, "request": True}
RESET: Object = {"shutdown": True, "connection": True, "request": True}


def redirect(location: str) -> Object:
    """An action that answers 302."""
    return {"httpReply": True, "redirect": True, "request": True, "location": location}


def path_starts(*values: str, **more: Any) -> Object:
    """A condition on the path, in any case."""
    return {"httpUri": True, "path": True, "startsWith": True, "caseInsensitive": True, "request": True,
            "present": True, "values": list(values)} | more  # fmt: skip


@dataclass
class Device:
    """A data plane with the objects it is given; ``apply`` makes them run."""

    directory: Path
    objects: dict[str, dict[str, Object]] = field(default_factory=dict[str, dict[str, Object]])
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def __post_init__(self) -> None:
        """A data plane that is not started yet."""
        self.traffic = Traffic(self.directory)

    def __enter__(self) -> Self:
        self.traffic.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        mishaps = self.traffic.mishaps
        self.traffic.stop()
        if kind is None:
            assert mishaps == ()

    def put(self, collection: str, name: str, **properties: Any) -> Object:
        """One object of the Common partition."""
        path = f"/Common/{name}"
        body = {"name": name, "partition": "Common", "fullPath": path} | properties
        self.objects.setdefault(collection, {})[path] = body
        return body

    def pool(self, name: str, *members: tuple[str, int], **properties: Any) -> Object:
        """A pool of these addresses and ports."""
        entries = [
            {"name": f"{address}:{port}", "partition": "Common", "fullPath": f"/Common/{address}:{port}",
             "address": address, "session": "user-enabled", "state": "unchecked"}
            for address, port in members
        ]  # fmt: skip
        return self.put("ltm/pool", name, members=entries, **({"loadBalancingMode": "round-robin"} | properties))

    def certificate(self, name: str, leaf: Bundle) -> Object:
        """File objects of a certificate; returns what a ``certKeyChain`` says of them."""
        pem = leaf.pem().split(b"-----BEGIN PRIVATE KEY")
        key, certificates = b"-----BEGIN PRIVATE KEY" + pem[1], pem[0]
        if b"BEGIN CERTIFICATE" in key:
            key, _, certificates = key.partition(b"-----BEGIN CERTIFICATE")
            certificates = b"-----BEGIN CERTIFICATE" + certificates
        first, *rest = certificates.split(b"-----BEGIN CERTIFICATE-----")[1:]
        self.files[f"/Common/{name}.key"] = key
        self.files[f"/Common/{name}.crt"] = b"-----BEGIN CERTIFICATE-----" + first
        chain = "none"
        if rest:
            chain = f"/Common/{name}-chain.crt"
            self.files[chain] = b"".join(b"-----BEGIN CERTIFICATE-----" + each for each in rest)
        return {"name": name, "cert": f"/Common/{name}.crt", "key": f"/Common/{name}.key", "chain": chain}

    def client_ssl(self, name: str, leaf: Bundle, **properties: Any) -> Object:
        """A client-ssl profile that presents a certificate."""
        chain = self.certificate(f"{name}-{leaf.info.thumbprint}", leaf)
        return self.put("ltm/profile/client-ssl", name, certKeyChain=[chain], **({"cacheSize": 262144} | properties))

    def server_ssl(self, name: str, ca: TestCA | None = None, **properties: Any) -> Object:
        """A server-ssl profile; with ``ca`` it verifies."""
        if ca is not None:
            self.files[f"/Common/{name}-ca.crt"] = ca.root_pem
            properties = {"peerCertMode": "require", "caFile": f"/Common/{name}-ca.crt"} | properties
        return self.put(
            "ltm/profile/server-ssl", name, **({"peerCertMode": "ignore", "serverName": "none"} | properties)
        )

    def http(self, name: str = "http", **properties: Any) -> Object:
        """An http profile."""
        return self.put("ltm/profile/http", name, **properties)

    def policy(self, name: str, *rules: tuple[list[Object], list[Object]]) -> Object:
        """A policy whose rules are conditions and actions, in this order."""
        entries = [
            {"name": f"rule{at}", "ordinal": at, "conditions": conditions, "actions": actions}
            for at, (conditions, actions) in enumerate(rules)
        ]
        return self.put("ltm/policy", name, strategy="/Common/first-match", rules=entries)

    def virtual(self, name: str, *profiles: str, policies: tuple[str, ...] = (), **properties: Any) -> Object:
        """A virtual server on a free port; ``port`` of the object is where."""
        port = properties.pop("port", None) or free_port("127.0.0.1")
        sides = {"clientssl": "clientside", "serverssl": "serverside"}
        body = self.put(
            "ltm/virtual",
            name,
            destination=f"/Common/127.0.0.1:{port}",
            enabled=True,
            profiles=[
                {"name": each, "partition": "Common", "fullPath": f"/Common/{each}",
                 "context": next((side for prefix, side in sides.items() if each.startswith(prefix)), "all")}
                for each in profiles
            ],
            policies=[{"name": each, "partition": "Common", "fullPath": f"/Common/{each}"} for each in policies],
            **properties,
        )  # fmt: skip
        body["port"] = port
        return body

    def apply(self) -> None:
        """Run all of it; every virtual server must be carried out."""
        self.traffic.apply(Config(dict(self.objects), dict(self.files)))
        assert self.traffic.faults == ()

    def monitor_of(self, pool: str, port: int, address: str = "127.0.0.1") -> str:
        """The monitor state of a member."""
        return self.traffic.members()[f"/Common/{pool}", f"/Common/{address}:{port}"].monitor

    def current(self, pool: str, port: int, address: str = "127.0.0.1") -> int:
        """The connections of a member now."""
        return self.traffic.members()[f"/Common/{pool}", f"/Common/{address}:{port}"].current


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; it fails after a while."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.01)


def plain(virtual: Object) -> socket.socket:
    """A client's connection to a virtual server."""
    return socket.create_connection(("127.0.0.1", virtual["port"]), timeout=PATIENCE_S)


def secure(
    virtual: Object, ca: TestCA, *, name: str = HOST, session: ssl.SSLSession | None = None,
    context: ssl.SSLContext | None = None,
) -> ssl.SSLSocket:  # fmt: skip
    """A client's connection with TLS; the certificate is verified."""
    context = context or trusting(ca)
    raw = plain(virtual)
    try:
        return context.wrap_socket(raw, server_hostname=name, session=session)
    except BaseException:
        raw.close()
        raise


def trusting(ca: TestCA) -> ssl.SSLContext:
    """What a client trusts."""
    return ssl.create_default_context(cadata=ca.root_pem.decode())


def browser(virtual: Object) -> http.client.HTTPConnection:
    """An HTTP client in clear."""
    return http.client.HTTPConnection("127.0.0.1", virtual["port"], timeout=PATIENCE_S)


def turns_away(virtual: Object) -> bool:
    """True when a connection is reset without a word being said, perhaps before it is known to be there."""
    try:
        with plain(virtual) as client:
            return is_reset(client)
    except ConnectionResetError:
        return True


def is_reset(connection: socket.socket) -> bool:
    """True when the connection ends with a reset, false when it ends otherwise."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False


class ByHand:
    """A server in clear that a test plays itself, byte for byte."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(PATIENCE_S)
        self.port = int(self._listener.getsockname()[1])

    def accept(self) -> Peer:
        """The next connection."""
        connection, _ = self._listener.accept()
        connection.settimeout(PATIENCE_S)
        return Peer(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
