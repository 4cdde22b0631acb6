"""A farm to be like: what was recorded of a real one, and what of it a lab cannot be.

Rule of this room: values of the lower floors only; whatever is not reproduced is told in words, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from lbsync.facts import FarmFacts, ServerFacts, VdirFacts
from lbsync.lab import templates
from lbsync.services import BACK_END_SITE, FRONT_END_SITE, HTTPS_PORT
from lbsync_certs import CertificateInfo, Thumbprint

RSA_BITS = (1024, 2048, 3072, 4096)
EC_BITS = (256, 384, 521)
SITES = frozenset({FRONT_END_SITE, BACK_END_SITE})

_APPLICATIONS = {f"{FRONT_END_SITE}{path}".rstrip("/").lower(): pool for path, pool, _ in templates.APPLICATIONS}
_PROXY = f"{FRONT_END_SITE}/Microsoft-Server-ActiveSync/Proxy".lower()


@dataclass(frozen=True, slots=True)
class Likeness:
    """What to be like. Dates of certificates are as far from now as they were from ``taken``.

    ``leaf`` is the certificate to publish; ``provider`` the kind of balancer that was recorded, and ``mrsproxy_host`` the name it
    had for MRSProxy alone, if any.
    """

    servers: tuple[ServerFacts, ...]
    farm: FarmFacts
    taken: datetime
    leaf: CertificateInfo | None = None
    provider: str = ""
    mrsproxy_host: str | None = None

    @property
    def names_leaf(self) -> bool:
        """True where the certificate to publish is another than the one that all servers serve on 443."""
        if self.leaf is None:
            return False
        served = [server.front_end_leaf for server in self.servers]
        return any(one is None or one.info.fingerprint != self.leaf.fingerprint for one in served)

    @property
    def leaf_held(self) -> bool:
        """True where a server holds the certificate to publish."""
        leaf = self.leaf
        return leaf is not None and any(server.certificate(leaf.thumbprint) is not None for server in self.servers)

    @property
    def unlike(self) -> tuple[str, ...]:
        """What the lab is not like, in words."""
        found = [*self._unlike_farm()]
        for server in self.servers:
            found += [f"{server.server}: {text}" for text in _unlike(server)]
        return tuple(dict.fromkeys(found))

    def _unlike_farm(self) -> Iterator[str]:
        yield "certificates are new ones of the lab's own CA: keys, serials, issuers, chains and all of a subject but its CN"
        yield "only Outlook Anywhere, MRSProxy, OAuth and certificates of Active Directory are here"
        if self.leaf is not None and not self.leaf_held:
            yield f"the certificate to publish came from a file; here {self.servers[0].server} holds it"
        told = {name.lower() for name in self.farm.mrsproxy_enabled}
        unknown = [one.server for one in self.servers if self.farm.read and one.server.lower() not in told]
        if unknown:
            yield f"whether MRSProxy is enabled was not known of {', '.join(unknown)}; here it is"
        missing = [
            one.server for one in self.servers if self.farm.read and not self.farm.outlook_anywhere_of(one.server)
        ]
        if missing:
            yield f"Outlook Anywhere was not known of {', '.join(missing)}; here it is as set-up leaves it"
        yield from (f"directory: this oddity is not repeated: {problem}" for problem in self.farm.problems)


def reproducible(vdir: VdirFacts) -> bool:
    """True for a location that the lab's IIS can have."""
    return vdir.location.lower() in _APPLICATIONS or vdir.location.lower() == _PROXY


def makeable(info: CertificateInfo) -> bool:
    """True for a key of a kind and size that the lab makes."""
    bits = {"rsa": RSA_BITS, "ec": EC_BITS}.get(info.key_algorithm, ())
    return info.key_bits in bits


def known(server: ServerFacts, thumbprint: Thumbprint | None) -> bool:
    """True for a certificate that the server holds."""
    return thumbprint is not None and server.certificate(thumbprint) is not None


def serves(server: ServerFacts) -> bool:
    """True where the front end has a certificate on 443 of all addresses, without which it serves nothing here."""
    return any(
        one.site == FRONT_END_SITE and (one.protocol, one.address, one.port, one.host) == ("https", "*", HTTPS_PORT, "")
        and known(server, one.thumbprint)
        for one in server.bindings
    )  # fmt: skip


def _unlike(server: ServerFacts) -> Iterator[str]:
    yield from _unlike_iis(server)
    for stored in server.certificates:
        info = stored.info
        if not makeable(info):
            yield f"the key of {info.subject} is {info.key_algorithm} {info.key_bits}; here it is one that can be made"
        if not info.names and not info.addresses:
            yield f"{info.subject} has no alternative names; here its CN is one"
        if not stored.has_private_key:
            yield f"{info.subject} has no private key there; here it has one that cannot be exported"
        if info.self_signed and not info.server_auth:
            yield f"{info.subject} is not for servers there; here it is"
    yield from (f"this oddity is not repeated: {problem}" for problem in server.problems)


def _unlike_iis(server: ServerFacts) -> Iterator[str]:
    for vdir in server.vdirs:
        if not reproducible(vdir):
            yield f"{vdir.location} is not here"
        elif vdir.pool and vdir.pool != _APPLICATIONS.get(vdir.location.lower(), vdir.pool):
            yield f"{vdir.location} runs in its usual pool, not in {vdir.pool}"
    for site in dict.fromkeys(one.site for one in server.bindings if one.site not in SITES):
        yield f"the site {site} is not here"
    if not serves(server):
        yield "IIS serves no known certificate on 443 of all addresses; here it has one, else nothing would answer"
