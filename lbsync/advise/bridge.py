"""Rules about bridging one service: the balancer ends TLS and opens it again to port 443.

Rule of this room: bridging is what nothing forbids, as long as Extended Protection sees one certificate on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.advise.balancers import uncovering
from lbsync.advise.case import Case, protected
from lbsync.advise.rule import EXTENDED_PROTECTION, Asked, Rule, Seen, ServiceRule, seen_on


def _another_leaf(asked: Asked) -> Iterator[Seen]:
    """The channel binding is a hash of the leaf the client saw: it must be the leaf the server holds."""
    leaf, held = asked.case.desired.leaf, asked.case.leaves
    if leaf is None:
        return
    for server, vdir in asked.vdirs:
        stored = held[server.server]
        if protected(vdir) and (stored is None or stored.info.fingerprint != leaf.fingerprint):
            yield Seen((server.server,))


def _name_missing(case: Case) -> Iterator[Seen]:
    """The balancer verifies a name on each server's leaf; one that is not there closes the pool."""
    wanted = case.desired.tls_names
    lacking = {name: uncovering(case, name) for name in dict.fromkeys(wanted.values())}
    for server, name in wanted.items():
        leaf = lacking[name].get(server)
        if leaf is not None:
            yield Seen((server,), {"name": name, "names": ", ".join(leaf.names) or "it has none"})


def _suppressed(asked: Asked) -> Iterator[Seen]:
    pairs = asked.vdirs
    yield from seen_on(
        tuple(server.server for server, vdir in pairs if protected(vdir) and server.suppress_extended_protection != 0)
    )


ANOTHER_LEAF = ServiceRule(
    id="bridge-another-certificate",
    about="bridge",
    condition="Extended Protection is on, and a server's IIS 443 holds another certificate than balancers would serve.",
    verdict="must not",
    applies=_another_leaf,
    reason="Extended Protection is on and IIS 443 holds another certificate than the balancer would serve: "
    "Outlook would ask for passwords without end.",
    remedy="Put the same certificate on every server (lbsync cert distribute), then plan anew.",
    source=EXTENDED_PROTECTION,
)
NAME_MISSING = Rule(
    id="bridge-name-missing",
    about="bridge",
    condition="A server's certificate on IIS 443 lacks the name that balancers verify there (servers.tls_name).",
    verdict="must not",
    applies=_name_missing,
    reason="The certificate on IIS 443 is not for {name}, the name the balancer would verify.",
    remedy="Set tls_name of this server to one of its names: {names}.",
    source="RFC 9525",
)
SUPPRESSED = ServiceRule(
    id="suppress-extended-protection",
    about="bridge",
    condition="Extended Protection is on, and the registry value SuppressExtendedProtection of the server is not 0.",
    verdict="recommended",
    applies=_suppressed,
    reason="The registry value SuppressExtendedProtection is not 0; it breaks Extended Protection.",
    remedy=r"Remove it below HKLM\SYSTEM\CurrentControlSet\Control\Lsa, or set it to 0.",
    source="Microsoft: Extended Protection, documentation and CSS-Exchange scripts",
)

RULES = (ANOTHER_LEAF, NAME_MISSING, SUPPRESSED)
