"""Who is asking: by session, bearer or trusted proxy; and letting people in.

Rule of this file: the one place where a request becomes a name and a role. Whatever let somebody in is looked at again with
every request, so that a role that changed or a user who was removed counts at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from lbsync.errors import LbsyncError
from lbsync.service.auth import proxy, tokens, users
from lbsync.service.auth.access import Access, is_loopback
from lbsync.service.auth.lockout import Lockout
from lbsync.service.auth.sessions import Session, Sessions
from lbsync.service.values import TOKEN_USER, Role, Who

_AT_ONCE: Final = 2
"""Passwords compared at the same time: each takes 19 MiB."""
_WAITING: Final = 32
"""Logins that wait for that; more are sent away, so that no flood of them fills the memory."""


class LoginFailed(LbsyncError):
    """Wrong name, password or token; which of them is not told."""


class TooMany(LbsyncError):
    """Too many failures: wait ``wait_s`` seconds."""

    def __init__(self, wait_s: float) -> None:
        seconds = max(1, int(wait_s + 0.999))
        super().__init__(
            f"too many failed logins: wait {seconds} s", where="login", remedy="try again then", code="too-many"
        )
        self.wait_s = seconds


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody known. ``csrf``: the token that changes need; None for a bearer, which no browser sends by itself."""

    who: Who
    csrf: str | None
    kind: Literal["session", "bearer", "proxy"]
    stamp: str
    session: Session | None = None
    identity: str = ""
    """The session's id, for logging out."""

    def __repr__(self) -> str:
        """Without what lets in."""
        return f"Known({self.who}, {self.kind})"


class Guard:
    """The logins of one service."""

    def __init__(self, access: Access, clock: Callable[[], float] = time.monotonic) -> None:
        self.access = access
        self.users = users.Users(access.users_file)
        self.sessions = Sessions(idle_s=access.idle_s, lasting_s=access.lasting_s, clock=clock)
        self.lockout = Lockout(clock)
        self._key = secrets.token_bytes(32)
        self._comparing = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    # Who is asking.

    def known(self, *, peer: str, headers: proxy.Headers, cookie: str | None, used: bool = True) -> Known | None:
        """Who sent a request; ``used``: a person did, not an open page.

        A bearer that is wrong is nobody, whatever else was sent; a session goes before a proxy's word.
        """
        bearer = _bearer(headers)
        if bearer is not None:
            return self._by_bearer(bearer)
        if cookie is not None and (session := self.sessions.find(cookie, used=used)) is not None:
            known = Known(session.who, session.csrf, "session", session.stamp, session, cookie)
            if self.still(known):
                return known
            self.sessions.end(cookie)
        who = proxy.named_by(self.access, peer, headers)
        if who is None:
            return None
        stamp = f"proxy:{who.name}\0{who.role.value}"
        return Known(who, hmac.new(self._key, stamp.encode(), hashlib.sha256).hexdigest(), "proxy", stamp)

    def still(self, known: Known) -> bool:
        """Whether what let somebody in would still let the same in; asked again and again while an event stream is open.

        Of whom a proxy names this cannot tell it: such a stream ends after a while, and whoever comes back is named anew.
        """
        if known.session is not None and not self.sessions.lives(known.session):
            return False
        origin, _, stamp = known.stamp.partition(":")
        match origin:
            case "user":
                user = self.users.all().get(known.who.name)
                return user is not None and user.stamp == stamp
            case "token":
                return self.access.token is not None
            case _:
                return True

    def _by_bearer(self, token: str) -> Known | None:
        if tokens.same(token, self.access.token):
            return Known(_token_user("api"), None, "bearer", "token:")
        found = self.users.by_token(token)
        if found is None:
            return None
        name, user = found
        return Known(Who(name=name, role=user.role, via="api"), None, "bearer", f"user:{user.stamp}")

    def this_host(self, peer: str) -> bool:
        """Whether a peer is this very host, and not a proxy on it that speaks for others."""
        return is_loopback(peer) and not self.access.trusts(peer)

    # Letting in.

    async def login(self, name: str, password: str, address: str) -> tuple[str, Session]:
        """By password: the new session's id and the session. Raises LoginFailed, TooMany."""
        self._may_try(name, address)
        if self._waiting >= _WAITING:
            raise TooMany(1)
        # Noted as failed before it is compared: a thousand tries at once are a thousand failures.
        self.lockout.failed(name, address)
        user = self.users.all().get(name)
        self._waiting += 1
        try:
            async with self._comparing:
                fits = await asyncio.to_thread(users.fits, user, password)
        finally:
            self._waiting -= 1
        if user is None or not fits:
            raise _failed("name or password")
        self.lockout.succeeded(name, address)
        return self.sessions.begin(Who(name=name, role=user.role, via="web"), f"user:{user.stamp}")

    def login_by_token(self, token: str, address: str) -> tuple[str, Session]:
        """By the generated token, or a user's API token. Raises LoginFailed, TooMany."""
        self._may_try("", address)
        known = self._by_bearer(token)
        if known is None:
            self.lockout.failed("", address)
            raise _failed("token")
        return self.sessions.begin(replace(known.who, via="web"), known.stamp)

    def login_by_provider(self, who: Who) -> tuple[str, Session]:
        """Whom the identity provider vouched for; looked at again when the session is over."""
        return self.sessions.begin(who, "oidc:")

    def _may_try(self, name: str, address: str) -> None:
        wait = self.lockout.wait_s(name, address)
        if wait > 0:
            raise TooMany(wait)


def _token_user(via: Literal["web", "api"]) -> Who:
    return Who(name=TOKEN_USER, role=Role.APPROVER, via=via)


def _failed(what: str) -> LoginFailed:
    return LoginFailed(f"wrong {what}", where="login", state="nobody is logged in", code="login-failed")


def _bearer(headers: proxy.Headers) -> str | None:
    """The bearer that was sent; an Authorization header of another kind, or more than one, is a bearer nobody has."""
    values = proxy.values_of(headers, "authorization")
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() if len(values) == 1 and scheme.lower() == "bearer" else ""
