"""The other end of ``lbsync remote``: a service's API, asked over HTTP.

Rule of this file: the token goes to the one address given and nowhere else: over TLS that is verified, or to this host; to no
redirect, and past no proxy. What the service refuses keeps its words and is an error of the kind the command line has.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import SecretStr, TypeAdapter, ValidationError

from lbsync.errors import ConfigError, Denied, LbsyncError, PlanRefused, Rejected, Unreachable

if TYPE_CHECKING:
    import requests

_T = TypeVar("_T")
_PREFIX: Final = "/api/v1"
_CONNECT_S: Final = 10
_ANSWER_S: Final = 120
_NOTHING: Final = "nothing was asked of the service"


class Remote:
    """A service, for one command; a context manager. ``token`` is the generated one, or a user's."""

    def __init__(self, server: str, token: SecretStr, ca_file: Path | None = None) -> None:
        """``server`` is ``https://HOST:PORT``, or ``http://`` for this host. Raises ConfigError."""
        import requests

        self.server = checked(server)
        self._session = requests.Session()
        self._session.trust_env = False  # no .netrc in the token's place, and no proxy that sees it
        self._session.verify = _verified(ca_file)
        self._session.headers.update(
            {"Authorization": f"Bearer {token.get_secret_value()}", "Accept": "application/json"}
        )

    def __enter__(self) -> Self:
        """Itself; nothing is asked yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def get(self, shape: type[_T], *path: str) -> _T:
        """What is at ``path``, below the API's prefix. Raises LbsyncError."""
        return self._read(shape, self._ask("GET", path))

    def post(self, shape: type[_T], *path: str, body: dict[str, object] | None = None) -> _T:
        """What the service says to this request for a change. Raises LbsyncError."""
        return self._read(shape, self._ask("POST", path, body))

    def send(self, *path: str, body: dict[str, object] | None = None) -> None:
        """The same where it says nothing. Raises LbsyncError."""
        self._ask("POST", path, body)

    def _ask(self, method: str, path: tuple[str, ...], body: dict[str, object] | None = None) -> requests.Response:
        import requests

        url = self.server + "/".join((_PREFIX, *(quote(part, safe="") for part in path)))
        try:
            answer = self._session.request(
                method, url, json=body, timeout=(_CONNECT_S, _ANSWER_S), allow_redirects=False
            )
        except requests.exceptions.SSLError:
            raise ConfigError(
                "the service's certificate is not one that is trusted here for this name",
                where=self.server,
                state=_NOTHING,
                remedy="name its CA with --ca-file, and call it by a name on its certificate",
            ) from None
        except requests.RequestException as error:
            raise Unreachable(
                f"the service does not answer ({type(error).__name__})",
                where=self.server,
                state=_NOTHING
                if method == "GET"
                else "it is not known whether it heard; what it began, it goes on with",
                remedy="look at it there: systemctl status lbsync-serve; then lbsync remote status",
            ) from None
        if not answer.ok or answer.is_redirect:
            raise refusal(answer.status_code, _json(answer), self.server)
        return answer

    def _read(self, shape: type[_T], answer: requests.Response) -> _T:
        try:
            return TypeAdapter(shape).validate_json(answer.content)
        except ValidationError as error:
            place = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise LbsyncError(
                f"the service answers in another shape than this lbsync knows{f' ({place})' if place else ''}",
                where=self.server,
                state="what was asked for may have begun there",
                remedy="bring both to the same version: lbsync --version",
            ) from None


def checked(server: str) -> str:
    """The address without what does not belong to it. Raises ConfigError where a token would travel in clear."""
    parts = urlsplit(server)
    try:
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole or parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError(
            "this is no address of a service",
            where="--server",
            state=_NOTHING,
            remedy="write https://HOST:PORT and nothing else; the token stands in LBSYNC_TOKEN or in a file",
        )
    if parts.scheme == "http" and not _this_host(parts.hostname or ""):
        raise ConfigError(
            "the token would travel in clear", where=server, state=_NOTHING, remedy=f"use https://{parts.netloc}"
        )
    return f"{parts.scheme}://{parts.netloc}"


def refusal(status: int, told: dict[str, Any], server: str) -> LbsyncError:
    """What the service refused, as an error: of its status, in its words (problem+json; empty: it used none)."""
    words = {name: str(told.get(name) or "") for name in ("message", "where", "state", "remedy", "code")}
    message = words.pop("message") or f"the service answers {status}"
    words["where"] = words["where"] or server
    match status:
        case 401:
            words["remedy"] = words["remedy"] or "set LBSYNC_TOKEN, or name its file with --token-file"
            return Denied(message, **words)
        case 403:
            words["remedy"] = words["remedy"] or "ask somebody with another role"
            return Denied(message, **words)
        case 409 | 410:
            return PlanRefused(message, **words)
        case _:
            return Rejected(message, **words)


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _verified(ca_file: Path | None) -> str | bool:
    if ca_file is None:
        return True
    if not ca_file.is_file():
        raise ConfigError(
            "there is no such file", where=f"--ca-file {ca_file}", state=_NOTHING, remedy="name a PEM file"
        )
    return str(ca_file)


def _this_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
