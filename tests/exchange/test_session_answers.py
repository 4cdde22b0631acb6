"""Sessions against an endpoint that answers what no good server does."""

from __future__ import annotations

import base64
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from lbsync.errors import ConfigError, Denied, Rejected, Unreachable
from lbsync.exchange.session import SessionPool, SessionSettings
from lbsync.exchange.session.transport import tls_context
from lbsync.lab import wsman
from lbsync.lab.farm import LabFarm
from lbsync.testing.ca import TestCA


class Endpoint(Protocol):
    """What a test sets and sees of the double."""

    stdout: bytes
    code: int
    answer: Callable[[wsman.Message], tuple[int, bytes, dict[str, str]] | None]
    actions: list[str]
    stdin: list[bytes]
    closed: int
    port: int
    certificate: Path

    def says(self, answer: object) -> None:
        """Print this as the bootstrap would."""
        ...

    def settings(self, **fields: Any) -> SessionSettings:
        """Settings to reach it."""
        ...


Start = Callable[..., Endpoint]

FLAGS: dict[str, object] = {"locations": [], "pools": []}
RESULT: dict[str, object] = {"vdirs": [], "pools": []}


def call(double: Endpoint, **fields: Any) -> dict[str, object]:
    """One call of read-flags."""
    with SessionPool(double.settings(**fields)) as pool:
        return pool.call("read-flags", FLAGS)


def b64(text: str) -> bytes:
    """As the bootstrap writes."""
    return base64.b64encode(text.encode())


def test_a_good_answer(double: Start) -> None:
    """What the bootstrap prints is the answer, and the script went in on stdin."""
    server = double()
    server.says({"ok": True, "result": RESULT})
    assert call(server) == RESULT
    assert b"".join(server.stdin)
    assert server.actions == ["Create", "Command", "Send", "Receive", "Delete"]


def test_what_the_host_prints_before_is_left_out(double: Start) -> None:
    """The last line that is not empty counts: a banner or a warning may stand before it."""
    server = double()
    server.stdout = b"WARNING: something\r\n\r\n" + b64('{"ok": true, "result": {"a": 1}}') + b"\r\n"
    assert call(server) == {"a": 1}


@pytest.mark.parametrize("code", [0, 1])
def test_an_empty_answer_is_an_error(double: Start, code: int) -> None:
    """Nothing on stdout is never success, whatever the exit code: over-long command lines end so."""
    server = double()
    server.code = code
    with pytest.raises(Rejected, match=f"answered nothing .exit code {code}") as caught:
        call(server)
    assert caught.value.code == "empty_answer"
    assert server.closed == 1


@pytest.mark.parametrize(
    "stdout",
    [
        b"not base64!",
        b64("not json"),
        b64("[1]"),
        b64('{"ok": "yes", "result": {}}'),
        b64('{"ok": true, "result": [1]}'),
        b64('{"ok": false, "error": "text"}'),
        b64('{"result": {}}'),
        base64.b64encode(b"\xff\xfe"),
    ],
)
def test_another_answer_is_an_error(double: Start, stdout: bytes) -> None:
    """Whatever is not the bootstrap's JSON is Rejected, without its content."""
    server = double()
    server.stdout = stdout
    with pytest.raises(Rejected) as caught:
        call(server)
    assert caught.value.code == "garbled"


@pytest.mark.parametrize(
    ("category", "fqid", "kind"),
    [
        ("PermissionDenied", "x", Denied),
        ("NotSpecified", "System.UnauthorizedAccessException,Get-X", Denied),
        ("OpenError", "LogonFailure,PSSessionOpenFailed", Denied),
        ("ObjectNotFound", "PathNotFound", Rejected),
    ],
)
def test_script_errors_by_their_codes(double: Start, category: str, fqid: str, kind: type[Exception]) -> None:
    """Missing rights are Denied, everything else Rejected; the id is the code, never the text."""
    server = double()
    server.says({"ok": False, "error": {"message": "a\r\n b", "category": category, "fqid": fqid, "target": ""}})
    with pytest.raises(kind, match="read-flags: a b") as caught:
        call(server)
    assert getattr(caught.value, "code", None) == fqid


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (404, Rejected, "http_404"),
        (403, Rejected, "http_403"),
        (500, Rejected, "http_500"),
        (503, Unreachable, "http_503"),
    ],
)
def test_http_errors(double: Start, status: int, kind: type[Exception], code: str) -> None:
    """An HTTP error without a fault: passing ones are Unreachable, the others Rejected."""
    server = double()
    server.answer = lambda _message: (status, b"<html>", {})
    with pytest.raises(kind) as caught:
        call(server)
    assert getattr(caught.value, "code", None) == code


def test_a_redirect_is_not_followed(double: Start) -> None:
    """Credentials go to the server configured and nowhere else."""
    server, other = double(), double()
    server.answer = lambda _message: (302, b"", {"Location": f"https://127.0.0.1:{other.port}/wsman"})
    with pytest.raises(Unreachable):
        call(server)
    assert other.actions == []


@pytest.mark.parametrize("body", [b"<html><body>hello</body></html>", b"", b"<a><b></a>"])
def test_an_answer_that_is_no_soap(double: Start, body: bytes) -> None:
    """A web server instead of WinRM is Unreachable and says so."""
    server = double()
    server.answer = lambda _message: (200, body, {})
    with pytest.raises(Unreachable, match="not one of WinRM") as caught:
        call(server)
    assert caught.value.code == "garbled"


@pytest.mark.parametrize(("soap", "kind"), [("s:Sender", Rejected), ("s:Receiver", Unreachable)])
def test_faults_by_their_side(double: Start, soap: str, kind: type[Exception]) -> None:
    """A fault that blames the sender is Rejected, the receiver's may pass; both keep their number."""
    server = double()
    fault = (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault><s:Code><s:Value>'
        f"{soap}</s:Value></s:Code><s:Reason><s:Text>some\n reason</s:Text></s:Reason><s:Detail>"
        '<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="2150858770"/>'
        "</s:Detail></s:Fault></s:Body></s:Envelope>"
    )
    server.answer = lambda _message: (500, fault.encode(), {})
    with pytest.raises(kind, match="some reason") as caught:
        call(server)
    assert getattr(caught.value, "code", None) == "2150858770"


def test_a_create_that_times_out(double: Start) -> None:
    """Fault 2150858793 to anything but a Receive is no answer at all."""
    server = double()
    server.answer = lambda message: (500, wsman.fault(message, wsman.TIMED_OUT), {})
    with pytest.raises(Unreachable) as caught:
        call(server)
    assert caught.value.code == "operation_timeout"


def test_basic_is_judged_by_its_first_answer(double: Start) -> None:
    """With Basic a 401 is a verdict on the password."""
    server = double()
    server.answer = lambda _message: (401, b"", {"WWW-Authenticate": "Basic"})
    with SessionPool(server.settings()) as pool:
        with pytest.raises(Denied) as caught:
            pool.prove()
        assert caught.value.code == "login_rejected"
        with pytest.raises(Denied, match="not tried again"):
            pool.prove()
    assert server.actions == ["Create"]


def test_an_authentication_that_is_not_offered(double: Start) -> None:
    """A server that offers Basic only and a client that does NTLM: no password was judged, and the gate stays open."""
    server = double()
    with SessionPool(server.settings(transport="ntlm")) as pool:
        with pytest.raises(Rejected, match="it offers: Basic") as caught:
            pool.prove()
        assert caught.value.code == "authentication_not_offered"
        pool.gate.check()


def test_a_package_that_is_missing(double: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport whose package is not installed names the extra to install."""
    monkeypatch.setattr("winrm.transport.HAVE_CREDSSP", False)
    with pytest.raises(ConfigError, match=r"lbsync\[credssp\]"):
        call(double(), transport="credssp")


def test_a_client_certificate_logs_in(double: Start) -> None:
    """The transport certificate presents it on the connection, for every message; nobody's password is asked for."""
    server = double()
    server.says({"ok": True, "result": RESULT})
    file = server.certificate
    fields: dict[str, Any] = {"transport": "certificate", "certificate_file": file, "key_file": file}
    assert call(server, user="", password=no_password, **fields) == RESULT
    server.answer = lambda _message: (401, b"", {})
    with pytest.raises(Denied, match="the certificate"):
        call(server, user="", password=no_password, **fields)


def no_password() -> str:
    """Nothing: a certificate needs none."""
    return ""


def test_a_ca_file_with_comments_in_any_language(double: Start, tmp_path: Path) -> None:
    """What stands between the certificates of a CA file is nobody's concern."""
    server = double()
    server.says({"ok": True, "result": RESULT})
    file = tmp_path / "ca.pem"
    file.write_text(f"# Główny urząd, Főtanúsítvány, \u8a8d\u8a3c\n{server.settings().ca_pem}", encoding="utf-8")
    assert call(server, ca_pem=None, ca_file=file) == RESULT


def test_a_login_that_is_gone_midway(double: Start) -> None:
    """With Basic every message carries the login, so a 401 later on is a verdict as well as the first one."""
    server = double()
    server.answer = lambda message: (401, b"", {}) if message.action == "Command" else None
    with pytest.raises(Denied):
        call(server)


def test_ipv6(double: Start) -> None:
    """An IPv6 address is connected to, and the name is verified all the same."""
    server = double("::1")
    server.says({"ok": True, "result": RESULT})
    assert call(server) == RESULT
    with pytest.raises(Rejected, match="not trusted"):
        call(server, server_name="")


def test_an_address_can_be_the_name(double: Start) -> None:
    """A certificate for the address itself is good where no name is configured, IPv6 too."""
    for address in ("127.0.0.1", "::1"):
        server = double(address, names=(address,))
        server.says({"ok": True, "result": RESULT})
        assert call(server, server_name="") == RESULT


def test_one_tls_context_for_all(tmp_path: Path) -> None:
    """Sessions of one CA share one context, by text or by file; another CA has its own."""
    pem = TestCA.new("one").root_pem.decode()
    file = tmp_path / "ca.pem"
    file.write_text(pem)

    def make(name: str, **fields: Any) -> SessionSettings:
        return SessionSettings(name=name, address="127.0.0.1", **fields)

    first = tls_context(make("EX01", ca_pem=pem))
    assert tls_context(make("EX02", ca_pem=pem)) is first
    assert tls_context(make("EX03", ca_file=file)) is first
    assert tls_context(make("EX04", ca_pem=TestCA.new("two").root_pem.decode())) is not first
    assert first.check_hostname
    assert first.verify_mode.name == "CERT_REQUIRED"


@pytest.mark.parametrize(
    "fields",
    [
        {"scheme": "http", "transport": "basic"},
        {"scheme": "http", "transport": "certificate"},
        {"transport": "certificate"},
        {"ca_file": Path("/nonexistent/ca.pem")},
    ],
)
def test_settings_that_are_refused(fields: dict[str, Any]) -> None:
    """Anything in clear, half a client certificate, or a file that is not there: refused before a connection."""
    with pytest.raises(ConfigError) as caught:
        SessionSettings(name="EX01", address="127.0.0.1", **fields)
    assert caught.value.where == "EX01"


def test_a_ca_that_is_none(double: Start) -> None:
    """Text that is no certificate is a ConfigError, not a traceback of the TLS library."""
    with pytest.raises(ConfigError, match="CA or client certificate"):
        call(double(), ca_pem="-----BEGIN NONSENSE-----")


def test_endpoints() -> None:
    """The URL's host is the name verified; an IPv6 address stands in brackets."""
    assert SessionSettings(name="a", address="::1").endpoint == "https://[::1]:5986/wsman"
    named = SessionSettings(name="a", address="10.0.0.1", server_name="ex01.contoso.test", scheme="http", port=5985)
    assert named.endpoint == "http://ex01.contoso.test:5985/wsman"
    assert named.seals


def test_a_client_certificate_is_an_account(tmp_path: Path) -> None:
    """Without a user the client certificate is what the gate guards."""
    file = tmp_path / "client.pem"
    file.write_bytes(TestCA.new("c").issue(["client"], key="ec256").pem())
    made = SessionSettings(name="a", address="127.0.0.1", transport="certificate", certificate_file=file, key_file=file)
    assert made.account == str(file)
    assert tls_context(made).check_hostname


class Cutter:
    """A forwarder that cuts the first ``cuts`` connections after two answers: in the middle of an NTLM login."""

    def __init__(self, address: str, port: int, cuts: int) -> None:
        self._to = (address, port)
        self._left = cuts
        self._closing = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Stop listening and wait for what is under way; the clients have gone before."""
        self._closing = True
        socket.create_connection(("127.0.0.1", self.port)).close()  # wakes accept, which a shutdown does not everywhere
        for thread in self._threads:
            thread.join(timeout=10)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closing:
                client.close()
                return
            self._left -= 1
            pair = (client, socket.create_connection(self._to), 2 if self._left >= 0 else None)
            self._threads.append(threading.Thread(target=self._forward, args=pair))
            self._threads[-1].start()

    @staticmethod
    def _forward(client: socket.socket, server: socket.socket, answers: int | None) -> None:
        with client, server, selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            seen = 0
            while True:
                for key, _ in ready.select():
                    source = client if key.data is server else server
                    data = source.recv(65536)
                    if not data:
                        return
                    key.data.sendall(data)
                    seen += data.count(b"HTTP/1.1 ") if source is server else 0
                    if answers is not None and seen >= answers:
                        return


@pytest.fixture
def cutter() -> Iterator[Callable[[LabFarm, int], Cutter]]:
    """Put a cutter before a farm's EX01."""
    with ExitStack() as stack:

        def make(farm: LabFarm, cuts: int) -> Cutter:
            server = farm.servers["EX01"]
            made = Cutter(server.address, server.winrm_port, cuts)
            stack.callback(made.close)
            return made

        yield make


def test_a_login_torn_once_is_done_again(
    lab: Callable[..., LabFarm], cutter: Callable[[LabFarm, int], Cutter], settings: Callable[..., SessionSettings]
) -> None:
    """A connection cut between challenge and answer says nothing of the password: one more login, and it works."""
    farm = lab(tls_winrm=False)
    with SessionPool(settings(farm, port=cutter(farm, 1).port)) as pool:
        pool.prove()
    assert not farm.state.accounts.locked(farm.user)


def test_logins_torn_again_and_again_are_no_rejection(
    lab: Callable[..., LabFarm], cutter: Callable[[LabFarm, int], Cutter], settings: Callable[..., SessionSettings]
) -> None:
    """Torn twice is Unreachable: not Denied, no endless loop, and the gate stays open."""
    farm = lab(tls_winrm=False)
    with SessionPool(settings(farm, port=cutter(farm, 100).port)) as pool:
        with pytest.raises(Unreachable) as caught:
            pool.prove()
        assert caught.value.code in {"login_torn", "connection"}
        pool.gate.check()
    assert not farm.state.accounts.locked(farm.user)
