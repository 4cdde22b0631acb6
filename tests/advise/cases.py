"""Every rule's cases as data: a sound farm and what differs from it, in which the rule speaks, or is silent though near."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lbsync.desired import Desired, FactSet
from lbsync.facts import BindingFacts, OAuthFacts, ServerFacts, ServerLive, TokenChecking, VdirFacts
from lbsync.model import Mode
from lbsync.services import FRONT_END_SITE, SERVICES, Service
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import NOW, all_modes, balancer_facts, desired, fact_set, leaf_info

BOTH = ("EX01", "EX02")
SECOND = ("EX02",)
DIRECTORY = ("directory",)
LB = ("lb1",)
ABLE = Capabilities()
NOWHERE: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A farm, and where ``rule`` speaks of it; ``None`` where it does not. Rotation rules judge the same farm."""

    rule: str
    where: tuple[str, ...] | None
    facts: FactSet
    wish: Desired = field(default_factory=desired)
    able: Capabilities = ABLE
    now: datetime = NOW

    def __str__(self) -> str:
        return f"{self.rule}-{'silent' if self.where is None else 'speaks'}"


def second(facts: FactSet | None = None, /, **update: object) -> FactSet:
    """EX02 differs."""
    facts = facts or fact_set()
    first, other = facts.servers
    return facts.model_copy(update={"servers": (first, other.model_copy(update=update))})


def each(facts: FactSet | None = None, /, **update: object) -> FactSet:
    """Every server differs from a sound one alike."""
    facts = facts or fact_set()
    return facts.model_copy(update={"servers": tuple(one.model_copy(update=update) for one in facts.servers)})


def vdir(service: Service, facts: FactSet | None = None, /, **update: object) -> FactSet:
    """A virtual directory of EX02 differs."""
    facts = facts or fact_set()
    return second(facts, vdirs=tuple(_changed(one, service, update) for one in facts.servers[1].vdirs))


def _changed(one: VdirFacts, service: Service, update: dict[str, object]) -> VdirFacts:
    return one.model_copy(update=update) if service in one.services else one


def directory(facts: FactSet | None = None, /, **update: object) -> FactSet:
    """What Active Directory says differs."""
    facts = facts or fact_set()
    return facts.model_copy(update={"farm": facts.farm.model_copy(update=update)})


def balancer(**update: object) -> FactSet:
    """The balancer differs from a published one that bridges."""
    one = balancer_facts(modes=all_modes(Mode.BRIDGE)).model_copy(update=update)
    return fact_set(balancers=(one,))


def binding(address: str, protocol: str = "https", number: int = 1) -> BindingFacts:
    """A binding of the front end with certificate ``number``."""
    port, thumbprint = (443, leaf_info(number).thumbprint) if protocol == "https" else (80, None)
    return BindingFacts(site=FRONT_END_SITE, protocol=protocol, address=address, port=port, thumbprint=thumbprint)


def holding(number: int, *, status: str = "Valid") -> dict[str, object]:
    """A server's own certificate and its bindings."""
    stored = fact_set().servers[0].certificates[0].model_copy(update={"info": leaf_info(number), "status": status})
    return {"certificates": (stored,), "bindings": (binding("*", "http"), binding("*", number=number))}


def below(location: str) -> FactSet:
    """A location of no service that takes Windows authentication, on EX02."""
    facts = quiet()
    one = VdirFacts(
        location=f"{FRONT_END_SITE}/{location}", own_ssl_flags=None, ssl_flags="Ssl", token_checking=TokenChecking.NONE,
        authentication=("windows",), providers=("Negotiate", "NTLM"),
    )  # fmt: skip
    return second(facts, vdirs=(*facts.servers[1].vdirs, one))


def quiet(**enabled: bool) -> FactSet:
    """Basic authentication only, and MRSProxy off unless named."""
    facts = fact_set()
    servers = tuple(_basic(server) for server in facts.servers)
    farm = facts.farm.model_copy(update={"mrsproxy_enabled": {"EX01": False, "EX02": False} | enabled})
    return facts.model_copy(update={"servers": servers, "farm": farm})


def _basic(server: ServerFacts) -> ServerFacts:
    vdirs = tuple(one.model_copy(update={"authentication": ("basic",), "providers": ()}) for one in server.vdirs)
    return server.model_copy(update={"vdirs": vdirs})


def protected(facts: FactSet | None = None) -> FactSet:
    """Extended Protection on EWS of EX02."""
    return vdir(Service.EWS, facts, token_checking=TokenChecking.ALLOW)


SOUND = fact_set()
BRIDGED = desired(all_modes(Mode.BRIDGE))
MIXED = desired(all_modes(Mode.OFFLOAD) | {Service.OWA: Mode.BRIDGE})
NO_LEAF = desired(leaf=None)
ONE_MODE = Capabilities(per_path_modes=False)
APART = ONE_MODE.model_copy(update={"mrsproxy_host": "mrs.contoso.test"})
ENDS_HERE = APART.model_copy(update={"mrsproxy_ends_here": True})
UNSAFE = Capabilities(ntlm_safe=frozenset[Mode]())
UNUSED = UNSAFE.model_copy(update={"ntlm_unused": True})
SIDES = Capabilities(switches_sides=True, resumes_sessions=False)
POOL = SERVICES[Service.OWA].pool
MRS_LEAF = leaf_info(names=("mail.contoso.test", "autodiscover.contoso.test", "*.contoso.test"))


def policy(**rules: object) -> Desired:
    """A wish with a policy, whose trust is in networks alone; EX01 is known by a number, EX02 by ``second``."""
    addresses = {"EX01": "10.0.0.11", "EX02": rules.pop("second", "10.0.0.12")}
    trusted = rules.pop("trusted_leg", False)
    return desired(trusted_leg=trusted, addresses=addresses, policy=rules)


NETWORK = ("10.0.0.0/24", "fd00::/8")


def _farm() -> Iterator[Case]:
    yield Case("setup-at-work", SECOND, second(setup_running=True))
    yield Case("setup-at-work", BOTH, each(setup_incomplete=True))
    yield Case("setup-at-work", None, SOUND)
    yield Case("not-administrator", SECOND, second(administrator=False))
    yield Case("not-administrator", None, SOUND)
    yield Case("missing-cmdlets", NOWHERE, directory(missing_cmdlets=("Set-OutlookAnywhere",)))
    yield Case("missing-cmdlets", None, SOUND)
    yield Case("before-2013-sp1", SECOND, second(version="15.0.516.32"))
    yield Case("before-2013-sp1", None, each(version="15.0.847.32"))
    yield Case("pool-stopped", SECOND, second(live=ServerLive(pools={POOL: "Stopped"})))
    yield Case("pool-stopped", None, second(live=ServerLive(pools={"DefaultAppPool": "Stopped"})))
    yield Case("loopback-binding", SECOND, second(bindings=(binding("*"), binding("127.0.0.1", number=9))))
    yield Case("loopback-binding", None, second(bindings=(binding("*"), binding("127.0.0.1"))))
    yield Case("server-problem", BOTH, each(problems=("two sources disagree",)))
    yield Case("server-problem", None, SOUND)
    yield Case("directory-problem", DIRECTORY, directory(problems=("no answer about hybrid",)))
    yield Case("directory-problem", None, SOUND)
    for name, where in (("drift", BOTH), ("drift-allowed", None)):
        yield Case(name, where, vdir(Service.OWA, ssl_flags="Ssl"))
    levelled = desired(limits={"allow_drift": True})
    for name, where in (("drift", None), ("drift-allowed", BOTH)):
        yield Case(name, where, vdir(Service.OWA, ssl_flags="Ssl"), levelled)
    for other in (
        second(vdirs=()),
        second(**holding(2)),
        protected(),
        vdir(Service.OAB, authentication=("basic",)),
    ):
        yield Case("drift", BOTH, other)
    in_part = vdir(Service.OWA, own_ssl_flags="None", ssl_flags="None")
    yield Case("drift", None, in_part)
    yield Case("partly-prepared", ("EX02", "EX01"), in_part)
    yield Case("partly-prepared", None, SOUND)
    yield Case("version-drift", BOTH, second(build="15.2.986.49"))
    yield Case("version-drift", None, each(build="15.2.986.49"))


def _certificate() -> Iterator[Case]:
    yield Case("certificate-unknown", NOWHERE, SOUND, NO_LEAF)
    yield Case("certificate-unknown", None, SOUND)
    yield Case("certificate-chain", NOWHERE, SOUND, desired(chain_problem="the intermediate is missing"))
    yield Case("certificate-chain", None, SOUND)
    sound = leaf_info()
    later = timedelta(days=1)
    for code, unfit, near in (
        ("expired", {"not_after": NOW - later}, {"not_after": NOW + later}),
        ("not-yet-valid", {"not_before": NOW + later}, {"not_before": NOW - later}),
        ("name-missing", {"names": ("mail.contoso.test",)}, {"names": ("*.contoso.test",)}),
        ("weak-key", {"key_bits": 1024}, {"key_algorithm": "ec", "key_bits": 256}),
        ("not-for-servers", {"server_auth": False}, {}),
        ("self-signed", {"self_signed": True}, {}),
    ):
        yield Case(f"certificate-{code}", NOWHERE, SOUND, desired(leaf=sound.model_copy(update=unfit)))
        yield Case(f"certificate-{code}", None, SOUND, desired(leaf=sound.model_copy(update=near)))
        yield Case(f"certificate-{code}", None, SOUND, NO_LEAF)
    allowed = desired(leaf=sound.model_copy(update={"self_signed": True}), allow_self_signed=True)
    yield Case("certificate-self-signed", None, SOUND, allowed)
    kept = desired(leaf_exportable=False)
    yield Case("certificate-not-exportable", NOWHERE, SOUND, kept)
    yield Case("certificate-not-exportable", None, balancer(), kept)
    yield Case("certificate-status", SECOND, second(**holding(1, status="PendingRequest")))
    yield Case("certificate-status", None, second(**holding(2, status="PendingRequest")))


def _balancers() -> Iterator[Case]:
    yield Case("balancer-blocked", LB, balancer(blockers=("no admin socket",)))
    yield Case("balancer-blocked", None, balancer())
    yield Case("balancer-problem", LB, balancer(problems=("the map differs",)))
    yield Case("balancer-problem", None, balancer())
    yield Case("balancer-marked", LB, balancer(marker="plan x"))
    yield Case("balancer-marked", None, balancer())
    yield Case("balancer-one-mode", LB, SOUND, MIXED, ONE_MODE)
    yield Case("balancer-one-mode", None, SOUND, BRIDGED, ONE_MODE)
    yield Case("balancer-one-mode", None, SOUND, MIXED)
    shared = "mrsproxy-on-shared-listener"
    yield Case(shared, LB, SOUND, able=ONE_MODE)
    yield Case(shared, LB, quiet(EX02=True), able=ONE_MODE)
    yield Case(shared, None, quiet(), able=ONE_MODE)
    yield Case(shared, None, SOUND, able=APART)
    yield Case(shared, None, SOUND, BRIDGED, ONE_MODE)
    yield Case("balancer-unfiltered", LB, SOUND, able=Capabilities(filters_paths=False))
    yield Case("balancer-unfiltered", None, SOUND)
    yield Case("balancer-unfiltered-offload", LB, SOUND, able=Capabilities(filters_paths=False))
    yield Case("balancer-unfiltered-offload", None, SOUND, BRIDGED, Capabilities(filters_paths=False))
    yield Case("mrsproxy-name-unpublished", LB, SOUND, able=ENDS_HERE)
    yield Case("mrsproxy-name-unpublished", None, SOUND, desired(leaf=MRS_LEAF), ENDS_HERE)
    yield Case("mrsproxy-name-missing", BOTH, SOUND, able=APART)
    yield Case("mrsproxy-name-missing", None, SOUND, able=ENDS_HERE)
    yield Case("leaf-differs-from-balancer", ("lb1", "EX02"), protected(balancer(leaf=leaf_info(2).fingerprint)))
    yield Case("leaf-differs-from-balancer", None, balancer(leaf=leaf_info(2).fingerprint))
    yield Case("leaf-differs-from-balancer", None, protected(balancer()))
    yield Case("balancer-cannot-offload", LB, SOUND, able=Capabilities(modes=frozenset({Mode.BRIDGE})))
    yield Case("balancer-cannot-offload", None, SOUND)
    yield Case("balancer-cannot-bridge", LB, SOUND, able=Capabilities(modes=frozenset({Mode.OFFLOAD})))
    yield Case("balancer-cannot-bridge", None, SOUND)
    yield Case("balancer-ntlm", LB, SOUND, able=UNSAFE)
    yield Case("balancer-ntlm", LB, quiet(EX02=True), able=UNSAFE)
    yield Case("balancer-ntlm", None, quiet(), able=UNSAFE)
    yield Case("balancer-ntlm", None, SOUND)
    yield Case("balancer-ntlm-unused", LB, SOUND, able=UNUSED)
    yield Case("balancer-ntlm-unused", None, quiet(), able=UNUSED)
    yield Case("balancer-ntlm-unused", None, SOUND, able=UNSAFE)
    yield Case("balancer-ntlm-below", LB, below("owa/Integrated"), able=UNSAFE)
    yield Case("balancer-ntlm-below", None, below("Microsoft-Server-ActiveSync/Proxy"), able=UNSAFE)


def _policy() -> Iterator[Case]:
    yield Case("encrypt-inside", NOWHERE, SOUND, policy(encrypt_inside=True, trusted_leg=True))
    yield Case("encrypt-inside", None, SOUND)
    yield Case("leg-not-trusted", NOWHERE, SOUND, desired(trusted_leg=False))
    yield Case("leg-not-trusted", None, SOUND, policy(trusted_networks=NETWORK))
    outside = "leg-outside-networks"
    yield Case(outside, SECOND, SOUND, policy(trusted_networks=NETWORK, second="10.0.1.12"))
    yield Case(outside, None, SOUND, policy(trusted_networks=NETWORK))
    yield Case(outside, None, SOUND, policy(trusted_networks=NETWORK, second="fd00::12"))
    yield Case(outside, None, SOUND, policy(trusted_networks=NETWORK, second="10.0.1.12", trusted_leg=True))
    yield Case("leg-untellable", SECOND, SOUND, policy(trusted_networks=NETWORK, second="ex02.contoso.test"))
    yield Case("leg-untellable", BOTH, SOUND, desired(trusted_leg=False, policy={"trusted_networks": NETWORK}))
    yield Case("leg-untellable", None, SOUND, policy(trusted_networks=NETWORK, second="10.0.1.12"))
    old = policy(trusted_leg=True, legacy_hosts=("legacy.contoso.test",))
    both = policy(trusted_leg=True, legacy_hosts=("Mail.contoso.test",))
    yield Case("legacy-coexistence", NOWHERE, SOUND, old)
    yield Case("legacy-coexistence", None, SOUND)
    yield Case("legacy-host-published", NOWHERE, SOUND, both)
    yield Case("legacy-host-published", None, SOUND, old)


def _offload() -> Iterator[Case]:
    yield Case("never-offloaded", NOWHERE, SOUND)
    yield Case("extended-protection", SECOND, protected())
    yield Case("extended-protection", SECOND, vdir(Service.OWA, token_checking=TokenChecking.REQUIRE))
    yield Case("extended-protection", None, SOUND)
    yield Case("directory-unread", DIRECTORY, directory(read=False))
    yield Case("directory-unread", None, SOUND)
    for used in ("oauth2_client_profile_enabled", "evosts_is_default", "hybrid_configuration"):
        yield Case("oauth-in-use", DIRECTORY, directory(oauth=OAuthFacts(**{used: True})))
    yield Case("oauth-in-use", None, SOUND)
    yield Case("oauth-in-use", None, directory(read=False, oauth=OAuthFacts(hybrid_configuration=True)))
    for flag in ("SslNegotiateCert", "SslRequireCert"):
        yield Case("client-certificates", SECOND, vdir(Service.ACTIVESYNC, ssl_flags=f"Ssl, {flag}"))
    yield Case("client-certificates", None, vdir(Service.ACTIVESYNC, ssl_flags="Ssl"))
    yield Case("no-http-binding", SECOND, second(bindings=(binding("*"),)))
    yield Case("no-http-binding", SECOND, second(bindings=(binding("127.0.0.1", "http"), binding("*"))))
    yield Case("no-http-binding", None, SOUND)
    without = tuple(one for one in SOUND.servers[1].vdirs if Service.OAB not in one.services)
    yield Case("vdir-missing", SECOND, second(vdirs=without))
    yield Case("vdir-missing", None, SOUND)
    yield Case("redirect-to-https", SECOND, vdir(Service.OWA, redirect="HTTPS://mail.contoso.test/owa"))
    yield Case("redirect-to-https", None, vdir(Service.OWA, redirect="/owa"))
    yield Case("rewrite-rules", SECOND, vdir(Service.OWA, rewrite_rules=("to https",)))
    yield Case("rewrite-rules", None, SOUND)
    lacking = directory(missing_cmdlets=("Set-OutlookAnywhere",))
    done = tuple(one.model_copy(update={"ssl_offloading": True}) for one in SOUND.farm.outlook_anywhere)
    yield Case("cannot-set-outlook-anywhere", DIRECTORY, lacking)
    yield Case("cannot-set-outlook-anywhere", None, directory(lacking, outlook_anywhere=done))
    yield Case("outlook-anywhere-missing", SECOND, directory(outlook_anywhere=SOUND.farm.outlook_anywhere[:1]))
    yield Case("outlook-anywhere-missing", None, directory(read=False, outlook_anywhere=()))
    by_setup = "extended-protection-by-default"
    for version in ("15.2.1544.4", "15.2.1748.10", "15.2.2562.17"):
        yield Case(by_setup, SECOND, second(version=version))
    yield Case(by_setup, None, each(version="15.2.1258.12"))
    yield Case(by_setup, None, second(protected(), version="15.2.1544.4"))
    yield Case("offload-undocumented", BOTH, SOUND)
    yield Case("offload-undocumented", None, each(version="15.0.1497.2"))


def _bridge() -> Iterator[Case]:
    another = "bridge-another-certificate"
    yield Case(another, SECOND, protected(second(**holding(2))))
    yield Case(another, SECOND, protected(second(bindings=())))
    yield Case(another, None, second(**holding(2)))
    yield Case(another, None, protected())
    yield Case(another, None, protected(second(**holding(2))), NO_LEAF)
    names = {"EX01": "mail.contoso.test", "EX02": "ex02.contoso.test"}
    yield Case("bridge-name-missing", SECOND, SOUND, desired(tls_names=names))
    yield Case("bridge-name-missing", None, SOUND, desired(tls_names=dict.fromkeys(names, "mail.contoso.test")))
    yield Case("bridge-name-missing", None, second(bindings=()), desired(tls_names=names))
    yield Case("suppress-extended-protection", SECOND, protected(second(suppress_extended_protection=1)))
    yield Case("suppress-extended-protection", None, second(suppress_extended_protection=1))


def _rotation() -> Iterator[Case]:
    yield Case("rotation-one-server", NOWHERE, fact_set("EX01"))
    yield Case("rotation-one-server", None, SOUND)
    two = fact_set(
        balancers=(
            balancer_facts(modes=all_modes(Mode.BRIDGE)),
            balancer_facts("lb2", modes=all_modes(Mode.BRIDGE), leaf=2),
        )
    )
    yield Case("rotation-several-leaves", ("lb1", "lb2"), two)
    yield Case("rotation-several-leaves", None, balancer())
    yield Case("rotation-publish-due", LB, balancer(structure="s0"))
    yield Case("rotation-publish-due", None, balancer())
    yield Case("rotation-name-missing", NOWHERE, SOUND, desired(tls_names={"EX01": "ex01.contoso.test"}))
    yield Case("rotation-name-missing", NOWHERE, SOUND, able=APART)
    yield Case("rotation-name-missing", None, SOUND)
    yield Case("rotation-no-sides", LB, balancer())
    yield Case("rotation-no-sides", None, balancer(), able=SIDES)
    yield Case("rotation-resumption", LB, balancer(), able=SIDES.model_copy(update={"resumes_sessions": True}))
    yield Case("rotation-resumption", None, balancer(), able=SIDES)


CASES = (*_farm(), *_certificate(), *_balancers(), *_policy(), *_offload(), *_bridge(), *_rotation())
