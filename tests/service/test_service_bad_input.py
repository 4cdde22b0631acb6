"""What is wrong, too much or meant badly: clear answers, nothing echoed, nothing told that is nobody's business."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from lbsync.errors import Denied, LedgerError, PlanRefused, Unreachable
from lbsync.service.auth.access import OidcAccess
from lbsync.service.auth.roles import MATRIX
from lbsync.service.port import Busy, Gone, NotYours
from lbsync.service.values import Role
from lbsync.service.web.statics import table
from tests.service.client import PASSWORD, TOKEN, Client, app_for, client, write_users
from tests.service.fakes import PROPOSAL, RUN, FakeHub

MARK = "zq9-marker"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PROPOSE = "/api/v1/namespaces/mail/proposals"
SECRET = "oidc-client-secret-hunter2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three users."""
    path = tmp_path_factory.mktemp("bad")
    write_users(path / "users.toml", **{role.value: role for role in Role})
    return path


@pytest.fixture
def hub() -> FakeHub:
    """A new one for each test."""
    return FakeHub()


@pytest.fixture
def app(folder: Path, hub: FakeHub) -> FastAPI:
    """The application."""
    return app_for(folder, hub)


def _problem(answer: httpx.Response, status: int, code: str) -> None:
    """A problem with all its parts, and nothing of what was sent."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == {"title", "status", "message", "where", "state", "remedy", "code", "fields"}
    assert (body["status"], body["code"]) == (status, code)
    assert MARK not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b'{"kind": "' + MARK.encode(), 400, "no-json"),
        (b"\xff\xfe" + MARK.encode(), 400, "no-json"),
        (b"", 422, "invalid"),
        (f'{{"kind": "{MARK}"}}'.encode(), 422, "invalid"),
        (f'{{"kind": "rotate", "{MARK}": 1}}'.encode(), 422, "invalid"),
        (f'{{"kind": "apply", "modes": {{"{MARK}": "bridge"}}}}'.encode(), 422, "invalid"),
        (f'{{"kind": "apply", "modes": {{"owa": "{MARK}"}}}}'.encode(), 422, "invalid"),
        (f'{{"kind": "rotate", "thumbprint": "{MARK}"}}'.encode(), 422, "invalid"),
        (f'["{MARK}"]'.encode(), 422, "invalid"),
        (b"[" * 100_000, 400, "no-json"),
        (b"NaN", 422, "invalid"),
        (b'"' + b"x" * 1_000_000 + b'"', 413, "too-large"),
    ],
)  # fmt: skip
def test_bodies(app: FastAPI, content: bytes, status: int, code: str) -> None:
    """Broken, of another shape, or too large."""
    with client(app) as program:
        headers = BEARER | {"Content-Type": "application/json"}
        _problem(program.ask("POST", PROPOSE, content=content, headers=headers), status, code)


def test_a_body_that_lies_about_its_length(app: FastAPI) -> None:
    """Counted, whatever was announced; and somebody unknown may send little."""

    async def chunks() -> object:
        for _ in range(20):
            yield b"x" * 100_000

    with client(app) as program:
        _problem(program.ask("POST", PROPOSE, content=chunks(), headers=BEARER), 413, "too-large")
        _problem(program.ask("POST", PROPOSE, headers=BEARER | {"Content-Length": "9" * 30}), 413, "too-large")
        _problem(program.ask("POST", "/api/v1/session", content=b"x" * 20_000), 413, "too-large")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/%2e%2e%2fetc", "/api/v1/namespaces/..%5c..", "/static/..%2fapp.py", "/static/%2e%2e/app.py",
        "/static//etc/passwd", "/static/login.js%00.png", "/api/v1/namespaces/mail%20x", f"/{MARK}", "/.git/config",
        "/docs", "/redoc", "/openapi.json", "/api/v1/namespaces/mail/runs/..%2f..%2fserve.token", "/static/none.js",
    ],
)  # fmt: skip
def test_paths(app: FastAPI, path: str) -> None:
    """No trick reaches a file or a route."""
    with client(app) as program:
        _problem(program.ask("GET", path, headers=BEARER), 404, "no-page")


def test_methods(app: FastAPI) -> None:
    """What can be done is told."""
    with client(app) as program:
        for method in ("PUT", "TRACE", "OPTIONS", "HEAD", "BREW"):
            answer = program.ask(method, "/api/v1/namespaces", headers=BEARER)
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("hosts", "fine"),
    [
        (["localhost"], True), (["LOCALHOST:9999"], True), (["127.0.0.1:8440"], True), (["[::1]:8440"], True),
        (["evil.example"], False), (["localhost.evil.example"], False), (["localhost", "evil.example"], False), ([], False),
        (["127.0.0.1.nip.example:8440"], False), (["[::1].evil"], False),
    ],
)  # fmt: skip
def test_names(app: FastAPI, hosts: list[str], *, fine: bool) -> None:
    """A page whose name was made to point here (DNS rebinding) gets nothing, on loopback too."""
    from lbsync.service.web.security import named

    assert named(app.state.guard.access, hosts) is fine
    if len(hosts) == 1:
        with client(app) as program:
            answer = program.ask("GET", "/healthz", headers={"Host": hosts[0]})
            assert answer.status_code == (200 if fine else 421)


def test_headers_of_every_answer(app: FastAPI) -> None:
    """Pages, API, files and errors: no inline script, no frame, no guessing of types, no copy kept."""
    with client(app) as program:
        for path in ("/login", "/healthz", "/api/v1/me", "/nothing", "/static/login.js", "/api/v1/namespaces"):
            headers = program.ask("GET", path, headers=BEARER).headers
            policy = headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert "script-src 'self'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert "camera=()" in headers["permissions-policy"]
            assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")
            assert "server" not in headers


def test_files(app: FastAPI) -> None:
    """By a table; unchanged ones are not sent again."""
    assert {"login.js", "app.css"} <= set(table())
    with client(app) as browser:
        first = browser.ask("GET", "/static/login.js")
        assert first.headers["content-type"].startswith("text/javascript")
        again = browser.ask("GET", "/static/login.js", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Busy("a rotation is under way", code="busy"), 409, "busy"),
        (NotYours("you asked for it yourself", code="four-eyes"), 409, "four-eyes"),
        (Gone("it is over", code="expired"), 410, "expired"),
        (PlanRefused("unsafe", code="x"), 409, "x"),
        (Unreachable("no answer"), 502, ""),
        (Denied("rejected"), 502, ""),
        (LedgerError("the ledger is of a newer version"), 503, ""),
        (RuntimeError(MARK), 500, "unexpected"),
    ],
)
def test_what_the_hub_says(app: FastAPI, hub: FakeHub, failure: Exception, status: int, code: str) -> None:
    """Each error has its status; one that nobody thought of tells nothing, and the service stays up."""
    hub.failure = failure
    with client(app) as program:
        _problem(program.ask("POST", f"{PROPOSE}/{PROPOSAL}/approve", headers=BEARER), status, code)
        assert program.ask("GET", "/healthz").json() == {"ok": True}


def test_health_tells_no_details(app: FastAPI, hub: FakeHub) -> None:
    """Without a login: well or not, and no more."""
    with client(app) as program:
        hub.is_alive = hub.is_ready = False
        for path in ("/healthz", "/readyz"):
            answer = program.ask("GET", path)
            assert (answer.status_code, answer.json()) == (503, {"ok": False})


def test_four_parts_of_an_error(app: FastAPI, hub: FakeHub) -> None:
    """Message, where, state and remedy come through as lbsync tells them."""
    hub.failure = LedgerError("m", where="w", state="s", remedy="r")
    with client(app) as program:
        body = program.ask("POST", "/api/v1/namespaces/mail/look", headers=BEARER).json()
        assert [body[part] for part in ("message", "where", "state", "remedy")] == ["m", "w", "s", "r"]
        missing = program.ask("GET", "/api/v1/namespaces/none", headers=BEARER)
        _problem(missing, 404, "unknown-namespace")


def _every(program: Client, headers: dict[str, str]) -> list[str]:
    """All that is answered to every endpoint, with headers."""
    texts: list[str] = []
    for method, template in sorted(MATRIX):
        if template.endswith("/events"):
            continue
        path = template.replace("{ns}", "mail").replace("{run}", RUN).replace("{proposal}", PROPOSAL)
        path = path.replace("{job}", "j-1").replace("{file}", "login.js")
        known = {"session": {"name": "viewer", "password": "wrong " + PASSWORD}, "proposals": {"kind": "rotate"}}
        body = known.get(path.rpartition("/")[2], {"reason": "no"})
        answer = program.ask(method, path, headers=headers, json=body if method != "GET" else None)
        texts.append(f"{answer.headers} {answer.text}")
    return texts


def test_no_secret_leaves(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the token, nor a password or its hash, nor the client secret is in any answer or log."""
    oidc = OidcAccess(
        issuer="http://127.0.0.1:9", client_id="lbsync", client_secret=SecretStr(SECRET), public_url="http://localhost:8440",
        roles={},
    )  # fmt: skip
    hub = FakeHub()
    app = app_for(folder, hub, oidc=oidc)
    caplog.set_level("DEBUG")
    with client(app, peer="203.0.113.5") as program:
        texts = _every(program, BEARER) + _every(program, {})
        hub.failure = RuntimeError("boom")
        texts += _every(program, BEARER)
    texts.append(repr(app.state.guard.access) + repr(app.state.guard.sessions))
    said = "\n".join([*texts, caplog.text])
    assert "a request failed" in caplog.text
    for secret in (TOKEN, PASSWORD, SECRET, "$argon2"):
        assert secret not in said
