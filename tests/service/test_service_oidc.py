"""Logging in by an identity provider: one that is run here, and what does not hold."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from pydantic import SecretStr

from lbsync.service.auth import oidc
from lbsync.service.auth.access import OidcAccess
from lbsync.service.values import Role
from tests.service.client import ORIGIN, Client, app_for, client

SECRET = "client-secret-hunter2"


class Provider:
    """A tiny identity provider. ``claims`` and ``answer`` are changed by a test to make it lie."""

    def __init__(self, key: RSAKey) -> None:
        self.key = key
        self.asked: dict[str, list[str]] = {}
        self.login = ""
        self.claims: dict[str, Any] = {}
        self.signed_by: RSAKey | OctKey = self.key
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "k1"}
        self.other: dict[str, Any] = {}
        self.nonce = ""
        self.missing = 0
        """So many bytes of each answer never come."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self)

            def do_POST(self) -> None:
                provider.asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                provider.login = self.headers["Authorization"] or ""
                provider.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Any of its three documents."""
        kind = urlsplit(handler.path).path
        documents: dict[str, dict[str, Any]] = {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
            } | self.other,
            "/keys": dict(KeySet([self.key]).as_dict(private=False)),
        }  # fmt: skip
        if kind == "/token":
            now = int(time.time())
            claims = {
                "iss": self.issuer, "aud": "lbsync", "sub": "u-1", "exp": now + 300, "iat": now, "nonce": self.nonce,
                "preferred_username": "anna", "groups": ["staff", "lb-ops"],
            } | self.claims  # fmt: skip
            claims = {name: value for name, value in claims.items() if value is not None}
            documents[kind] = {"id_token": jwt.encode(self.header, claims, self.signed_by), "token_type": "Bearer"}
        body = json.dumps(documents[kind]).encode()
        handler.send_response(400 if self.asked.get("code") == ["used"] and kind == "/token" else 200)
        handler.send_header("Content-Length", str(len(body) + self.missing))
        handler.end_headers()
        handler.wfile.write(body)


@pytest.fixture(scope="module")
def key() -> RSAKey:
    """The provider's; making one takes a while."""
    return RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"})


@pytest.fixture
def provider(key: RSAKey) -> Generator[Provider]:
    """One for each test."""
    made = Provider(key)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def app(tmp_path: Path, provider: Provider) -> FastAPI:
    """A service that asks it."""
    settings = OidcAccess(
        issuer=provider.issuer, client_id="lbsync", client_secret=SecretStr(SECRET), public_url=ORIGIN,
        roles={"lb-ops": Role.OPERATOR, "lb-look": Role.VIEWER},
    )  # fmt: skip
    return app_for(tmp_path, users_file=None, oidc=settings)


def _begin(browser: Client, provider: Provider) -> dict[str, str]:
    """Sent to the provider with all it needs; returns what it was asked with."""
    answer = browser.ask("GET", "/login/oidc")
    assert answer.status_code == 303
    flags = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax"} <= set(flags.split("; "))
    query = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
    provider.nonce = query["nonce"]
    return query


def _back(browser: Client, state: str, code: str = "c-1", **more: str) -> httpx.Response:
    return browser.ask("GET", f"/login/oidc/callback?{urlencode({'state': state, 'code': code, **more})}")


def test_a_login(app: FastAPI, provider: Provider) -> None:
    """Code with PKCE, state and nonce; the role of a claim; a page of ours goes on, since Strict cookies need one."""
    with client(app) as browser:
        assert 'href="/login/oidc"' in browser.ask("GET", "/login").text
        query = _begin(browser, provider)
        assert query["code_challenge_method"] == "S256"
        assert query["redirect_uri"] == f"{ORIGIN}/login/oidc/callback"
        assert (query["response_type"], query["scope"]) == ("code", "openid profile")
        arrived = _back(browser, query["state"])
        assert arrived.status_code == 200
        assert 'content="0; url=/"' in arrived.text
        assert SECRET not in arrived.text
        digest = hashlib.sha256(provider.asked["code_verifier"][0].encode()).digest()
        assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == query["code_challenge"]
        assert provider.login.startswith("Basic ")
        me = browser.ask("GET", "/api/v1/me").json()
        assert (me["name"], me["role"]) == ("anna", "operator")
        assert _back(browser, query["state"]).status_code == 401, "once only"


def test_a_person_is_issuer_and_subject(app: FastAPI, provider: Provider) -> None:
    """Another name is the same person, another subject is not: for who may approve what was asked for by whom."""
    subjects: list[str] = []
    for claims in ({}, {"preferred_username": "zoe"}, {"sub": "u-2"}):
        provider.claims = claims
        with client(app) as browser:
            _back(browser, _begin(browser, provider)["state"])
            session = app.state.guard.sessions.find(browser.http.cookies["lbsync"])
            subjects.append(session.who.subject)
            assert "u-" not in session.who.subject
    assert subjects[0] == subjects[1] != subjects[2]


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"nonce": "other"}, 401), ({"nonce": None}, 401), ({"aud": "other"}, 401), ({"iss": "https://evil.example"}, 401),
        ({"exp": 1}, 401), ({"exp": None}, 401), ({"iat": 9999999999}, 401), ({"aud": ["lbsync", "x"], "azp": "x"}, 401),
        ({"sub": None}, 401), ({"groups": ["staff"]}, 403), ({"groups": None}, 403), ({"groups": "lb-look"}, 200),
        ({"preferred_username": "a\nb"}, 403),
    ],
)  # fmt: skip
def test_claims_that_do_not_hold(app: FastAPI, provider: Provider, claims: dict[str, Any], status: int) -> None:
    """Another nonce, audience, issuer or time lets nobody in; nor does somebody without a role."""
    provider.claims = claims
    with client(app) as browser:
        assert _back(browser, _begin(browser, provider)["state"]).status_code == status
        assert browser.ask("GET", "/api/v1/me").status_code == (200 if status == 200 else 401)


def test_signatures_that_do_not_hold(app: FastAPI, provider: Provider) -> None:
    """Another's key, and a key that is the client secret."""
    with client(app) as browser:
        provider.signed_by = RSAKey.generate_key(2048, {"kid": "k1"})
        assert _back(browser, _begin(browser, provider)["state"]).status_code == 401
        provider.signed_by, provider.header = OctKey.import_key(SECRET * 2), {"alg": "HS256"}
        assert _back(browser, _begin(browser, provider)["state"]).status_code == 401


def test_logins_that_were_not_begun_here(app: FastAPI, provider: Provider) -> None:
    """An unknown state, another browser, a code used before, the provider's own refusal: nobody is logged in."""
    with client(app) as browser, client(app) as other:
        assert _back(browser, "made-up").status_code == 401
        assert _back(other, _begin(browser, provider)["state"]).status_code == 401
        assert _back(browser, _begin(browser, provider)["state"], "used").status_code == 401
        told = _back(browser, _begin(browser, provider)["state"], error="access_denied", error_description="<b>x")
        assert told.status_code == 401
        assert "<b>" not in told.text


@pytest.mark.parametrize(
    "other", [{"issuer": "https://evil.example"}, {"authorization_endpoint": "http://evil.example"}, {"issuer": None}]
)
def test_a_provider_that_cannot_be_used(app: FastAPI, provider: Provider, other: dict[str, Any]) -> None:
    """It calls itself by another name, or sends browsers out in clear."""
    provider.other = other
    with client(app) as browser:
        assert browser.ask("GET", "/login/oidc").status_code == 502


def test_a_provider_that_does_not_answer(app: FastAPI, provider: Provider) -> None:
    """Told on the login page; without one the login page is all there is."""
    provider.server.shutdown()
    provider.server.server_close()
    with client(app) as browser:
        answer = browser.ask("GET", "/login/oidc")
        assert answer.status_code == 502
        assert "does not answer" in answer.text
        browser.app.state.provider = None
        for path in ("/login/oidc", "/login/oidc/callback"):
            assert browser.ask("GET", path).headers["location"] == "/login"


def test_a_provider_that_hangs_up_half_way(app: FastAPI, provider: Provider) -> None:
    """No more than one that does not answer."""
    provider.missing = 10
    with client(app) as browser:
        assert browser.ask("GET", "/login/oidc").status_code == 502


def test_logins_by_a_slow_provider_take_no_more_than_their_share(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can begin one, and each holds a thread: more than a few are sent away."""
    monkeypatch.setattr(oidc, "_WAITING", 0)
    with client(app) as browser:
        assert browser.ask("GET", "/login/oidc").status_code == 429
