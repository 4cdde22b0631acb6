"""TLS and HTTP below pywinrm: one TLS context for all sessions of a farm, always verified, no proxy.

Rule of this room: verification cannot be turned off from outside. A context is loaded once per CA: loading it anew for each
session, as requests does, is nearly all of the 34-39 ms CPU that a server costs otherwise.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from requests import PreparedRequest, Session
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from lbsync.errors import ConfigError
from lbsync.exchange.session.settings import SessionSettings


@lru_cache(maxsize=32)
def _context(ca_pem: str | None, certificate_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca_pem)
    if certificate_file is not None:
        context.load_cert_chain(certificate_file, key_file)
    return context


@lru_cache(maxsize=8)
def _ca_text(path: Path, _changed_ns: int, _size: int) -> str:
    # CA files carry comments in any language; what counts is ASCII.
    return path.read_text(encoding="utf-8", errors="replace").encode("ascii", "replace").decode("ascii")


def tls_context(settings: SessionSettings) -> ssl.SSLContext:
    """The verifying context of a server's CA, the same object for equal settings. Raises ConfigError for an unusable CA."""
    ca_pem = settings.ca_pem
    try:
        if ca_pem is None and settings.ca_file is not None:
            # A system's CA file has some hundred kilobytes: it is read once, and again when it changed.
            stat = settings.ca_file.stat()
            ca_pem = _ca_text(settings.ca_file, stat.st_mtime_ns, stat.st_size)
        if settings.transport == "certificate":
            return _context(ca_pem, settings.certificate_file, settings.key_file)
        return _context(ca_pem, None, None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        source = settings.ca_file or "the text given as CA"
        raise ConfigError(
            f"the CA or client certificate of WinRM cannot be loaded ({source}): {error}",
            where=settings.name,
            remedy="give PEM text: -----BEGIN CERTIFICATE----- ...",
        ) from error


class _Counted(HTTPConnection):
    def __init__(self, count: Callable[[], None], **fields: Any) -> None:
        super().__init__(**fields)
        self._count = count

    def connect(self) -> None:
        self._count()
        super().connect()


class _CountedTls(HTTPSConnection):
    def __init__(self, count: Callable[[], None], **fields: Any) -> None:
        super().__init__(**fields)
        self._count = count

    def connect(self) -> None:
        self._count()
        super().connect()


class Adapter(HTTPAdapter):
    """Connects to the address, speaks to and verifies the name, and counts the connections it opened."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._tls = {"ssl_context": tls_context(settings), "server_hostname": settings.tls_name}
        self._connections: HTTPConnectionPool | None = None
        self._opened = 0
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    @property
    def opened(self) -> int:
        """How many connections were opened so far. Authentication by NTLM is bound to one."""
        return self._opened

    def _count(self) -> None:
        self._opened += 1

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,  # noqa: ARG002  the base class's signature
        verify: object,  # noqa: ARG002
        proxies: object = None,  # noqa: ARG002
        cert: object = None,  # noqa: ARG002
    ) -> HTTPConnectionPool:
        """The one pool of connections of this session, to the configured address whatever the URL's host says."""
        return self.connections()

    def connections(self) -> HTTPConnectionPool:
        """The one pool of connections of this session."""
        settings, found = self._settings, self._connections
        if found is None:
            found = self._connections = self.poolmanager.connection_from_host(
                settings.address,
                settings.port,
                scheme=settings.scheme,
                pool_kwargs=self._tls if settings.scheme == "https" else None,
            )
            # The pool's own number counts connection objects, and one of these may connect again after a drop.
            kind = _CountedTls if settings.scheme == "https" else _Counted
            found.ConnectionCls = partial(kind, self._count)
        return found

    def close(self) -> None:
        """Close the connection now; urllib3 alone would wait for the garbage collector."""
        if self._connections is not None:
            self._connections.close()
            self._connections = None
        super().close()

    def cert_verify(self, conn: object, url: str, verify: object, cert: object) -> None:
        """Do nothing: the shared context verifies chain and name; the base class would load a CA file per connection."""


def prepare(session: Session, settings: SessionSettings) -> Adapter:
    """Make pywinrm's session ours: our adapter for every URL, no proxy, nothing read from the environment."""
    adapter = Adapter(settings)
    session.trust_env = False
    session.proxies = {}
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.max_redirects = 0
    host = f"[{settings.tls_name}]" if ":" in settings.tls_name else settings.tls_name
    session.headers["Host"] = f"{host}:{settings.port}"
    session.headers.pop("Accept", None)
    session.headers.pop("Accept-Encoding", None)
    return adapter
