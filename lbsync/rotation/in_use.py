"""What forbids removing a certificate: every use of it, each told by name with the way to end it.

Rule of this room: pure. Each rule stands once, in ``RULES``; what could not be asked forbids, as a use does. A name (issuer and
subject) is no certificate: it forbids only while no other certificate answers to it, but for send connectors, see there.

Sources: "Assign certificates to Exchange Server services" (an assignment cannot be removed: assign another certificate, then
remove the one that is not wanted); "Can't remove a certificate that's installed in Exchange Server" (a send connector's name).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lbsync.facts import BalancerFacts, ServerFacts
from lbsync.rotation.ground import Found, Ground
from lbsync.uses import Enabled, Naming
from lbsync_certs import CertificateInfo, Thumbprint
from lbsync_certs.names import is_name, missing_names

_ASSIGNED = frozenset({"SMTP", "IMAP", "POP", "UM", "UMCallRouter"})
"""Services that another certificate takes over while they stay listed for the one before: no cmdlet takes them off it."""
_RIGHTS = "give the account the role groups Server Management and View-Only Organization Management"
_PROCEDURE = "https://learn.microsoft.com/exchange/troubleshoot/mailflow/cannot-remove-installed-certificate"

Rule = Callable[[Found, Ground], Iterator[str]]


def uses_of(one: Found, ground: Ground) -> tuple[str, ...]:
    """Everything that forbids removing it; empty where nothing does."""
    return tuple(dict.fromkeys(reason for rule in RULES for reason in rule(one, ground)))


def released(one: Found, ground: Ground, server: str) -> tuple[str, ...]:
    """The services that name it on a server and that another certificate there has taken over."""
    held = _enabled(one, ground, server)
    listed = held.services or () if held else ()
    return tuple(service for service in listed if _taken_over(one, ground, server, service))


def served(one: Found, ground: Ground) -> Iterator[str]:
    """A balancer that serves it, or does not say what it serves."""
    for seen in ground.facts.balancers:
        if seen.leaf == one.fingerprint:
            yield f"{seen.balancer} serves it"
        elif seen.leaf is None and one.fingerprint in seen.installed and _has_ours(seen):
            yield f"{seen.balancer} does not tell for sure which certificate it serves: see lbsync check"


def bound(one: Found, ground: Ground) -> Iterator[str]:
    """An IIS binding of any site, the Back End's too."""
    for server in ground.facts.servers:
        for binding in server.bindings:
            if binding.thumbprint is not None and binding.thumbprint == one.thumbprint:
                at = f"{binding.address}:{binding.port}{f':{binding.host}' if binding.host else ''}"
                yield f"IIS on {server.server} binds it: {binding.site}, {at}"


def configured(one: Found, ground: Ground) -> Iterator[str]:
    """A key of the configuration, which would publish it again."""
    for name in (one.thumbprint, one.fingerprint):
        if name is not None and name in ground.configured:
            yield f"the configuration names it ({ground.configured[name]}): change it there first"


def not_asked(one: Found, ground: Ground) -> Iterator[str]:
    """What nobody could ask: the Exchange tier, cmdlets that no role offers."""
    if not one.servers:
        return
    if not ground.uses.read:
        yield (
            "Exchange could not be asked who uses it: the Exchange tier is not configured (farm.exchange), and it alone removes "
            "a certificate from a server"
        )
    elif ground.uses.missing_cmdlets:
        yield f"what {', '.join(ground.uses.missing_cmdlets)} would tell or do is not open to this account: {_RIGHTS}"


def services(one: Found, ground: Ground) -> Iterator[str]:
    """Exchange services that name it and that no other certificate of that server has taken over."""
    if not ground.uses.read:
        return
    for server in one.servers:
        held = _enabled(one, ground, server)
        if held is None or held.services is None:
            yield f"Exchange on {server} does not tell which of its services use it: look at Get-ExchangeCertificate there"
            continue
        waiting = [name for name in held.services if name in _ASSIGNED and not _taken_over(one, ground, server, name)]
        if waiting:
            yield (
                f"Exchange on {server} uses it for {', '.join(waiting)}, and no certificate there that ends later and covers its "
                f"names has taken that over: Enable-ExchangeCertificate -Thumbprint {ground.current.thumbprint} "
                f"-Server {server} -Services {','.join(waiting)}"
            )
        others = [name for name in held.services if name not in _ASSIGNED]
        if others:
            yield f"Exchange on {server} uses it for {', '.join(others)}"


def named(one: Found, ground: Ground) -> Iterator[str]:
    """Connectors and the hybrid configuration, which name issuer and subject.

    A renewed certificate usually shares both, and then takes over. Exchange removes none that a send connector's name fits,
    though, not even where several do.
    """
    for server in ground.holders(one):
        held = _enabled(one, ground, server.server)
        if held is None:
            continue
        for naming in ground.uses.namings:
            if not _same(naming.name, held.name) or naming.server not in {None, server.server}:
                continue
            if _heir(one, ground, server) is None:
                yield _orphaned(naming, server.server)
            elif naming.kind == "send connector":
                yield (
                    f"Exchange on {server.server} removes no certificate whose issuer and subject a send connector names, "
                    f"though another one shares them: {naming.identity}. Its name has to be emptied for a moment: {_PROCEDURE}"
                )


def held(one: Found, ground: Ground) -> Iterator[str]:
    """What names a thumbprint: AuthConfig, federation trusts; on a server that has it internal transport, TLS, Remote Desktop."""
    here = {server.lower() for server in one.servers}
    for holding in ground.uses.holdings:
        if not here or (holding.server is not None and holding.server.lower() not in here):
            continue
        where = f" of {holding.server}" if holding.server else ""
        if holding.thumbprint is None:
            yield f"{holding.what}{where} names a certificate, and which one could not be read"
        elif holding.thumbprint == one.thumbprint:
            yield f"{holding.what}{where} names it"


RULES: tuple[Rule, ...] = (served, bound, configured, not_asked, services, named, held)


def _has_ours(seen: BalancerFacts) -> bool:
    """Whether anything of ours is there that may serve, loaded or only on the disk of a balancer that is stopped."""
    return seen.published or seen.structure is not None or bool(seen.problems)


def _enabled(one: Found, ground: Ground, server: str) -> Enabled | None:
    return next((each for each in ground.uses.enabled_at(server) if each.thumbprint == one.thumbprint), None)


def _taken_over(one: Found, ground: Ground, server: str, service: str) -> bool:
    facts = next((each for each in ground.facts.servers if each.server == server), None)
    if service not in _ASSIGNED or one.info is None or facts is None:
        return False
    names = tuple(name for name in one.info.names if is_name(name))
    for other in ground.uses.enabled_at(server):
        info = _outlives(one, ground, facts, other.thumbprint)
        if info is not None and service in (other.services or ()) and not missing_names(info, names):
            return True
    return False


def _heir(one: Found, ground: Ground, server: ServerFacts) -> Thumbprint | None:
    """Another certificate of that server with the same issuer and subject, that is valid and ends later."""
    mine = _enabled(one, ground, server.server)
    for other in ground.uses.enabled_at(server.server):
        if mine is not None and _same(other.name, mine.name) and _outlives(one, ground, server, other.thumbprint):
            return other.thumbprint
    return None


def _outlives(one: Found, ground: Ground, server: ServerFacts, thumbprint: Thumbprint) -> CertificateInfo | None:
    """The other certificate, where it has its key there, is valid now and ends later."""
    stored = server.certificate(thumbprint)
    if stored is None or one.info is None or not stored.has_private_key:
        return None
    info = stored.info
    valid = info.not_before <= ground.now <= info.not_after
    return info if valid and info.not_after > one.info.not_after else None


def _same(one: str, other: str) -> bool:
    """Names compare without case and blanks: Windows writes a blank after a comma, people may not."""
    return "".join(one.split()).lower() == "".join(other.split()).lower()


def _orphaned(naming: Naming, server: str) -> str:
    identity = f" {naming.identity}" if naming.identity else ""
    return (
        f"the {naming.kind}{identity} names its issuer and subject, and no other certificate on {server} with these, valid and "
        "longer-lived, would remain: import the renewed one there, or name another one (-TlsCertificateName)"
    )
