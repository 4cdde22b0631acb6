"""The transport below f5-sdk: verification and time-outs on every request, whatever the SDK says, and patience.

Rule of this room: nothing leaves before the device's certificate was verified; a request that was refused unread (401 of an old
token, a busy or restarting device) is sent again; one whose fate is unknown only where twice is once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from lbsync.errors import Rejected
from lbsync_f5.wire import COORDINATION, is_busy

TOKEN_HEADER = "X-F5-Auth-Token"  # noqa: S105 -- the name of a header
_UNAUTHORIZED = 401
_FORBIDDEN = "Authorization failed"
"""With the same status: of an account that may not do this, for which a new token is none."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0
_ATTEMPTS = 3
_TWICE_IS_ONCE = ("/util/unix-rm", "/sys/config", "/file-transfer/uploads/")
"""POSTs that may be repeated; a login may too, but a second token would be left behind."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for a connection, for an answer, and for a device that is busy."""

    connect_s: float
    answer_s: float
    busy_s: float


class VerifyingAdapter(HTTPAdapter):
    """Sends requests of one session over one connection at a time."""

    def __init__(self, ca: str | bool, server_name: str | None, patience: Patience) -> None:
        """``ca`` is a PEM file or ``True`` for the system's CAs; ``server_name`` is verified instead of the host's name."""
        self._ca = ca
        self._server_name = server_name
        self._patience = patience
        self.token = ""
        """What every request that carries a token carries, whatever the SDK remembers."""
        self.renew: Callable[[], None] | None = None
        """Logs in again, and sets the new token."""
        self.patient = True
        """Whether a busy device is waited for."""
        super().__init__(pool_connections=1, pool_maxsize=1, pool_block=True)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool: Any) -> None:
        """See HTTPAdapter."""
        if self._server_name is not None:
            pool |= {"assert_hostname": self._server_name, "server_hostname": self._server_name}
        super().init_poolmanager(connections, maxsize, block, **pool)

    def send(  # noqa: PLR0917 -- the signature of requests
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """See HTTPAdapter; ``timeout``, ``verify`` and ``proxies`` are ours. Raises Rejected (``redirect``)."""
        del timeout, verify, proxies
        waits = self.patient and not _is_commit(request)  # a commit that is answered so may have been carried out
        deadline = time.monotonic() + (self._patience.busy_s if waits else 0.0)
        pause, renewed = _FIRST_PAUSE_S, False
        while True:
            if TOKEN_HEADER in request.headers:
                request.headers[TOKEN_HEADER] = self.token
            response = self._once(request, stream=stream, cert=cert)
            if response.status_code == _UNAUTHORIZED and self.renew and not renewed and _FORBIDDEN not in response.text:
                response.close()
                self.renew()
                renewed = True
            elif is_busy(response.status_code, _page(response)) and time.monotonic() + pause < deadline:
                response.close()
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            else:
                return response

    def _once(self, request: requests.PreparedRequest, *, stream: bool, cert: Any) -> requests.Response:
        limits = (self._patience.connect_s, self._patience.answer_s)
        attempt = 0
        while True:
            attempt += 1
            try:
                response = super().send(
                    request, stream=stream, timeout=limits, verify=self._ca, cert=cert, proxies=None
                )
            except (requests.exceptions.SSLError, requests.exceptions.Timeout):
                raise
            except requests.exceptions.ConnectionError:
                if attempt == _ATTEMPTS or not _repeatable(request):
                    raise
                time.sleep(_FIRST_PAUSE_S * attempt)
                continue
            break
        if response.is_redirect:
            response.close()
            # requests would follow it, with the token.
            raise Rejected(
                "the device answers with a redirect: this is no BIG-IP's REST interface",
                where=str(request.url),
                state="nothing was changed",
                remedy="correct hosts and port in balancers.settings",
                code="redirect",
            )
        return response


def _repeatable(request: requests.PreparedRequest) -> bool:
    """Whether a request whose answer was lost may be sent again: never what a transaction would queue twice, or its commit."""
    path = str(request.url)
    if COORDINATION in request.headers:
        return request.method == "GET"
    match request.method:
        case "GET" | "DELETE":
            return True
        case "PATCH":
            return not _is_commit(request)
        case _:
            return any(part in path for part in _TWICE_IS_ONCE)


def _is_commit(request: requests.PreparedRequest) -> bool:
    return request.method == "PATCH" and "/tm/transaction/" in str(request.url)


def _page(response: requests.Response) -> str:
    """The text of an answer that is no JSON; long lists are not looked through for a restart page."""
    kind = response.headers.get("Content-Type", "")
    return "" if "json" in kind else response.text
