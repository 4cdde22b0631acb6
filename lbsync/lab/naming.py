"""What of a simulated farm names certificates besides IIS: connectors, AuthConfig, federation, internal transport.

Rule of this room: names are written as Windows writes them, and cmdlets refuse as Exchange is documented to.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.x509.oid import NameOID

from lbsync_certs import Thumbprint

_SHORT = {
    NameOID.COMMON_NAME: "CN",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "S",
    NameOID.COUNTRY_NAME: "C",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.EMAIL_ADDRESS: "E",
}
_QUOTED = frozenset(',+="\n<>#;')


@dataclass(slots=True)
class Names:
    """Who names what. Connectors hold TlsCertificateName; the others thumbprints, a federation trust by its role.

    ``auth_config`` is by property (CurrentCertificateThumbprint ...), ``transport`` by server: at first the one that set-up made.
    Set-up of Exchange makes one of its own for AuthConfig, too; the lab has none unless a test says so.
    """

    send_connectors: dict[str, str] = field(default_factory=dict[str, str])
    receive_connectors: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """By server and identity."""
    hybrid: str | None = None
    auth_config: dict[str, Thumbprint] = field(default_factory=dict[str, Thumbprint])
    federation: dict[tuple[str, str], Thumbprint | None] = field(
        default_factory=dict[tuple[str, str], Thumbprint | None]
    )
    """By trust and property; ``None`` is one that cannot be read from the other session's copy."""
    transport: dict[str, Thumbprint] = field(default_factory=dict[str, Thumbprint])

    def tagged(self, certificate: x509.Certificate) -> list[str]:
        """The send connectors whose TlsCertificateName fits, whichever certificate was meant."""
        name = tls_certificate_name(certificate)
        return [identity for identity, wanted in self.send_connectors.items() if wanted.lower() == name.lower()]


def tls_certificate_name(certificate: x509.Certificate) -> str:
    """``<I>issuer<S>subject``, as ``"<I>$($c.Issuer)<S>$($c.Subject)"`` gives it on Windows."""
    return f"<I>{windows_name(certificate.issuer)}<S>{windows_name(certificate.subject)}"


def windows_name(name: x509.Name) -> str:
    """As .NET writes a name: the last part first, a comma and a blank between, quotes where a value needs them."""
    parts: list[str] = []
    for part in reversed(list(name)):
        value = str(part.value)
        if _QUOTED & set(value) or value != value.strip():
            value = '"{}"'.format(value.replace('"', '""'))
        parts.append(f"{_SHORT.get(part.oid, f'OID.{part.oid.dotted_string}')}={value}")
    return ", ".join(parts)
