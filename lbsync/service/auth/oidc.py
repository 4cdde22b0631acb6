"""Logging in by an identity provider: OpenID Connect, authorization code with PKCE.

Rule of this file: what a browser brings back is believed only where state, cookie, nonce, issuer, audience, signature and time
all fit; each login that was begun can end once. Asking the provider blocks, so it is done in a thread.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlencode, urlsplit

from lbsync.errors import Denied, LbsyncError, TargetError, Unreachable
from lbsync.service.auth.access import OidcAccess, is_loopback
from lbsync.service.auth.guard import TooMany
from lbsync.service.auth.proxy import highest
from lbsync.service.values import Role, Who

CALLBACK: Final = "/login/oidc/callback"
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a key pair: never none, never one made with a secret that the client knows too."""
_TIME_TO_LOG_IN_S: Final = 600.0
_MOST: Final = 1000
_KEEP_S: Final = 3600.0
_WAIT_S: Final = 10.0
_LEEWAY_S: Final = 60
_LARGEST: Final = 512 * 1024
_AT_ONCE: Final = 2
_WAITING: Final = 32
"""Anybody may ask for a login, and each holds a thread while the provider is asked: the service needs some for itself."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Begun:
    """A login on its way: what only this browser and the provider will know of."""

    browser: str
    nonce: str
    verifier: str
    at: float


class Provider:
    """One identity provider. ``ask``, ``begin`` and ``take`` are the event loop's; what blocks is a thread's."""

    def __init__(self, settings: OidcAccess, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._begun: OrderedDict[str, _Begun] = OrderedDict()
        self._known: tuple[float, dict[str, Any]] | None = None
        self._asking = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def ask(self, work: Callable[..., _T], *what: object) -> _T:
        """``discover`` or ``finish`` in a thread, few at a time. Raises TooMany, and what they raise."""
        if self._waiting >= _WAITING:
            raise TooMany(1)
        self._waiting += 1
        try:
            async with self._asking:
                return await asyncio.to_thread(work, *what)
        finally:
            self._waiting -= 1

    @property
    def callback(self) -> str:
        """Where the provider sends browsers back to."""
        return self._settings.public_url.rstrip("/") + CALLBACK

    def discover(self) -> dict[str, Any]:
        """The provider's own description; kept for an hour. Blocks. Raises TargetError."""
        now = self._clock()
        if self._known is None or now - self._known[0] > _KEEP_S:
            document = self._ask("GET", self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
            if document.get("issuer") != self._settings.issuer:
                raise self._refused("it calls itself by another name than issuer says")
            self._known = now, document
        return self._known[1]

    def begin(self, document: dict[str, Any]) -> tuple[str, str]:
        """A login: the address to send the browser to, and the value of the cookie that has to come back with it."""
        state, browser, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(4))
        self._begun[state] = _Begun(browser=_hashed(browser), nonce=nonce, verifier=verifier, at=self._clock())
        while len(self._begun) > _MOST:
            self._begun.popitem(last=False)
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self.callback,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        where = self._address(document, "authorization_endpoint")
        return f"{where}{'&' if '?' in where else '?'}{urlencode(query)}", browser

    def take(self, state: str, browser: str | None) -> _Begun:
        """The login that this state belongs to, once. Raises Denied where another browser began it, or nobody did."""
        begun = self._begun.pop(state, None)
        if begun is None or self._clock() - begun.at > _TIME_TO_LOG_IN_S:
            raise _denied("this login was not begun here, or too long ago")
        if browser is None or not hmac.compare_digest(_hashed(browser), begun.browser):
            raise _denied("another browser began this login")
        return begun

    def finish(self, begun: _Begun, code: str) -> Who:
        """Who it is, and the role here. Blocks. Raises Denied, TargetError."""
        document = self.discover()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.callback,
            "code_verifier": begun.verifier,
            "client_id": self._settings.client_id,
        }
        answer = self._ask("POST", self._address(document, "token_endpoint"), form=form)
        claims = self._claims(document, str(answer.get("id_token", "")), begun.nonce)
        role = self._role(claims.get(self._settings.role_claim))
        name = str(claims.get(self._settings.name_claim) or claims.get("sub", ""))[:128]
        if role is None or not name or not name.isprintable():
            raise LbsyncError(
                "the identity provider knows you, but you have no role here",
                where="login",
                state="nobody is logged in",
                remedy="ask for a group that [service.oidc] roles names",
                code="no-role",
            )
        # The only pair of claims that stays the same and is nobody else's (OpenID Connect Core 1.0, 5.7).
        return Who(name=name, role=role, via="web", subject=_hashed(f"{self._settings.issuer}\0{claims['sub']}")[:32])

    def _claims(self, document: dict[str, Any], token: str, nonce: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        keys = self._ask("GET", self._address(document, "jwks_uri"))
        try:
            decoded = jwt.decode(token, KeySet.import_key_set(cast("Any", keys)), algorithms=list(_ALGORITHMS))
            jwt.JWTClaimsRegistry(
                leeway=_LEEWAY_S,
                iss={"essential": True, "value": self._settings.issuer},
                aud={"essential": True, "value": self._settings.client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(decoded.claims)
        except (JoseError, ValueError, KeyError, TypeError):
            raise _denied("what the identity provider sent does not hold") from None
        claims: dict[str, Any] = decoded.claims
        if claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise _denied("what the identity provider sent is for somebody else")
        return claims

    def _role(self, claim: object) -> Role | None:
        names = [claim] if isinstance(claim, str) else claim if isinstance(claim, list) else []
        return highest([str(name) for name in names], self._settings.roles)

    def _address(self, document: dict[str, Any], key: str) -> str:
        """An address of the provider's description: https, or this host."""
        url = str(document.get(key, ""))
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise self._refused(f"its {key} is no https address")
        return url

    def _ask(self, method: str, url: str, *, form: dict[str, str] | None = None) -> dict[str, Any]:
        import requests
        import urllib3

        secret = self._settings.client_secret
        login = (self._settings.client_id, secret.get_secret_value()) if form is not None and secret else None
        try:
            with requests.Session() as session:
                answer = session.request(
                    method, url, data=form, auth=login, timeout=_WAIT_S, allow_redirects=False, stream=True,
                    verify=self._settings.ca_file or True, headers={"Accept": "application/json"},
                )  # fmt: skip
                body = answer.raw.read(_LARGEST + 1, decode_content=True)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
            raise Unreachable("the identity provider does not answer", where=self._settings.issuer) from None
        if answer.status_code in {400, 401} and form is not None:
            raise _denied("the identity provider refused this login")
        return self._read(answer.status_code, body)

    def _read(self, status: int, body: bytes) -> dict[str, Any]:
        import json

        good = 200
        try:
            document = json.loads(body) if status == good and len(body) <= _LARGEST else None
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._refused("it answers with something else than was asked for")
        return cast("dict[str, Any]", document)

    def _refused(self, why: str) -> TargetError:
        return TargetError(
            f"the identity provider cannot be used: {why}", where=self._settings.issuer, state="nobody is logged in"
        )


def _denied(why: str) -> Denied:
    return Denied(why, where="login", state="nobody is logged in", remedy="log in again", code="login-failed")


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _challenge(verifier: str) -> str:
    """RFC 7636, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
