"""What logins decide: waiting, sessions, origins, proxies, places to listen, users and tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from lbsync import private
from lbsync.errors import ConfigError
from lbsync.secrets import resolve
from lbsync.service.auth import csrf, lockout, proxy, tokens, users
from lbsync.service.auth.access import Access, OidcAccess, ProxyAccess
from lbsync.service.auth.lockout import Attempts, Lockout
from lbsync.service.auth.roles import MATRIX, Need, find
from lbsync.service.auth.sessions import Sessions
from lbsync.service.values import Role, Who
from tests.service.client import PASSWORD

ANNA = Who(name="anna", role=Role.APPROVER, via="web")


class Clock:
    """A monotonic clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Its time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """One for each test."""
    return Clock()


def test_waits_grow_and_end() -> None:
    """Five mistakes are free, then each doubles the wait up to its limit; an hour later all is forgotten."""
    attempts, waits = Attempts(), []
    for _ in range(20):
        attempts = lockout.after_failure(attempts, 100.0, 60)
        waits.append(lockout.wait_s(attempts, 100.0))
    assert waits[:9] == [0, 0, 0, 0, 0, 1, 2, 4, 8]
    assert waits[-1] == 60
    assert lockout.wait_s(attempts, 160.0) == 0
    assert lockout.after_failure(attempts, 3701.0, 60).failures == 1


def test_nobody_is_kept_out_by_others(clock: Clock) -> None:
    """A name waits a minute at most, and not at all where it logged in before; IPv6 neighbours are one address."""
    table = Lockout(clock)
    table.failed("anna", "192.0.2.1")
    table.succeeded("Anna", "192.0.2.1")
    for number in range(100):
        table.failed("anna", f"198.51.100.{number}")
    assert table.wait_s("ANNA", "203.0.113.9") == 60
    assert table.wait_s("anna", "192.0.2.1") == 0
    for number in range(30):
        table.failed("", f"2001:db8::{number:x}")
    assert table.wait_s("", "2001:db8::ffff") == 900
    assert table.wait_s("", "2001:db8:0:1::1") == 0
    clock.now += 900
    assert table.wait_s("anna", "2001:db8::ffff") == 0


def test_a_success_takes_back_its_own_failure_only(clock: Clock) -> None:
    """Who knows one password and guesses another's is still counted."""
    table = Lockout(clock)
    for _ in range(7):
        table.failed("otto", "odd address")
    table.failed("anna", "odd address")
    table.succeeded("anna", "odd address")
    table.failed("otto", "odd address")
    assert table.wait_s("vera", "odd address") == 4


def test_the_table_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody with many addresses cannot fill the memory."""
    monkeypatch.setattr(lockout, "_MOST", 10)
    table = Lockout(clock)
    for number in range(50):
        table.failed(f"n{number}", f"192.0.2.{number}")
    assert len(table) == 10


def test_sessions_end(clock: Clock) -> None:
    """By idling, by age, by logging out; an id is never kept in clear, and each login has its own."""
    sessions = Sessions(idle_s=100, lasting_s=250, clock=clock)
    first, session = sessions.begin(ANNA, "user:1")
    second, _ = sessions.begin(ANNA, "user:1")
    assert first != second
    assert len(first) >= 43
    assert first not in repr(sessions) and session.csrf != first  # noqa: PT018
    clock.now += 99
    assert sessions.find(first) is session
    clock.now += 99
    assert sessions.find(second) is None
    assert sessions.find(first, used=False) is session
    clock.now += 60
    assert sessions.find(first) is None
    assert session.over.is_set()
    third, session = sessions.begin(ANNA, "user:1")
    sessions.end(third)
    assert sessions.find(third) is None
    assert session.over.is_set()


def test_sessions_are_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one unused for longest makes room."""
    monkeypatch.setattr("lbsync.service.auth.sessions.MOST", 20)
    sessions = Sessions(idle_s=100, lasting_s=250, clock=clock)
    first, _ = sessions.begin(ANNA, "")
    clock.now += 1
    for _ in range(20):
        sessions.begin(ANNA, "")
    assert len(sessions) == 20
    assert sessions.find(first) is None


@pytest.mark.parametrize(
    ("origins", "sites", "secure", "ours"),
    [
        ([], [], False, True),
        (["http://lb.example:8440"], ["same-origin"], False, True),
        (["HTTP://LB.example:8440"], ["none"], False, True),
        (["https://lb.example:8440"], [], False, False),
        (["http://lb.example:8440"], ["same-site"], False, False),
        (["http://lb.example"], [], False, False),
        (["null"], [], False, False),
        (["http://lb.example:8440", "http://evil.example"], [], False, False),
        (["http://lb.example:8440.evil.example"], [], False, False),
        (["http://[broken"], [], False, False),
        (["https://lb.example:8440"], ["same-origin"], True, True),
    ],
)
def test_own_origin(origins: list[str], sites: list[str], *, secure: bool, ours: bool) -> None:
    """Only scheme, name and port together are ours."""
    assert csrf.own_origin(host="lb.example:8440", secure=secure, origins=origins, sites=sites) is ours


def test_ports_that_go_without_saying() -> None:
    """443 and 80 are the same as none; an IPv6 address keeps its colons."""
    assert csrf.own_origin(host="lb.example", secure=True, origins=["https://lb.example:443"], sites=[])
    assert csrf.own_origin(host="[::1]", secure=False, origins=["http://[::1]:80"], sites=[])
    assert csrf.token_fits("a", "a")
    assert not csrf.token_fits("b", "a")
    assert not csrf.token_fits(None, "a")


PROXY = ProxyAccess(
    networks=("192.0.2.0/24", "::1"), user_header="X-User", role_header="X-Role", roles={"lb-admins": Role.APPROVER}
)


@pytest.mark.parametrize(
    ("peer", "sent", "role"),
    [
        ("192.0.2.7", {"X-User": "anna", "X-Role": "viewer, lb-admins"}, Role.APPROVER),
        ("::ffff:192.0.2.7", {"x-user": "anna", "x-role": "operator"}, Role.OPERATOR),
        ("198.51.100.1", {"X-User": "anna", "X-Role": "approver"}, None),
        ("192.0.2.7", {"X-User": "anna", "X-Role": "king"}, None),
        ("192.0.2.7", {"X-User": "anna"}, None),
        ("192.0.2.7", {"X-User": "", "X-Role": "viewer"}, None),
        ("192.0.2.7", {"X-User": "an\x07na", "X-Role": "viewer"}, None),
        ("", {"X-User": "anna", "X-Role": "viewer"}, None),
    ],
)
def test_whom_a_proxy_names(peer: str, sent: dict[str, str], role: Role | None) -> None:
    """Only a listed proxy is believed, and only what it says once and plainly."""
    headers = [(name.encode(), value.encode()) for name, value in sent.items()]
    who = proxy.named_by(Access(proxy=PROXY), peer, headers)
    assert (who.role if who else None) is role
    assert proxy.named_by(Access(proxy=PROXY), peer, [*headers, (b"X-User", b"eve")]) is None
    assert proxy.named_by(Access(), peer, headers) is None


def test_where_a_request_comes_from() -> None:
    """X-Forwarded-* of anybody but the proxy is not there; the last address that is no proxy counts."""
    behind = Access(proxy=PROXY)
    headers = [(b"x-forwarded-for", b"6.6.6.6, 203.0.113.5, 192.0.2.9"), (b"x-forwarded-proto", b"http")]
    assert proxy.address_of(behind, "192.0.2.7", headers) == "203.0.113.5"
    assert proxy.address_of(behind, "203.0.113.8", headers) == "203.0.113.8"
    assert proxy.address_of(behind, "192.0.2.7", []) == "192.0.2.7"
    assert not proxy.is_secure(behind, "192.0.2.7", headers)
    assert proxy.is_secure(behind, "192.0.2.7", [])
    assert not proxy.is_secure(behind, "203.0.113.8", [(b"x-forwarded-proto", b"https")])
    assert proxy.is_secure(Access(tls=True), "203.0.113.8", [])


USERS = Path("users.toml")
OIDC = OidcAccess(issuer="https://id.example", client_id="c", public_url="https://lb.example", roles={})


@pytest.mark.parametrize(
    ("access", "word"),
    [
        (Access(host="0.0.0.0", users_file=USERS, hosts=("lb.example",)), "clear"),  # noqa: S104
        (Access(host="0.0.0.0", users_file=USERS, tls=True), "names"),  # noqa: S104
        (Access(host="192.0.2.1", tls=True), "log in"),
        (Access(host="192.0.2.1", proxy=ProxyAccess(networks=("10.0.0.1/8",), user_header="X-User")), "10.0.0.1/8"),
        (Access(host="lb.example", proxy=ProxyAccess(networks=("10.0.0.1",))), "log in"),
        (Access(oidc=OIDC.model_copy(update={"issuer": "http://id.example"})), "https"),
        (Access(oidc=OIDC.model_copy(update={"public_url": "http://lb.example"})), "https"),
    ],
)
def test_places_that_are_not_safe_to_listen_at(access: Access, word: str) -> None:
    """Off loopback without TLS or a proxy, without names, or where nobody could log in: nothing is served, and why is told."""
    with pytest.raises(ConfigError) as told:
        access.checked()
    assert word in told.value.message


@pytest.mark.parametrize(
    "access",
    [
        Access(),
        Access(host="::1"),
        Access(host="localhost"),
        Access(host="0.0.0.0", tls=True, hosts=("lb.example",), users_file=USERS),  # noqa: S104
        Access(host="192.0.2.1", tls=True, oidc=OIDC),
        Access(host="192.0.2.1", proxy=ProxyAccess(networks=("192.0.2.2",), user_header="X-User")),
    ],
)
def test_places_to_listen_at(access: Access) -> None:
    """Loopback, TLS, or behind a proxy."""
    assert access.checked() is access


def test_users_are_kept_and_read_again(tmp_path: Path) -> None:
    """A file for its owner only; a change counts at once; a broken or open file lets nobody in."""
    path = tmp_path / "users.toml"
    kept = users.Users(path)
    assert kept.all() == {}
    token, hashed = users.new_token()
    anna = users.User(role=Role.APPROVER, password=users.with_password(SecretStr(PASSWORD)), token=hashed)
    users.save(path, {"anna": anna})
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept.all() == {"anna": anna}
    assert kept.by_token(token.get_secret_value()) == ("anna", anna)
    assert kept.by_token("other") is None
    assert PASSWORD not in path.read_text() and token.get_secret_value() not in path.read_text()  # noqa: PT018
    assert users.fits(anna, PASSWORD)
    assert not users.fits(anna, PASSWORD + "x")
    assert not users.fits(anna, PASSWORD * 50)
    assert not users.fits(None, PASSWORD)
    assert not users.fits(users.User(role=Role.VIEWER, password="no hash"), PASSWORD)
    path.chmod(0o604)
    with pytest.raises(ConfigError, match="everybody"):
        users.load(path)
    path.chmod(0o600)
    path.write_text("users = 3")
    assert kept.all() == {}
    for text in ("=", '[users."a b"]\nrole = "viewer"', '[users.a]\nrole = "king"'):
        path.write_text(text)
        with pytest.raises(ConfigError):
            users.load(path)


def test_modes_say_nothing_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There every file seems open to everybody, and its rights are looked after by whoever installs the service."""
    path = tmp_path / "users.toml"
    users.save(path, {"anna": users.User(role=Role.VIEWER)})
    token, _ = tokens.generated(tmp_path)
    for open_file in (path, tmp_path / tokens.FILE):
        open_file.chmod(0o666)
    monkeypatch.setattr(private, "_POSIX", False)
    assert set(users.load(path)) == {"anna"}
    assert tokens.generated(tmp_path) == (token, False)
    assert resolve(f"file:{tokens.FILE}", base=tmp_path) == token
    monkeypatch.undo()
    for read in (
        lambda: users.load(path),
        lambda: tokens.generated(tmp_path),
        lambda: resolve("file:users.toml", base=tmp_path),
    ):
        with pytest.raises(ConfigError):
            read()


def test_users_stay_readable_for_the_service_and_are_missed_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Root changes them, and a group that may read them still may; a file that cannot be used is told once, in the log."""
    path = tmp_path / "users.toml"
    users.save(path, {})
    path.chmod(0o640)
    users.save(path, {"anna": users.User(role=Role.VIEWER)})
    assert path.stat().st_mode & 0o777 == 0o640
    kept = users.Users(path)
    assert set(kept.all()) == {"anna"}
    path.write_text("=")
    for _ in range(2):
        assert kept.all() == {}
    assert caplog.text.count("nobody can log in by name") == 1


def test_users_cannot_be_read_or_written(tmp_path: Path) -> None:
    """A folder in the file's place, a folder that is not there."""
    with pytest.raises(ConfigError, match="read"):
        users.load(tmp_path)
    with pytest.raises(ConfigError, match="written"):
        users.save(tmp_path / "none" / "users.toml", {})
    with pytest.raises(ConfigError, match="12 to 256"):
        users.with_password(SecretStr("short"))


def test_the_token_is_made_once(tmp_path: Path) -> None:
    """For its owner only; one that others may have read, or half a one, is refused."""
    first, new = tokens.generated(tmp_path / "state")
    again, not_new = tokens.generated(tmp_path / "state")
    assert (new, not_new) == (True, False)
    assert first == again
    path = tmp_path / "state" / tokens.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert tokens.same(first.get_secret_value(), again)
    assert not tokens.same("x", again) and not tokens.same("x", None)  # noqa: PT018
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="others"):
        tokens.generated(tmp_path / "state")
    path.chmod(0o600)
    path.write_text("half")
    with pytest.raises(ConfigError, match="whole"):
        tokens.generated(tmp_path / "state")
    with pytest.raises(ConfigError, match="kept"):
        tokens.generated(path)


def test_paths_have_one_shape() -> None:
    """What is not spelt as the matrix has it does not exist."""
    found = find("/api/v1/namespaces/mail.berlin-1/runs/20260601-090000-3f9c")
    assert found is not None
    assert found.methods == {"GET": Need.VIEWER}
    for odd in (
        "/api/v1/namespaces/../etc", "/api/v1/namespaces/a b", "/api/v1/namespaces/.hidden", "/api/v1/namespaces/",
        "/api/v1/namespaces/m\u00fcller", "/api/v1/namespaces/a/runs/..", "/static/../app.py", "/static/a/b", "/static/.x",
        "//", "/login/", "/LOGIN", "/healthz\n", f"/api/v1/jobs/{'a' * 65}",
    ):  # fmt: skip
        assert find(odd) is None, odd
    assert all(path.startswith("/") for _, path in MATRIX)
