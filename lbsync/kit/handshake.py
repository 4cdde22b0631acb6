"""One full TLS handshake, and what was served in it.

Rule of this room: it sees and never judges: a strange certificate is an answer, only the lack of TLS is an error. No session is
ever resumed, since a resumed one shows the certificate of yesterday (HAProxy resumes old sessions after a hot swap).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import cast

from lbsync.errors import CertificateError, Unreachable
from lbsync.model import Value
from lbsync_certs import CertificateInfo, Fingerprint
from lbsync_certs.info import describe, fingerprint_of, load_der
from lbsync_certs.names import ascii_name, covers

NO_CONNECTION = "no_connection"
NO_TLS = "no_tls"


class Served(Value):
    """What a listener showed to a client that asked for one name.

    ``trusted`` says whether the chain as served leads to the given CA at this moment, ``trust_error`` why not, in OpenSSL's
    words. ``name_ok`` is about the asked name alone. ``chain`` holds the certificates served beside the leaf, in order;
    ``None`` where Python cannot tell (before 3.13).
    """

    fingerprint: Fingerprint
    info: CertificateInfo
    tls_version: str
    trusted: bool
    trust_error: str | None = None
    name_ok: bool
    chain: tuple[Fingerprint, ...] | None = None


def handshake(address: str, port: int, server_name: str, *, ca_pem: str | None, timeout_s: float = 10.0) -> Served:
    """Connect, greet as a client of ``server_name`` (SNI) and say what came back.

    ``address`` is a name, an IPv4 or an IPv6 address; ``server_name`` a host name (IDN allowed) or an address. ``ca_pem`` is
    the text of the CA certificates to trust, ``None`` for the system's. Raises Unreachable with code ``no_connection`` or
    ``no_tls``, CertificateError for a bad ``ca_pem``, and CertificateProblem where the leaf cannot be read.
    """
    name = ascii_name(server_name)
    try:
        return _served(address, port, name, _verifying(ca_pem), timeout_s)
    except ssl.SSLCertVerificationError as error:
        # A failed verification hides what was served; a second handshake looks.
        return _served(address, port, name, _looking(), timeout_s, trust_error=error.verify_message)


def connect(address: str, port: int, *, timeout_s: float) -> socket.socket:
    """A TCP connection to a name, an IPv4 or an IPv6 address (brackets allowed). Raises Unreachable ``no_connection``."""
    try:
        return socket.create_connection((_bare(address), port), timeout=timeout_s)
    except OSError as error:
        raise Unreachable(
            f"No connection: {_why(error)}",
            where=where(address, port),
            remedy="Check that the listener is up and that no firewall stands between.",
            code=NO_CONNECTION,
        ) from error


def open_tls(
    address: str, port: int, server_name: str, *, ca_pem: str | None, timeout_s: float = 10.0
) -> ssl.SSLSocket:
    """A verified TLS connection, chain and name, to speak HTTP over. The caller closes it.

    Raises Unreachable, and ssl.SSLCertVerificationError where certificate or name are not as they must be.
    """
    return _greet(address, port, ascii_name(server_name), verified_context(ca_pem), timeout_s)


@lru_cache(maxsize=16)
def verified_context(ca_pem: str | None) -> ssl.SSLContext:
    """Chain and name verified against ``ca_pem`` (``None``: the system's CAs), HTTP/1.1 offered.

    Shared between connections and threads: loading CAs costs more than using them. Raises CertificateError where the text
    holds no certificate.
    """
    context = _trusting(ca_pem)
    context.set_alpn_protocols(["http/1.1"])
    return context


def where(address: str, port: int) -> str:
    """An address and a port as people write them."""
    bare = _bare(address)
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


@lru_cache(maxsize=16)
def _verifying(ca_pem: str | None) -> ssl.SSLContext:
    # The chain is verified. The name is judged by us, beside it: OpenSSL stops at a wrong name and leaves the chain unsaid.
    context = _trusting(ca_pem)
    context.check_hostname = False
    return context


def _trusting(ca_pem: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET
    if ca_pem is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=ca_pem)
    except ssl.SSLError as error:
        raise CertificateError(
            "The CA text holds no certificate in PEM form.",
            remedy="Name a file with the CA's certificates.",
            code="no_certificate",
        ) from error
    return context


def _looking() -> ssl.SSLContext:
    # The one place in lbsync that verifies nothing: "another certificate" must be told from "no TLS", and for that the wrong
    # one has to be seen. Nothing is sent over this connection, and what it shows is never called trusted.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.options |= ssl.OP_NO_TICKET
    return context


def _served(
    address: str, port: int, name: str, context: ssl.SSLContext, timeout_s: float, *, trust_error: str | None = None
) -> Served:
    with _greet(address, port, name, context, timeout_s) as tls:
        leaf = tls.getpeercert(binary_form=True)
        version, chain = tls.version(), _chain(tls)
    if leaf is None:  # an anonymous cipher: no certificate at all
        raise _no_tls(address, port, "the server showed no certificate")
    info = describe(load_der(leaf))
    return Served(
        fingerprint=info.fingerprint,
        info=info,
        tls_version=version or "",
        trusted=trust_error is None,
        trust_error=trust_error,
        name_ok=covers(info, name),
        chain=chain,
    )


def _greet(address: str, port: int, name: str, context: ssl.SSLContext, timeout_s: float) -> ssl.SSLSocket:
    plain = connect(address, port, timeout_s=timeout_s)
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except ssl.SSLCertVerificationError:
        plain.close()
        raise
    except OSError as error:  # SSLError is one
        plain.close()
        raise _no_tls(address, port, _why(error)) from error


def _chain(tls: ssl.SSLSocket) -> tuple[Fingerprint, ...] | None:
    ask = cast("Callable[[], list[bytes]] | None", getattr(tls, "get_unverified_chain", None))
    if ask is None:  # before Python 3.13 only the leaf is to be had
        return None
    return tuple(fingerprint_of(der) for der in ask()[1:])


def _no_tls(address: str, port: int, why: str) -> Unreachable:
    return Unreachable(
        f"No TLS: {why}",
        where=where(address, port),
        remedy="Check that this port speaks TLS 1.2 or later and has a certificate.",
        code=NO_TLS,
    )


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return (
        "no answer in time"
        if isinstance(error, TimeoutError)
        else (error.strerror or str(error) or type(error).__name__)
    )


def _bare(address: str) -> str:
    return address.removeprefix("[").removesuffix("]")
