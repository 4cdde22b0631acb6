"""No secret leaves by a connection that was not verified, by a log, or by an error."""

from __future__ import annotations

import logging
import ssl
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from lbsync.changes import InstallCertificate, Publish, SwitchCertificate, SwitchMode
from lbsync.errors import LbsyncError, Rejected, TargetError, Unreachable
from lbsync.lab.bigip.device import BigIp
from lbsync.lab.bigip.faults import Fault
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.target import BalancerSpec
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle
from lbsync_f5 import plugin, things
from lbsync_f5.addresses import addresses
from lbsync_f5.device import Device
from lbsync_f5.effects import install_certificate
from lbsync_f5.session import Address, Session
from lbsync_f5.session.adapter import Patience
from tests.balancers.bench import BRIDGED, HOSTS, Materials
from tests.f5.captured import answered
from tests.f5.conftest import REQUESTS, F5Bench
from tests.f5.peers import TOKEN, Answer, Asked, Management, Peer, always, context_of, in_json, like_a_bigip
from tests.f5.samples import SPEC, settings
from tests.lab.bigip.conftest import StandIn
from tests.longer import one_now
from tests.rollout.needles import Needles

PASSWORD = "Bigip-correct-horse-battery"
PATIENCE = Patience(5, 5, 0)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Management:
    """The CA that we are told to trust."""
    return Management(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Management:
    """Another CA, whose root is called the same."""
    return Management(tmp_path_factory.mktemp("theirs"))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """A certificate with its key."""
    return TestCA.new().issue(HOSTS, key="ec256")


def address(peer: Peer, ours: Management, server_name: str | None = None) -> Address:
    """Where the peer is reached."""
    return Address(
        "127.0.0.1", peer.port, "lbsync", SecretStr(PASSWORD), "tmos", str(ours.ca_file), server_name, PATIENCE
    )


def secrets_of(bundle: Bundle, *more: str) -> Needles:
    """What must be found nowhere: the password, a key, and tokens."""
    found = Needles()
    found.add("password", PASSWORD.encode())
    found.add_key("private key", bundle.key)
    pem = bundle.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    for line in pem.splitlines()[1:-2]:
        found.add("line of a key", line)
    for number, one in enumerate(more):
        found.add(f"secret {number}", one.encode())
    return found


# --- connections ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["untrusted", "another name", "another name than server_name", "self-signed"])
def test_nothing_is_sent_to_a_server_that_does_not_verify(
    case: str, ours: Management, theirs: Management, tmp_path: Path
) -> None:
    """No byte beyond the handshake: no password, and no second try; with what to set."""
    servers: dict[str, ssl.SSLContext] = {
        "untrusted": theirs.tls(),
        "another name": ours.tls("bigip.contoso.test"),
        "another name than server_name": ours.tls("127.0.0.1", "other.contoso.test"),
        "self-signed": context_of(TestCA.self_signed(["127.0.0.1"], key="ec256"), tmp_path),
    }
    name = "bigip.contoso.test" if "server_name" in case else None
    with Peer(servers[case], like_a_bigip) as peer, pytest.raises(Rejected) as caught:
        Session(address(peer, ours, name))
    assert caught.value.code == "untrusted"
    assert caught.value.state == "nothing was sent: no password, no key"
    assert "ca_file" in caught.value.remedy
    assert (peer.decrypted, peer.asked, peer.connections) == (0, [], 1)


def test_the_name_that_a_certificate_carries_may_be_set(ours: Management) -> None:
    """Where the device is reached by its address."""
    with Peer(ours.tls("bigip.contoso.test"), like_a_bigip) as peer:
        Session(address(peer, ours, "bigip.contoso.test")).close()
    assert len(peer.asked) == 3


STEPS: dict[str, Callable[[Session], object]] = {
    "collection": lambda session: session.collection(things.POOL),
    "get": lambda session: session.get(things.POOL, "/Common/p"),
    "create": lambda session: session.create(things.POOL, "/Common/p", {}),
    "modify": lambda session: session.modify(things.POOL, "/Common/p", {}),
    "save": lambda session: session.save(),
    "transaction": lambda session: session.atomically(lambda: None),
}


@pytest.mark.parametrize("name", [*STEPS, "upload"])
def test_a_server_that_takes_the_devices_place_gets_nothing(
    name: str, ours: Management, theirs: Management, bundle: Bundle
) -> None:
    """After the login, at the next connection: neither the token, nor a key by the upload, nor the token that is given back."""
    with Peer(ours.tls(), like_a_bigip) as peer:
        session = Session(address(peer, ours))
        peer.answer = _last_answer
        session.get(things.POOL, "/Common/p")
        peer.tls, before = theirs.tls(), (peer.decrypted, len(peer.asked))

        def upload(one: Session) -> object:
            return one.uploads({"key": _pem(bundle)}).__enter__()

        with pytest.raises(Rejected) as caught:
            STEPS.get(name, upload)(session)
        session.close()
        assert caught.value.code == "untrusted"
        assert (peer.decrypted, len(peer.asked)) == before
        assert peer.connections > 1
    assert not secrets_of(bundle, TOKEN).found_in(_told(caught.value))


def _last_answer(_: Asked) -> Answer:
    return in_json({}, Connection="close")


def _pem(bundle: Bundle) -> bytes:
    return bundle.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def test_the_environment_changes_neither_route_nor_trust(
    monkeypatch: pytest.MonkeyPatch, ours: Management, theirs: Management, tmp_path: Path
) -> None:
    """No proxy, no other CA, no netrc: what the settings say is what is done."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login admin password from-netrc\n", encoding="utf-8")
    with (
        Peer(None, like_a_bigip) as proxy,
        Peer(ours.tls(), like_a_bigip) as peer,
        Peer(theirs.tls(), like_a_bigip) as bad,
    ):
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(theirs.ca_file))
        monkeypatch.setenv("NETRC", str(netrc))
        session = Session(address(peer, ours))
        session.collection(things.POOL)
        session.close()
        with pytest.raises(Rejected):
            Session(address(bad, ours))
    assert proxy.connections == 0
    assert not any("authorization" in asked.headers for asked in peer.asked)


# --- logs -----------------------------------------------------------------------------------------------------------------


class Everything(logging.Handler):
    """Keeps all there is to know of every record."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []
        self.names: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Message, arguments, exception and attributes."""
        self.names.add(record.name)
        self.texts += [logging.Formatter().format(record), repr(record.args), repr(vars(record))]


@contextmanager
def listening() -> Generator[Everything]:
    """Every logger at DEBUG, those that come into being meanwhile too; each heard at the root and by itself."""
    everything = Everything()
    root = logging.getLogger()
    for name in ("f5.bigip", "icontrol.session", "urllib3"):
        import_module(name)  # so that their loggers are there
    loggers = [one for one in logging.Logger.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    before = {one: (one.level, one.propagate, one.disabled) for one in (root, *loggers)}
    for one in before:
        one.addHandler(everything)
        one.setLevel(logging.DEBUG)
        one.propagate, one.disabled = True, False
    try:
        yield everything
    finally:
        for one, (level, propagate, disabled) in before.items():
            one.removeHandler(everything)
            one.setLevel(level)
            one.propagate, one.disabled = propagate, disabled


def test_nothing_secret_is_logged_by_anybody(make_bench: Callable[..., F5Bench]) -> None:
    """Install, publish, switch and drain, while whoever debugs has everything at DEBUG."""
    bench = make_bench(REQUESTS)
    device = bench.device
    with listening() as heard, bench.open() as provider:
        first, second = bench.first.fingerprint, bench.second.fingerprint
        for change in (
            InstallCertificate(leaf=first),
            Publish(leaf=first, modes=BRIDGED),
            InstallCertificate(leaf=second),
            SwitchCertificate(before=first, after=second),
            SwitchMode(services=(Service.OWA,), before=Mode.BRIDGE, after=Mode.OFFLOAD),
        ):
            bench.apply(provider, change)
        tokens = tokens_on(device)
    needles = Needles()
    needles.add("password", device.password.encode())
    assert tokens
    for token in tokens:
        needles.add("token", token.encode())
    for bundle in (bench.first, bench.second):
        needles.add_key("private key", bundle.key)
    found = {text[:200]: what for text in heard.texts if (what := needles.found_in(text.encode()))}
    assert found == {}
    # What was listened to is what there is to hear.
    assert "urllib3.connectionpool" in heard.names
    assert not any("PRIVATE KEY" in text for text in heard.texts)


def test_the_sdk_would_log_a_key(ours: Management, bundle: Bundle) -> None:
    """The search finds what it looks for: the SDK's own session, not silenced, tells all."""
    needles = secrets_of(bundle, TOKEN)
    with Peer(ours.tls(), like_a_bigip) as peer, listening() as heard:
        session = Session(address(peer, ours))
        sdk = logging.getLogger("icontrol.session")
        for one in [*sdk.filters]:
            sdk.removeFilter(one)
        with session.uploads({"key": _pem(bundle)}):
            pass
        session.close()
        found = set[str]().union(*(needles.found_in(text.encode()) for text in heard.texts))
        assert "line of a key" in found
        heard.texts.clear()
        session = Session(address(peer, ours))
        with session.uploads({"key": _pem(bundle)}):
            pass
        session.close()
        assert set[str]().union(*(needles.found_in(text.encode()) for text in heard.texts)) == set()


# --- errors ---------------------------------------------------------------------------------------------------------------


def _told(error: BaseException) -> bytes:
    """All that is printed of an error, and of those it came from or still holds."""
    parts, seen = list[str](), set[int]()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        parts += [str(one), repr(one), repr(one.args), repr(vars(one)), *traceback.format_exception(one)]
        pending += [one.__cause__, one.__context__]
    return "\n".join(parts).encode()


@pytest.fixture
def device(tmp_path: Path) -> Generator[BigIp]:
    """A device that carries no traffic, whose account has a password that is easily found."""
    with BigIp(tmp_path / "bigip", ca=TestCA.new("management"), plane=StandIn()) as device:
        device.passwords[device.user] = PASSWORD
        yield device


def tokens_on(device: BigIp) -> list[str]:
    """Every token there is, old ones too."""
    return list(device.tokens._tokens)  # pyright: ignore[reportPrivateUsage] -- the device shows them to nobody


def opened(device: BigIp, spec: BalancerSpec = SPEC) -> Device:
    """What effects work on."""
    way = settings(
        hosts=(device.address,), port=device.management_port, password=PASSWORD, ca_file=str(device.directory / "ca.pem"),
        busy_timeout_s=0,
    )  # fmt: skip
    return Device(spec, way, addresses(way))


@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.DROP_AFTER, Fault.BUSY], ids=str)
@pytest.mark.parametrize("passed", one_now(range(0, 9, 2), 2))
def test_no_error_of_an_installation_holds_a_secret(device: BigIp, bundle: Bundle, fault: Fault, passed: int) -> None:
    """Whichever request it was: neither what was sent nor what was answered; and the SDK's own error is let go of."""
    target = opened(device)
    device.fault(*[None] * passed, *[fault] * 3)
    error: TargetError | None = None
    try:
        install_certificate(target, bundle.fingerprint, Materials({bundle.fingerprint: bundle}))
    except TargetError as caught:
        error = caught
    needles = secrets_of(bundle, *tokens_on(device))
    target.close()
    if error is not None:
        assert not needles.found_in(_told(error))
        assert error.__context__ is None


def test_what_a_device_says_back_of_a_secret_is_its_own() -> None:
    """What lbsync repeats is a device's message, and nothing else of its answer: not its headers, not the rest of its body."""
    from lbsync_f5.session.failures import refused

    error = refused("x", answered(400, {"message": "no", "errorStack": [PASSWORD], "key": PASSWORD}))
    assert PASSWORD not in str(error)
    assert error.message == "no"


def test_no_error_of_a_login_holds_the_password(ours: Management, theirs: Management, bundle: Bundle) -> None:
    """Refused, redirected, silent, broken, no JSON, untrusted."""
    answers: list[Answer | None] = [
        in_json({"message": "Authentication failed."}, 401),
        (302, {"Location": f"https://127.0.0.1/?{PASSWORD}"}, b""),
        None,
        (200, {}, PASSWORD.encode()),
        in_json({"password": PASSWORD}),
        in_json({"password": PASSWORD}, 500),
    ]
    needles, errors = secrets_of(bundle), list[LbsyncError]()
    for answer in answers:
        with Peer(ours.tls(), always(answer)) as peer, pytest.raises(TargetError) as caught:
            Session(replace(address(peer, ours), patience=Patience(5, 0.1, 0)))
        errors.append(caught.value)
    with Peer(theirs.tls(), like_a_bigip) as peer, pytest.raises(TargetError) as caught:
        Session(address(peer, ours))
    errors.append(caught.value)
    with pytest.raises(Unreachable) as gone:
        Session(address(peer, ours))
    errors.append(gone.value)
    assert [type(error).__name__ for error in errors] == [
        "Denied", "Rejected", "Unreachable", "Unreachable", "Rejected", "Unreachable", "Rejected", "Unreachable",
    ]  # fmt: skip
    for error in errors:
        assert not needles.found_in(_told(error)), repr(error)


def test_nothing_that_is_shown_of_a_session_holds_a_secret(ours: Management, bundle: Bundle) -> None:
    """Representations of what carries secrets, and of the provider."""
    needles = secrets_of(bundle, TOKEN)
    with Peer(ours.tls(), like_a_bigip) as peer:
        at = address(peer, ours)
        session = Session(at)
        shown = [repr(at), str(at), *(repr(one) for one in (session, *vars(session).values()))]
        session.close()
    way = settings(password=PASSWORD)
    with plugin.open(SPEC, way.model_dump()) as provider:
        shown += [repr(provider), repr(provider.capabilities)]
    assert not needles.found_in("\n".join(shown).encode())
