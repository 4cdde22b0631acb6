"""Users, passwords and tokens of the management side.

Rule of this room: a token is a secret; it is shown to the one it was made for and never logged.
"""

from __future__ import annotations

import secrets
import string
import threading
import time
from dataclasses import dataclass, field

from lbsync.lab.bigip.errors import Refusal
from lbsync.lab.bigip.names import Json

LIFE_S = 1200
MAX_LIFE_S = 36000
ADMIN = "admin"
_ALPHABET = string.ascii_uppercase + string.digits


@dataclass(slots=True)
class Token:
    """One token; times are seconds since the epoch."""

    value: str = field(repr=False)
    user: str
    made: float
    timeout_s: int

    @property
    def ends(self) -> float:
        """When it stops to be accepted."""
        return self.made + self.timeout_s

    def body(self) -> Json:
        """As login_200.json and token_patch_timeout_200.json show it."""
        return {
            "token": self.value,
            "name": self.value,
            "userName": self.user,
            "authProviderName": "tmos",
            "timeout": self.timeout_s,
            "partition": "[All]",
            "generation": 1,
            "lastUpdateMicros": int(self.made * 1e6),
            "expirationMicros": int(self.ends * 1e6),
            "kind": "shared:authz:tokens:authtokenitemstate",
            "selfLink": f"https://localhost/mgmt/shared/authz/tokens/{self.value}",
        }


class Tokens:
    """Every user and token of one device."""

    def __init__(self, users: dict[str, str], limit: int = 100) -> None:
        """``users`` maps names to passwords; ``limit`` counts live tokens of every user but ``admin``."""
        self._users = users
        self._tokens: dict[str, Token] = {}
        self._lock = threading.Lock()
        self.limit = limit

    def knows(self, user: str, password: str) -> bool:
        """True for the right password of a user."""
        return secrets.compare_digest(self._users.get(user, "\0").encode(), password.encode())

    def login(self, user: str, password: str) -> Token:
        """A new token. Raises Refusal."""
        if not self.knows(user, password):
            raise Refusal(401, "Authentication failed.")  # Assumption ``login-401``.
        with self._lock:
            if user != ADMIN and len(self._live(user)) >= self.limit:
                raise Refusal(400, f"Bad Request: user {user} has reached maximum active login tokens")
            token = Token("".join(secrets.choice(_ALPHABET) for _ in range(26)), user, time.time(), LIFE_S)
            self._tokens[token.value] = token
        return token

    def _live(self, user: str) -> list[Token]:
        now = time.time()
        return [token for token in self._tokens.values() if token.user == user and token.ends > now]

    def live(self, user: str) -> int:
        """How many tokens of a user are accepted now."""
        with self._lock:
            return len(self._live(user))

    def check(self, value: str) -> Token:
        """The token of a request. Raises Refusal."""
        token = self._tokens.get(value)
        if token is None:
            raise Refusal(401, "X-F5-Auth-Token does not exist.")
        if token.ends <= time.time():
            raise Refusal(401, "X-F5-Auth-Token has expired.")
        return token

    def find(self, value: str) -> Token:
        """One to be shown, prolonged or deleted. Raises Refusal."""
        token = self._tokens.get(value)
        if token is None:
            raise Refusal(404, f"Object not found - {value}", 1)
        return token

    def prolong(self, value: str, timeout: object) -> Token:
        """Give it another life, counted from when it was made. Raises Refusal."""
        token = self.find(value)
        try:
            seconds = int(str(timeout))
        except ValueError:
            raise Refusal(400, f"invalid timeout {timeout!r}", 1) from None
        if seconds > MAX_LIFE_S:
            raise Refusal(406, f"Auth-token absolute timeout ({MAX_LIFE_S} seconds) exceeded", 1)
        token.timeout_s = seconds
        return token

    def delete(self, value: str) -> Token:
        """End it. Raises Refusal."""
        token = self.find(value)
        with self._lock:
            del self._tokens[value]
        return token

    def expire_all(self) -> None:
        """Let every token's life be over."""
        with self._lock:
            for token in self._tokens.values():
                token.timeout_s = 0
