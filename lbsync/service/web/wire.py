"""The HTTP server: uvicorn, with limits for who sends too much or too slowly.

Rule of this file: a connection that does not finish what it began is closed; nobody can hold one for longer than he uses it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from lbsync.errors import ConfigError
from lbsync.service.auth.access import Access
from lbsync.service.certificate import OwnCertificate
from lbsync.service.web.security import HEAD_BYTES

HEAD_S: Final = 10.0
"""Seconds from a connection's, or a request's, first moment to the end of its headers."""
KEEP_S: Final = 30
"""Seconds that a connection is kept for the next request."""
CONNECTIONS: Final = 1000
"""At the same time; one more is answered with 503."""
_STOP_S: Final = 5


class ImpatientProtocol(H11Protocol):
    """uvicorn's own, with a deadline for a request's head. The body's is the gate's."""

    head_s: float = HEAD_S
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that says nothing is closed too."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Bytes of a head that goes on do not start its deadline again."""
        super().data_received(data)
        self._expect()

    def on_response_complete(self) -> None:
        """Between two requests uvicorn waits ``KEEP_S``; what is there of the next has its deadline again."""
        super().on_response_complete()
        if self.conn.trailing_data[0]:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left running."""
        self._stop()
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.head_s, self._too_slow)

    def _too_slow(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def server_config(
    app: ASGIApp, access: Access, own: OwnCertificate | None = None, *, head_s: float = HEAD_S
) -> uvicorn.Config:
    """How uvicorn serves ``app``; ``own`` is the certificate that it shows. Raises ConfigError where it is missing."""
    if access.tls and own is None:
        raise ConfigError("TLS needs certificate_file", where="[service] certificate_file", state="nothing is served")
    context = own.context if access.tls and own is not None else None
    protocol = type("Protocol", (ImpatientProtocol,), {"head_s": head_s})
    return uvicorn.Config(
        cast("Any", app),
        host=access.host,
        port=access.port,
        http=cast("Any", protocol),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whom to believe is judged by auth.proxy
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=KEEP_S,
        timeout_graceful_shutdown=_STOP_S,
        limit_concurrency=CONNECTIONS,
        ssl_context_factory=(lambda _config, _default: context) if context is not None else None,
    )
