"""Extended Protection: the client's channel binding against the certificate of its connection."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from lbsync.lab.farm import LabFarm, LabServer
from lbsync.lab.tls import TlsIdentity
from lbsync_certs import Bundle

Lab = Callable[..., LabFarm]
Browse = Callable[..., Any]

_OTHER = b"tls-server-end-point:" + sha256(b"another certificate").digest()


def test_the_servers_own_certificate_passes(lab: Lab, browse: Browse) -> None:
    """A client that saw this server's certificate logs on."""
    farm = lab(extended_protection=True)
    secure = browse(farm, farm.servers["EX01"], "https")
    assert secure.ntlm("/mapi/emsmdb/", *farm.mailbox)[0] == 200


@pytest.mark.parametrize(("path", "expected"), [("/mapi/emsmdb/", 401), ("/ews/x", 401), ("/autodiscover/x", 200)])
def test_another_certificate_fails(lab: Lab, browse: Browse, path: str, expected: int) -> None:
    """Require and Allow refuse a binding of another certificate; Autodiscover does not check."""
    farm = lab(extended_protection=True)
    secure = browse(farm, farm.servers["EX01"], "https")
    assert secure.ntlm(path, *farm.mailbox, binding=_OTHER)[0] == expected


@pytest.mark.parametrize(("path", "expected"), [("/mapi/emsmdb/", 401), ("/ews/x", 200)])
def test_no_binding(lab: Lab, browse: Browse, path: str, expected: int) -> None:
    """A client that knows no channel binding is refused by Require and accepted by Allow."""
    farm = lab(extended_protection=True)
    secure = browse(farm, farm.servers["EX01"], "https")
    assert secure.ntlm(path, *farm.mailbox, binding=b"")[0] == expected


def test_offload_breaks_it(lab: Lab, browse: Browse) -> None:
    """Over plain HTTP there is no channel: a client that saw TLS at a balancer never gets in."""
    farm = lab(extended_protection=True)
    server = farm.servers["EX01"]
    for vdir in ("mapi", "EWS"):
        server.state.iis.write_ssl_flags(f"Default Web Site/{vdir}", "None")
    front = b"tls-server-end-point:" + sha256(b"the balancer's").digest()
    assert browse(farm, server).ntlm("/mapi/emsmdb/", *farm.mailbox, binding=front)[0] == 401
    assert browse(farm, server).ntlm("/ews/x", *farm.mailbox, binding=front)[0] == 401


def test_without_it_bindings_do_not_matter(lab: Lab, browse: Browse) -> None:
    """With tokenChecking None any binding passes, over TLS and in clear."""
    farm = lab()
    server = farm.servers["EX01"]
    assert browse(farm, server, "https").ntlm("/mapi/emsmdb/", *farm.mailbox, binding=_OTHER)[0] == 200
    server.state.iis.write_ssl_flags("Default Web Site/mapi", "None")
    assert browse(farm, server).ntlm("/mapi/emsmdb/", *farm.mailbox, binding=_OTHER)[0] == 200


def test_a_bridge_passes_with_the_same_certificate_only(lab: Lab, browse: Browse, tmp_path: Path) -> None:
    """Behind a TLS bridge clients log on when it serves the server's own leaf, and loop in 401 when it serves another."""
    farm = lab(extended_protection=True)
    server = farm.servers["EX01"]
    with ExitStack() as stack:
        same = stack.enter_context(closing(_Bridge(farm, server, farm.leaf, tmp_path)))
        other = stack.enter_context(closing(_Bridge(farm, server, farm.ca.issue(["mail.contoso.test"]), tmp_path)))
        assert _through(farm, same, browse) == 200
        assert _through(farm, other, browse) == 401


def test_a_new_certificate_is_served_to_new_connections(lab: Lab, browse: Browse) -> None:
    """Binding another certificate changes the leaf of new connections; open ones keep theirs, and their binding."""
    farm = lab(extended_protection=True)
    server = farm.servers["EX01"]
    before = browse(farm, server, "https")
    from lbsync.lab.store import StoredEntry

    renewed = farm.ca.issue([server.fqdn, "mail.contoso.test"])
    server.state.bind(server.state.store.add(StoredEntry(renewed)))
    after = browse(farm, server, "https")
    assert before.binding != after.binding
    assert before.ntlm("/mapi/emsmdb/", *farm.mailbox)[0] == 200
    assert after.ntlm("/mapi/emsmdb/", *farm.mailbox)[0] == 200
    assert after.ntlm("/mapi/emsmdb/", *farm.mailbox, binding=before.binding)[0] == 401
    assert server.state.store.entries[farm.leaf.info.thumbprint].services == ["IMAP", "POP", "SMTP"]


def _through(farm: LabFarm, bridge: _Bridge, browse: Browse) -> int:
    context = ssl.create_default_context(cadata=farm.ca_pem)
    raw = socket.create_connection(bridge.address, timeout=30)
    connection = http.client.HTTPConnection("mail.contoso.test", timeout=30)
    connection.sock = context.wrap_socket(raw, server_hostname="mail.contoso.test")
    der = connection.sock.getpeercert(binary_form=True)
    assert der is not None
    browser = browse(farm, farm.servers["EX01"])
    browser.connection.close()
    browser.connection = connection
    with closing(connection):
        status: int = browser.ntlm(
            "/mapi/emsmdb/", *farm.mailbox, binding=b"tls-server-end-point:" + sha256(der).digest()
        )[0]
    return status


class _Bridge:
    """TLS in, verified TLS out, for one connection."""

    def __init__(self, farm: LabFarm, server: LabServer, leaf: Bundle, directory: Path) -> None:
        self._farm, self._server = farm, server
        self._context = TlsIdentity.of(leaf, directory).context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            raw, _peer = self._listener.accept()
        except OSError:
            return
        back = socket.create_connection((self._server.address, self._server.https_port))
        trust = ssl.create_default_context(cadata=self._farm.ca_pem)
        with (
            self._context.wrap_socket(raw, server_side=True) as near,
            trust.wrap_socket(back, server_hostname=self._server.fqdn) as far,
        ):
            while request := near.recv(65536):
                far.sendall(request)
                near.sendall(far.recv(65536))

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()
        self._thread.join(10)
