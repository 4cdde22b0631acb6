"""Control plane and data plane together: what REST says is what a client meets."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lbsync.lab.bigip.device import BigIp
from lbsync.lab.bigip.traffic import Traffic
from lbsync.testing.ca import TestCA
from lbsync.testing.ports import free_port

_MEMBER = "127.0.0.1"


class _Hello(BaseHTTPRequestHandler):
    """Says hello; a monitor likes it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer 200 OK."""
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
        """Be quiet."""


@pytest.fixture
def backend() -> Iterator[int]:
    """A plain HTTP server; its port."""
    server = ThreadingHTTPServer((_MEMBER, 0), _Hello)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def device(start: Callable[..., BigIp], tmp_path: Path) -> BigIp:
    """A device that carries real traffic."""
    return start(plane=Traffic(tmp_path / "traffic"))


def _served(port: int, ca: TestCA) -> tuple[str, bytes]:
    """What a client gets: the names of the certificate, the body."""
    context = ssl.create_default_context(cadata=ca.root_pem.decode() + ca.chain_pem.decode())
    context.check_hostname = False
    with closing(HTTPSConnection("127.0.0.1", port, context=context, timeout=20)) as connection:
        connection.request("GET", "/owa/", headers={"Host": "mail.example.test"})
        answer = connection.getresponse()
        assert isinstance(connection.sock, ssl.SSLSocket)
        shown = connection.sock.getpeercert()
        return json.dumps(shown), answer.read()


def test_build_and_renew(device: BigIp, connect: Callable[..., Any], ca: TestCA, backend: int) -> None:
    """A whole service is built by REST and carries a request; a renewal in one transaction is met by the next client."""
    client, port = connect(device), free_port("127.0.0.1")
    client.pair("old", ca, "old.example.test")
    client.pair("new", ca, "new.example.test")
    monitor = {"name": "m", "interval": 1, "timeout": 4, "send": "GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: Close\\r\\n\\r\\n",
               "recv": "200 OK"}  # fmt: skip
    client.tm("POST", "ltm/monitor/http", monitor)
    client.tm("POST", "ltm/pool", {"name": "p", "monitor": "/Common/m", "members": [f"{_MEMBER}:{backend}"]})
    pair = [{"name": "one", "cert": "/Common/old.crt", "key": "/Common/old.key"}]
    client.tm("POST", "ltm/profile/client-ssl", {"name": "c", "certKeyChain": pair})
    rule = {
        "name": "owa",
        "conditions": [{"name": "0", "httpUri": True, "path": True, "startsWith": True, "values": ["/owa"],
                        "request": True}],
        "actions": [{"name": "0", "forward": True, "select": True, "pool": "/Common/p", "request": True}],
    }  # fmt: skip
    draft = {"name": "pol", "subPath": "Drafts", "strategy": "first-match", "requires": ["http"], "rules": [rule]}
    client.tm("POST", "ltm/policy", draft)
    client.tm("POST", "ltm/policy", {"command": "publish", "name": "/Common/Drafts/pol"})
    body = {"name": "v", "destination": f"127.0.0.1:{port}", "profiles": ["http", "c"], "policies": ["pol"],
            "sourceAddressTranslation": {"type": "automap"}}  # fmt: skip
    client.tm("POST", "ltm/virtual", body)
    member = f"ltm/pool/~Common~p/members/~Common~{_MEMBER}:{backend}"
    for _ in range(100):
        if client.tm("GET", member)["state"] == "up":
            break
        time.sleep(0.1)
    assert client.tm("GET", member)["session"] == "monitor-enabled"
    names, content = _served(port, ca)
    assert "old.example.test" in names
    assert content == b"hello"
    headers = client.transaction()
    fresh = [{"name": "one", "cert": "/Common/new.crt", "key": "/Common/new.key"}]
    client.tm("PATCH", "ltm/profile/client-ssl/~Common~c", {"certKeyChain": fresh}, headers=headers)
    client.commit(headers)
    assert "new.example.test" in _served(port, ca)[0]
    (entry,) = client.tm("GET", "ltm/virtual/~Common~v/stats")["entries"].values()
    assert entry["nestedStats"]["entries"]["clientside.totConns"]["value"] == 2


def test_occupied_destination(device: BigIp, connect: Callable[..., Any]) -> None:
    """A destination that somebody else listens on is refused, and nothing is left of it."""
    client = connect(device)
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = int(other.getsockname()[1])
        status, message = client.refused("POST", "ltm/virtual", {"name": "v", "destination": f"127.0.0.1:{taken}",
                                                                 "profiles": ["tcp"]})  # fmt: skip
    assert (status, message[:10]) == (400, "01070333:3")
    assert device.paths("ltm/virtual") == ()
