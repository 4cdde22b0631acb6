"""TLS over a stream: a verified connection to a server that only another host reaches.

Rule of this room: chain and name are verified, always; nothing is sent before. The stream beneath belongs to it from then on.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from lbsync.errors import Rejected, Unreachable
from lbsync.kit.handshake import NO_TLS, verified_context
from lbsync.kit.stream import NO_ANSWER, Stream
from lbsync_certs.names import ascii_name

CERTIFICATE = "certificate"
"""Code of Rejected where the certificate served does not chain to the CA, is not for that name, or is out of date."""

T = TypeVar("T")


class TlsStream:
    """A stream inside verified TLS over another stream, which it closes."""

    def __init__(self, inner: Stream, server_name: str, ca_pem: str | None) -> None:
        """Raises Rejected (``certificate``), Unreachable (``no_tls``, also for silence), CertificateError for a bad ``ca_pem``.

        ``ca_pem`` is the text of the CA certificates to trust, ``None`` for the system's; ``server_name`` a host name (IDN
        allowed) or an address. ``inner`` is closed where this fails.
        """
        self._inner = inner
        self.where = inner.where
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            name, context = ascii_name(server_name), verified_context(ca_pem)
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
            self._handshake(name)
        except BaseException:
            inner.close()
            raise

    def send(self, data: bytes) -> None:
        """See ``Stream.send``."""
        left = memoryview(data)
        while left:
            try:
                left = left[self._step(partial(self._tls.write, left)) :]
            except ssl.SSLError as error:
                raise self._no_tls(error.reason or str(error)) from error

    def receive(self, size: int = 65536) -> bytes:
        """See ``Stream.receive``."""
        try:
            return self._step(lambda: self._tls.read(size))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        except ssl.SSLError as error:  # in TLS 1.3 a server refuses a client without certificate as late as this
            raise self._no_tls(error.reason or str(error)) from error

    def close(self) -> None:
        """See ``Stream.close``."""
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _handshake(self, name: str) -> None:
        try:
            self._step(self._tls.do_handshake)
        except ssl.SSLCertVerificationError as error:
            raise Rejected(
                f"the certificate of {name} is not accepted: {error.verify_message}",
                where=self.where,
                remedy="Check the certificate on that server, and the CA configured for the servers.",
                code=CERTIFICATE,
            ) from error
        except ssl.SSLError as error:
            raise self._no_tls(error.reason or str(error)) from error
        except Unreachable as error:
            if error.code != NO_ANSWER:
                raise
            raise self._no_tls(error.message) from error

    def _step(self, do: Callable[[], T]) -> T:
        """One call of OpenSSL's, repeated while it wants bytes of the other side. Raises SSLError, Unreachable."""
        while True:
            try:
                done = do()
            except ssl.SSLWantReadError:
                self._flush()
                data = self._inner.receive()
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                self._flush()
                return done

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._inner.send(data)

    def _no_tls(self, why: str) -> Unreachable:
        return Unreachable(
            f"No TLS: {why}",
            where=self.where,
            remedy="Check that this port speaks TLS 1.2 or later and has a certificate.",
            code=NO_TLS,
        )
