"""Rules about bridging one service: the balancer ends TLS and opens it again to port 443.

Rule of this room: bridging is what nothing forbids, as long as Extended Protection sees one certificate on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.advice import Finding
from lbsync.advise.case import Case, protected
from lbsync.advise.logon import balancer_modes
from lbsync.facts import ServerFacts
from lbsync.model import Mode
from lbsync.services import Service
from lbsync_certs.names import covers


def same_certificate(case: Case, service: Service) -> Iterator[Finding]:
    """The channel binding is a hash of the leaf the client saw: it must be the leaf the server holds."""
    leaf = case.desired.leaf
    if leaf is None:
        return

    def differs(server: ServerFacts) -> bool:
        vdir = server.vdir(service)
        held = server.front_end_leaf
        return vdir is not None and protected(vdir) and (held is None or held.info.fingerprint != leaf.fingerprint)

    where = case.servers(differs)
    if where:
        yield Finding(
            rule="bridge-another-certificate",
            severity="refuse",
            where=where,
            reason="Extended Protection is on and IIS 443 holds another certificate than the balancer would serve: "
            "Outlook would ask for passwords without end.",
            remedy="Put the same certificate on every server (lbsync cert distribute), then plan anew.",
            source="Microsoft: Configure Windows Extended Protection in Exchange Server",
        )


def verified_name(case: Case, _service: Service) -> Iterator[Finding]:
    """The balancer verifies a name on each server's leaf; one that is not there closes the pool."""
    for server in case.facts.servers:
        wanted = case.desired.tls_names.get(server.server)
        leaf = server.front_end_leaf
        if wanted and leaf and not covers(leaf.info, wanted):
            yield Finding(
                rule="bridge-name-missing",
                severity="refuse",
                where=(server.server,),
                reason=f"The certificate on IIS 443 is not for {wanted}, the name the balancer would verify.",
                remedy=f"Set tls_name of this server to one of its names: {', '.join(leaf.info.names) or 'it has none'}.",
            )


def suppressed(case: Case, service: Service) -> Iterator[Finding]:
    """A registry value that makes every protected location refuse."""
    where = tuple(
        server.server
        for server, vdir in case.vdirs(service)
        if protected(vdir) and server.suppress_extended_protection != 0
    )
    if where:
        yield Finding(
            rule="suppress-extended-protection",
            severity="warn",
            where=where,
            reason="The registry value SuppressExtendedProtection is not 0; it breaks Extended Protection.",
            remedy=r"Remove it below HKLM\SYSTEM\CurrentControlSet\Control\Lsa, or set it to 0.",
        )


RULES = (same_certificate, verified_name, suppressed, balancer_modes(Mode.BRIDGE))
