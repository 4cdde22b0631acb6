"""The service's own certificate: what its listener shows, and the renewed one without a restart.

Rule of this file: a pair that cannot be used changes nothing. The one before goes on being shown, why is told once, and it is
tried again until it can be used.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from lbsync.errors import ConfigError

_LOG = logging.getLogger("lbsync.service")


class OwnCertificate:
    """The pair in these files (``key`` ``None``: it is in the certificate's). Raises ConfigError where it cannot be used.

    ``context`` is the listener's for good: each handshake is handed on to the newest pair by the callback for names, which is
    called whether a client names a host or not. Loaded into a context in use, a pair of which half is new would be shown.
    """

    def __init__(self, certificate: Path, key: Path | None = None) -> None:
        self._certificate, self._key = certificate, key
        self._stamp = self._stamped()
        self.context = self._newest = tls_context(certificate, key)
        self.context.sni_callback = self._hand_on
        self._told = ""

    def look(self) -> bool:
        """Take another pair where the files are others; whether one was taken. Blocks on the disk; for one thread at a time."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return False
        try:
            self._newest = tls_context(self._certificate, self._key)
        except ConfigError as error:
            if self._told != error.remedy:
                self._told = error.remedy
                _LOG.warning(
                    "%s: %s; the pair of before is shown until then. What to do: %s",
                    error.where, error.message, error.remedy,
                )  # fmt: skip
            return False
        # From before it was read: files that changed meanwhile are read once more.
        self._stamp, self._told = stamp, ""
        _LOG.info("the service's certificate was read anew: %s", self._certificate)
        return True

    def _hand_on(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._newest

    def _stamped(self) -> tuple[tuple[int, ...], ...]:
        return tuple(_stamp(path) for path in (self._certificate, self._key) if path is not None)


def tls_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """TLS 1.2 and newer with Python's own choice of ciphers. Raises ConfigError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # A session that is taken up again shows the certificate that it began with, and TLS 1.3 would renew it for ever.
    context.num_tickets = 0
    try:
        # A key with a passphrase is refused instead of asked for on a terminal that nobody sees.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise ConfigError(
            "the service's certificate or key cannot be used",
            where=f"{certificate}{f', {key}' if key else ''}",
            state="nothing is served",
            remedy=f"look at the files ({error.strerror if isinstance(error, OSError) else 'a passphrase is needed'})",
        ) from None
    return context


def _stamp(path: Path) -> tuple[int, ...]:
    """Another one once the file, or whoever may read it, is another; empty where there is none."""
    try:
        seen = path.stat()
    except OSError:
        return ()
    return seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size, seen.st_ino
