"""Which certificate a listener serves, switchable while it runs, and the channel binding that goes with it.

Rule of this room: a private key is written to disk only encrypted under a random password, for the moment in which the
``ssl`` module reads it. Sessions are never resumed: every handshake is a full one.
"""

from __future__ import annotations

import secrets
import ssl
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from lbsync_certs import Bundle, Thumbprint


@dataclass(frozen=True, slots=True, eq=False)
class TlsIdentity:
    """One certificate made ready to be served. ``binding`` is RFC 5929's tls-server-end-point application data."""

    thumbprint: Thumbprint
    binding: bytes
    context: ssl.SSLContext

    @classmethod
    def of(cls, bundle: Bundle, directory: Path, *, client_ca_pem: str | None = None) -> TlsIdentity:
        """Make a bundle ready; ``directory`` takes the encrypted key for a moment.

        With ``client_ca_pem`` clients may show a certificate of that CA.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        if client_ca_pem is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(cadata=client_ca_pem)
        password = secrets.token_bytes(24).hex().encode()
        pem = b"".join(cert.public_bytes(serialization.Encoding.PEM) for cert in (bundle.leaf, *bundle.chain))
        pem += bundle.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".tls-") as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(file.name, password=password)
        der = bundle.leaf.public_bytes(serialization.Encoding.DER)
        return cls(bundle.info.thumbprint, b"tls-server-end-point:" + sha256(der).digest(), context)


class ServerTls:
    """What one listener serves now. ``serve`` switches new connections; open ones keep what they were opened with."""

    def __init__(self, identity: TlsIdentity) -> None:
        """``identity`` is served first; whether clients are asked for a certificate is decided by it for good."""
        self._current = identity
        self._known = {id(identity.context): identity}
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.options |= ssl.OP_NO_TICKET
        self.context.num_tickets = 0
        self.context.sni_callback = self._choose
        self.context.verify_mode = identity.context.verify_mode

    def _choose(self, tunnel: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        tunnel.context = self._current.context

    @property
    def current(self) -> TlsIdentity:
        """What a new connection is given."""
        return self._current

    def serve(self, identity: TlsIdentity) -> None:
        """Give this to connections from now on; may be called from any thread."""
        self._known[id(identity.context)] = identity
        self._current = identity

    def identity_of(self, tunnel: ssl.SSLObject) -> TlsIdentity:
        """What a connection was opened with."""
        return self._known[id(tunnel.context)]
