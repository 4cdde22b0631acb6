"""Log in with a password, give the token back: what the SDK's own login does not do.

Rule of this room: the password goes into one request body and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import requests
from pydantic import SecretStr

from lbsync.errors import Rejected
from lbsync_f5.session.adapter import TOKEN_HEADER, Patience, VerifyingAdapter
from lbsync_f5.session.failures import refused, told

_OK = 200


@dataclass(frozen=True, slots=True)
class Address:
    """One device and the account on it."""

    host: str
    port: int
    user: str
    password: SecretStr
    provider: str
    ca: str | bool
    server_name: str | None
    patience: Patience

    @property
    def url(self) -> str:
        """Without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"


class Login:
    """A token, and the transport that carries it."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.adapter = VerifyingAdapter(address.ca, address.server_name, address.patience)
        self._session = requests.Session()
        self._session.trust_env = False  # neither proxies nor a netrc of the environment
        self._session.mount("https://", self.adapter)

    def open(self) -> Self:
        """Log in; returns itself. Raises TargetError."""
        try:
            self.adapter.token = self._new_token()
        except BaseException:
            self.close()
            raise
        self.adapter.renew = self._renew
        return self

    @property
    def token(self) -> str:
        """The one that is carried now; empty without a login."""
        return self.adapter.token

    def close(self) -> None:
        """Give the token back, and hang up. A device that is gone keeps it until it expires."""
        self.adapter.renew, self.adapter.patient = None, False  # nobody waits for minutes to say good-bye
        try:
            if self.token:
                url = f"{self.address.url}/mgmt/shared/authz/tokens/{self.token}"
                self._session.delete(url, headers={TOKEN_HEADER: self.token})
        except (requests.exceptions.RequestException, OSError, Rejected):
            pass
        finally:
            self.adapter.token = ""
            self._session.close()

    def _renew(self) -> None:
        self.adapter.renew = None  # a login that is refused is no reason to log in
        try:
            self.adapter.token = self._new_token()
        finally:
            self.adapter.renew = self._renew

    def _new_token(self) -> str:
        body = {
            "username": self.address.user,
            "password": self.address.password.get_secret_value(),
            "loginProviderName": self.address.provider,
        }
        where = self.address.url
        with told(where, reading=True):
            response = self._session.post(f"{where}/mgmt/shared/authn/login", json=body)
            if response.status_code != _OK:
                raise refused(where, response)
            answer: Any = response.json()
            token = answer.get("token", {}).get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token:
            raise Rejected(
                "the device's answer to the login holds no token",
                where=where,
                state="nothing was changed",
                remedy="see that hosts and port in balancers.settings are a BIG-IP's management interface",
                code="no_token",
            )
        return token
