"""What it takes to know before a certificate is retired: the certificates found, and everything that may speak against it.

Rule of this room: values only; ``in_use`` and ``retiring`` judge by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lbsync.desired import FactSet
from lbsync.facts import ServerFacts
from lbsync.model import Value
from lbsync.uses import CertificateUses
from lbsync_certs import CertificateInfo, Fingerprint, Thumbprint


class Found(Value):
    """One certificate, and where it is. ``info`` is ``None`` where only a balancer holds it, which tells its SHA-256 alone."""

    fingerprint: Fingerprint
    info: CertificateInfo | None
    servers: tuple[str, ...] = ()
    balancers: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """Files where renewals are looked for, which hold it with its key; they stay."""

    @property
    def thumbprint(self) -> Thumbprint | None:
        """As Windows names it."""
        return self.info.thumbprint if self.info else None

    @property
    def name(self) -> str:
        """How people are told of it: its thumbprint, else its SHA-256."""
        return self.thumbprint or self.fingerprint

    def named_by(self, text: str) -> bool:
        """Whether ``text`` is its thumbprint (40 digits) or its SHA-256 (64)."""
        return text.upper() in {self.thumbprint, self.fingerprint.upper()}


@dataclass(frozen=True, slots=True)
class Ground:
    """Everything seen. ``current`` is what clients are served, ``hosts`` are the published names.

    ``configured`` says by certificate (thumbprint or SHA-256) which key of the configuration names it; ``files`` which files
    hold it; ``until`` when it ceased to be served, as far as the ledger knows.
    """

    facts: FactSet
    uses: CertificateUses
    current: CertificateInfo
    hosts: tuple[str, ...]
    keep: timedelta
    now: datetime
    configured: Mapping[str, str] = field(default_factory=dict[str, str])
    files: Mapping[Fingerprint, tuple[CertificateInfo, tuple[str, ...]]] = field(
        default_factory=dict[Fingerprint, tuple[CertificateInfo, tuple[str, ...]]]
    )
    until: Mapping[Fingerprint, datetime] = field(default_factory=dict[Fingerprint, datetime])

    def everything(self) -> tuple[Found, ...]:
        """Each certificate that a server's store or a balancer holds, once, in the order it was met."""
        infos = {fingerprint: info for fingerprint, (info, _) in self.files.items()}
        infos |= {
            stored.info.fingerprint: stored.info for server in self.facts.servers for stored in server.certificates
        }
        met = [
            *(stored.info.fingerprint for server in self.facts.servers for stored in server.certificates),
            *(leaf for balancer in self.facts.balancers for leaf in balancer.installed),
        ]
        return tuple(self._found(leaf, infos.get(leaf)) for leaf in dict.fromkeys(met))

    def holders(self, one: Found) -> Iterable[ServerFacts]:
        """The servers in whose store it is."""
        return (server for server in self.facts.servers if server.server in one.servers)

    def _found(self, leaf: Fingerprint, info: CertificateInfo | None) -> Found:
        return Found(
            fingerprint=leaf,
            info=info,
            servers=tuple(
                server.server
                for server in self.facts.servers
                if any(stored.info.fingerprint == leaf for stored in server.certificates)
            ),
            balancers=tuple(seen.balancer for seen in self.facts.balancers if leaf in seen.installed),
            files=self.files[leaf][1] if leaf in self.files else (),
        )
