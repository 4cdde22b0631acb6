"""Where a server's WinRM is, and as whom it is asked.

Rule of this room: a value that can be printed: the password is a callable and no part of the repr.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lbsync.errors import ConfigError

TransportName = Literal["ntlm", "kerberos", "credssp", "certificate", "basic"]
Scheme = Literal["https", "http"]

_SEALING: frozenset[TransportName] = frozenset({"ntlm", "kerberos", "credssp"})


def _no_password() -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """One server.

    ``name`` is what messages call it. ``address`` is where to connect (a name, an IPv4 or IPv6 address without brackets),
    ``server_name`` the name its TLS certificate must carry (and the one Kerberos asks for), the address by default.
    ``ca_pem`` (text) or ``ca_file`` are the CAs it must chain to; with neither, the system's. ``password`` is asked for at
    each login. ``certificate_file`` and ``key_file`` (PEM) are for the transport ``certificate``.

    Raises ConfigError for a combination that would send credentials or data in clear.
    """

    name: str
    address: str
    port: int = 5986
    scheme: Scheme = "https"
    server_name: str = ""
    transport: TransportName = "ntlm"
    user: str = ""
    password: Callable[[], str] = field(default=_no_password, repr=False)
    ca_pem: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    connect_timeout_s: float = 10.0
    operation_timeout_s: int = 20
    """How long one Receive waits at the server before it answers that there is nothing yet."""

    def __post_init__(self) -> None:
        """Refuse what must not be used."""
        if self.scheme == "http" and self.transport not in _SEALING:
            raise ConfigError(
                f"WinRM over http with {self.transport} would send everything in clear.",
                where=self.name,
                remedy='set farm.winrm.scheme = "https", or a transport that encrypts its messages (ntlm, kerberos, credssp)',
            )
        if self.transport == "certificate" and not (self.certificate_file and self.key_file):
            raise ConfigError(
                "the transport certificate needs farm.winrm.certificate_file and farm.winrm.key_file", where=self.name
            )
        for path in (self.ca_file, self.certificate_file, self.key_file):
            if path is not None and not path.is_file():
                raise ConfigError(f"there is no file {path}", where=self.name)

    @property
    def tls_name(self) -> str:
        """The name verified on the server's certificate."""
        return self.server_name or self.address

    @property
    def endpoint(self) -> str:
        """The URL asked; its host is the TLS name, whatever address the connection goes to."""
        host = f"[{self.tls_name}]" if ":" in self.tls_name else self.tls_name
        return f"{self.scheme}://{host}:{self.port}/wsman"

    @property
    def seals(self) -> bool:
        """True when messages are encrypted by the authentication itself, since the connection is not."""
        return self.scheme == "http"

    @property
    def account(self) -> str:
        """What a lock-out would hit: the user, or the client certificate."""
        return self.user.lower() if self.user else str(self.certificate_file or "")
