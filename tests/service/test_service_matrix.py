"""Who may do what: every route, every role, and nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from lbsync.service.auth.roles import MATRIX, Need
from lbsync.service.values import Role
from tests.service.client import PASSWORD, Client, app_for, client
from tests.service.fakes import JOB, PROPOSAL, RUN, FakeHub

_PATHS = {"{ns}": "mail", "{run}": RUN, "{proposal}": PROPOSAL, "{job}": JOB, "{file}": "login.js"}
_BODIES: dict[str, object] = {
    "/api/v1/session": {"name": "viewer", "password": PASSWORD},
    "/api/v1/namespaces/{ns}/proposals": {"kind": "rotate"},
    "/api/v1/namespaces/{ns}/proposals/{proposal}/decline": {"reason": "not today"},
}
_LATER = {("GET", "/"), ("GET", "/metrics")}
"""Of rooms that are built beside this one."""
_DENIED = {401, 403}


def _routes(routes: object) -> Iterator[tuple[str, str]]:
    """Every method and path of an application, those of its routers too."""
    for route in routes if isinstance(routes, list) else []:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _routes(inner.routes)
        else:
            yield from ((method, route.path) for method in route.methods - {"HEAD"})


def test_every_route_is_in_the_matrix(tmp_path: Path) -> None:
    """None is forgotten, and none stands there that is not: what is not in the matrix cannot be reached."""
    found = set(_routes(app_for(tmp_path).routes))
    assert len(found) > 20
    assert found - set(MATRIX) == set()
    assert set(MATRIX) - found <= _LATER


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the users are: hashing their passwords once is enough."""
    return tmp_path_factory.mktemp("service")


def _app(folder: Path) -> FastAPI:
    return app_for(folder, FakeHub())


def _expected(need: Need, role: Role | None) -> bool:
    if need is Need.ANYONE:
        return True
    if need is Need.METRICS:
        return role is not None
    order = [None, Role.VIEWER, Role.OPERATOR, Role.APPROVER]
    return order.index(role) >= order.index(Role(need.value))


@pytest.mark.parametrize("role", [None, *Role])
def test_the_matrix_holds(folder: Path, role: Role | None) -> None:
    """Every endpoint: let in where the matrix says so, 401 for nobody, 403 for a role that is not enough."""
    with client(_app(folder), peer="203.0.113.5") as browser:
        if role is not None:
            browser.login(role.value)
        later = _LATER - set(_routes(browser.app.routes))
        for (method, template), need in MATRIX.items():
            if (method, template) in later or template.endswith(("/events", "/logout")) or method == "DELETE":
                continue
            answer = _call(browser, method, template)
            if _expected(need, role):
                assert answer not in _DENIED, (method, template)
                # Where the fake has none, and forms of pages, other answers are right too.
                odd = template.startswith("/login") or "/jobs/" in template or template.endswith("/report")
                odd = odd or _is_form(method, template)
                assert odd or answer not in {303, 404, 405, 422}, (method, template)
            else:
                assert answer == (403 if role is not None else 303 if _is_page(method, template) else 401), (
                    method,
                    template,
                )


def _is_page(method: str, template: str) -> bool:
    return method == "GET" and not template.startswith(("/api/", "/metrics"))


def _is_form(method: str, template: str) -> bool:
    return method != "GET" and not template.startswith("/api/")


def _call(browser: Client, method: str, template: str) -> int:
    if template in {"/login", "/api/v1/session"} and method == "POST":
        return 200  # they would change who is logged in; their own tests are below
    browser.app.state.hub = FakeHub()
    path = template
    for name, value in _PATHS.items():
        path = path.replace(name, value)
    if method == "GET":
        return browser.ask("GET", path).status_code
    return browser.post(path, _BODIES.get(template), method=method).status_code


def test_what_needs_a_login_says_so(folder: Path) -> None:
    """Pages send to the login, the API tells; both for logging out and for the stream of events."""
    with client(_app(folder), peer="203.0.113.5") as browser:
        page = browser.ask("GET", "/")
        assert (page.status_code, page.headers["location"]) == (303, "/login")
        for method, path in (
            ("GET", "/api/v1/events"),
            ("GET", "/metrics"),
            ("DELETE", "/api/v1/session"),
            ("POST", "/logout"),
        ):
            answer = browser.post(path, method=method)
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "login"


def test_metrics_are_for_this_host_too(folder: Path, tmp_path: Path) -> None:
    """A peer on loopback may read them without a login, unless it may be a proxy that speaks for others."""
    with client(_app(folder)) as here:
        assert here.ask("GET", "/metrics").status_code not in _DENIED
    behind = app_for(tmp_path, proxy={"networks": ("127.0.0.1",)})
    with client(behind) as proxied:
        assert proxied.ask("GET", "/metrics").status_code == 401


def test_who_asked_is_told_to_the_hub(folder: Path) -> None:
    """With name, role and the way it came; approving twice is one job."""
    hub = FakeHub()
    with client(app_for(folder, hub)) as browser:
        browser.login("approver")
        path = f"/api/v1/namespaces/mail/proposals/{PROPOSAL}/approve"
        first, second = browser.post(path), browser.post(path)
        assert first.status_code == second.status_code == 202
        assert first.json()["id"] == second.json()["id"]
        assert len(hub.jobs) == 1
        assert hub.calls[0] == ("approve", "mail", "approver (approver, web)")
