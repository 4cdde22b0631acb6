"""Logging in and out: cookies, tokens, waits, and what ends a session."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lbsync.service.auth import users
from lbsync.service.auth.guard import TooMany
from lbsync.service.values import Role
from tests.service.client import ORIGIN, PASSWORD, TOKEN, Client, app_for, client, write_users
from tests.service.fakes import FakeHub

LOOK = "/api/v1/namespaces/mail/look"
ME = "/api/v1/me"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three users."""
    folder = tmp_path_factory.mktemp("logins")
    write_users(folder / "users.toml", **{role.value: role for role in Role})
    return folder


def _stolen(browser: Client, cookie: str) -> int:
    """What a cookie is good for in another browser."""
    with client(browser.app) as other:
        return other.ask("GET", ME, headers={"Cookie": cookie}).status_code


def test_the_cookie(shared: Path) -> None:
    """HttpOnly and Strict always; over TLS Secure, and bound to this host by its name."""
    with client(app_for(shared)) as browser:
        answer = browser.login("viewer")
        assert answer.json() == {"name": "viewer", "role": "viewer", "csrf": browser.csrf}
        flags = answer.headers["set-cookie"]
        assert flags.startswith("lbsync=")
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(flags.split("; "))
        assert "strict-transport-security" not in answer.headers
    with client(app_for(shared, tls=True), base="https://localhost") as browser:
        answer = browser.login("viewer")
        flags = answer.headers["set-cookie"]
        assert flags.startswith("__Host-lbsync=")
        assert {"HttpOnly", "SameSite=strict", "Path=/", "Secure"} <= set(flags.split("; "))
        assert "Domain" not in flags
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert browser.ask("GET", ME).json()["name"] == "viewer"


def test_each_login_has_its_own_session(shared: Path) -> None:
    """The old one is over: an id that was planted before is worth nothing."""
    with client(app_for(shared)) as browser:
        browser.http.cookies.set("lbsync", "planted", domain="localhost.local")
        browser.login("viewer")
        first = browser.http.cookies["lbsync"]
        assert first != "planted"
        browser.login("operator")
        assert browser.http.cookies["lbsync"] != first
        assert _stolen(browser, f"lbsync={first}") == 401


def test_csrf(shared: Path) -> None:
    """A change needs our origin and the session's token; after the logout both cookie and token are worth nothing."""
    with client(app_for(shared)) as browser:
        browser.login("operator")
        token, cookie = browser.csrf, f"lbsync={browser.http.cookies['lbsync']}"
        refused = [
            ({"Origin": ORIGIN}, "csrf"),
            ({"Origin": ORIGIN, "X-CSRF-Token": "wrong"}, "csrf"),
            ({"Origin": "http://evil.example", "X-CSRF-Token": token}, "origin"),
            ({"Origin": "null", "X-CSRF-Token": token}, "origin"),
            ({"Sec-Fetch-Site": "cross-site", "X-CSRF-Token": token}, "origin"),
        ]
        for headers, code in refused:
            answer = browser.ask("POST", LOOK, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, code), headers
        assert browser.ask("POST", LOOK, headers={"X-CSRF-Token": token}).status_code == 202
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
        assert browser.ask("POST", LOOK, headers=form, content=f"csrf={token}").status_code == 202
        assert browser.ask("POST", LOOK, headers=form, content="csrf=no").status_code == 403
        assert browser.post("/api/v1/session", method="DELETE").status_code == 204
        assert "lbsync" not in browser.http.cookies
        replayed = browser.ask("POST", LOOK, headers={"Cookie": cookie, "Origin": ORIGIN, "X-CSRF-Token": token})
        assert replayed.status_code == 401
        browser.login("operator")
        assert browser.csrf != token
        assert browser.post(LOOK, X_CSRF_Token=token).json()["code"] == "csrf"


def test_no_other_site_logs_anybody_in(shared: Path) -> None:
    """Neither by JSON nor by a form."""
    with client(app_for(shared)) as browser:
        for path in ("/api/v1/session", "/login"):
            answer = browser.ask("POST", path, json={"token": TOKEN}, headers={"Origin": "http://evil.example"})
            assert (answer.status_code, answer.json()["code"]) == (403, "origin")


def test_bearers(shared: Path, tmp_path: Path) -> None:
    """The generated token, and a user's own with the user's role; no cookie, no CSRF; a wrong one hides no session."""
    token, hashed = users.new_token()
    users.save(tmp_path / "users.toml", {"robot": users.User(role=Role.OPERATOR, token=hashed)})
    with client(app_for(tmp_path)) as program:
        for bearer, name, role in ((TOKEN, "token", "approver"), (token.get_secret_value(), "robot", "operator")):
            own = {"Authorization": f"Bearer {bearer}"}
            assert program.ask("GET", ME, headers=own).json() == {"name": name, "role": role, "csrf": None}
            assert program.ask("POST", LOOK, headers=own).status_code == 202
        for wrong in ("Bearer nope", "Basic dG9rOg==", "Bearer", f"bearer {TOKEN}x"):
            assert program.ask("GET", ME, headers={"Authorization": wrong}).status_code == 401
        users.save(tmp_path / "users.toml", {})
        assert (
            program.ask("GET", ME, headers={"Authorization": f"Bearer {token.get_secret_value()}"}).status_code == 401
        )
    with client(app_for(shared, token=None)) as browser:
        browser.login("viewer")
        assert browser.ask("GET", ME, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 401
        assert browser.post("/api/v1/session", {"token": TOKEN}).status_code == 401


def test_the_printed_link(shared: Path) -> None:
    """The page's script hands the token over as JSON; the form takes it too, and keeps its place without a script."""
    with client(app_for(shared)) as browser:
        page = browser.ask("GET", "/login").text
        assert "/static/login.js" in page
        assert "style=" not in page and "<script>" not in page  # noqa: PT018
        assert browser.post("/api/v1/session", {"token": TOKEN}).json()["role"] == "approver"
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}
        wrong = browser.ask("POST", "/login", headers=form, content="name=<b>&password=<i>secret")
        assert wrong.status_code == 401
        assert "Wrong name or password" in wrong.text
        assert "<i>" not in wrong.text
        right = browser.ask(
            "POST", "/login", headers=form, content=f"name=viewer&password={PASSWORD.replace(' ', '+')}"
        )
        assert (right.status_code, right.headers["location"]) == (303, "/")
        csrf = browser.ask("GET", ME).json()["csrf"]
        out = browser.ask("POST", "/logout", headers=form, content=f"csrf={csrf}")
        assert (out.status_code, out.headers["location"]) == (303, "/login")
        assert browser.ask("GET", ME).status_code == 401
        again = browser.ask("POST", "/login", headers=form, content=f"token={TOKEN}")
        assert again.status_code == 303


def test_guessing_waits(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known and unknown names get the same answer, by the same work, and wait alike."""
    work: list[bool] = []
    real = users.fits

    def counted(user: users.User | None, password: str) -> bool:
        work.append(user is not None)
        return real(user, password)

    monkeypatch.setattr("lbsync.service.auth.guard.users.fits", counted)
    with client(app_for(shared), peer="203.0.113.5") as browser:
        known = [browser.login("viewer", "wrong") for _ in range(3)]
        unknown = [browser.login("nobody", "wrong") for _ in range(3)]
        assert {answer.text for answer in known + unknown} == {known[0].text}
        assert {answer.status_code for answer in known + unknown} == {401}
        assert work == [True] * 3 + [False] * 3
        late = browser.login("operator")
        assert (late.status_code, late.headers["retry-after"]) == (429, "1")
        assert late.json()["code"] == "too-many"
        assert len(work) == 6
    with client(browser.app, peer="203.0.113.6") as elsewhere:
        assert elsewhere.login("viewer").status_code == 200


def test_a_flood_of_logins(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many passwords are compared at a time; more are sent away, and count as no failure."""
    monkeypatch.setattr("lbsync.service.auth.guard._WAITING", 1)
    app = app_for(shared)

    async def two() -> list[object]:
        guard = app.state.guard
        tries = (guard.login(name, PASSWORD, "192.0.2.1") for name in ("viewer", "operator"))
        return list(await asyncio.gather(*tries, return_exceptions=True))

    first, second = asyncio.run(two())
    assert not isinstance(first, Exception)
    assert isinstance(second, TooMany)


def test_a_session_dies_with_its_user(tmp_path: Path) -> None:
    """Another role, another password, or no user any more: out at once."""
    app = app_for(tmp_path)
    path = tmp_path / "users.toml"
    for change in ("role", "gone"):
        write_users(path, anna=Role.APPROVER)
        with client(app) as browser:
            browser.login("anna")
            assert browser.ask("GET", ME).status_code == 200
            write_users(path, **({"anna": Role.VIEWER} if change == "role" else {}))
            assert browser.ask("GET", ME).status_code == 401
            assert len(app.state.guard.sessions) == 0


def test_a_proxy_names_people(tmp_path: Path) -> None:
    """With the headers of a listed proxy; anybody else's are ignored. A browser behind it needs the CSRF token too."""
    proxy = {"networks": ("192.0.2.7",), "user_header": "X-User", "role_header": "X-Role"}
    app = app_for(tmp_path, FakeHub(), host="192.0.2.1", hosts=("lb.example",), proxy=proxy, token=None)
    sent = {"X-User": "anna", "X-Role": "operator", "X-Forwarded-Proto": "https"}
    with client(app, base="https://lb.example", peer="192.0.2.7") as behind:
        me = behind.ask("GET", ME, headers=sent).json()
        assert (me["name"], me["role"]) == ("anna", "operator")
        assert behind.ask("POST", LOOK, headers=sent).json()["code"] == "csrf"
        assert behind.post(LOOK, X_CSRF_Token=me["csrf"], **sent).status_code == 202
        assert behind.ask("GET", ME).status_code == 401
    with client(app, base="https://lb.example", peer="192.0.2.8") as around:
        assert around.ask("GET", ME, headers=sent).json()["code"] == "proxy"
        assert around.ask("GET", "/healthz").status_code == 200
    with client(app_for(tmp_path)) as plain:
        assert plain.ask("GET", ME, headers=sent).status_code == 401


def test_an_open_page_keeps_nobody_logged_in(shared: Path) -> None:
    """It asks for its live parts by itself; only what a person asks for counts."""
    app = app_for(shared, idle_s=60)
    sessions, at = app.state.guard.sessions, [0.0]
    sessions._clock = lambda: at[0]
    with client(app) as browser:
        browser.login("viewer")
        for path, after in (("/", 50), ("/?part=live", 100)):
            at[0] = after
            assert browser.ask("GET", path).status_code == 200
        at[0] = 115
        assert browser.ask("GET", ME).status_code == 401
