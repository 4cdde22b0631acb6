"""NTLM and Negotiate over a balancer that does not keep connections apart: what is offered decides."""

from __future__ import annotations

import pytest

from lbsync.advice import Advice, Finding
from lbsync.advise import advise
from lbsync.advise.offers import offered
from lbsync.desired import FactSet
from lbsync.facts import ServerFacts, TokenChecking, VdirFacts
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import NOW, all_modes, desired, fact_set

NO_MODE = frozenset[Mode]()
REMEDY = "Use proxy = stream."
UNSAFE = Capabilities(ntlm_safe=NO_MODE, ntlm_remedy=REMEDY)
UNUSED = UNSAFE.model_copy(update={"ntlm_unused": True})
OUT_OF_THE_BOX = {Service.OUTLOOK_ANYWHERE, Service.OAB, Service.EWS, Service.AUTODISCOVER, Service.MAPI}
BRIDGED = all_modes(Mode.BRIDGE)
OFFLOADED = all_modes(Mode.OFFLOAD)


def farm(*enabled: bool, **vdir: object) -> FactSet:
    """Two servers; what AD says of MRSProxy on each, and what differs on every virtual directory."""
    facts = fact_set()
    servers = tuple(
        server.model_copy(update={"vdirs": tuple(each.model_copy(update=vdir) for each in server.vdirs)})
        for server in facts.servers
    )
    named = {server.server: state for server, state in zip(servers, enabled, strict=False)}
    found = facts.farm.model_copy(update={"mrsproxy_enabled": named})
    return facts.model_copy(update={"servers": servers, "farm": found})


def judge(facts: FactSet, able: Capabilities, modes: dict[Service, Mode] | None = None, **wish: object) -> Advice:
    """Advice on a farm behind one such balancer."""
    return advise(desired(modes or OFFLOADED, **wish), facts, {"lb1": able}, NOW)


def told(advice: Advice, rule: str) -> dict[Service, Finding]:
    """What a rule says, by service; once for each."""
    found = [(verdict.service, each) for verdict in advice.services for each in verdict.findings if each.rule == rule]
    assert len(dict(found)) == len(found)
    return dict(found)


@pytest.mark.parametrize("modes", [OFFLOADED, BRIDGED])
def test_services_that_offer_windows_authentication_are_refused(modes: dict[Service, Mode]) -> None:
    """Out of the box five do, in either mode; OWA, ECP and ActiveSync pass, and so does MRSProxy once it is off."""
    advice = judge(farm(False, False), UNSAFE, modes)
    found = told(advice, "balancer-ntlm")
    assert set(found) == OUT_OF_THE_BOX
    assert {finding.severity for finding in found.values()} == {"refuse"}
    assert found[Service.EWS].reason == (
        "Default Web Site/Rpc, Default Web Site/OAB, Default Web Site/EWS, Default Web Site/Autodiscover, Default Web Site/mapi "
        "offer Negotiate, NTLM (EX01, EX02); this balancer shares or breaks connection-bound authentication in this mode."
    )
    assert len(advice.refusals) == 1, "five services, one reason: told once"
    assert (found[Service.EWS].where, found[Service.EWS].remedy) == (("lb1",), REMEDY)
    assert {v.service for v in advice.services if v.refused} == OUT_OF_THE_BOX


def test_only_the_mode_that_is_not_safe_is_refused() -> None:
    """A balancer may keep connections apart in one mode and not in the other."""
    able = Capabilities(ntlm_safe=frozenset({Mode.BRIDGE}))
    assert set(told(judge(farm(), able), "balancer-ntlm")) == OUT_OF_THE_BOX
    assert judge(farm(), able, BRIDGED).refusals == ()
    assert told(judge(farm(), able), "balancer-ntlm")[Service.OAB].remedy == "Use another balancer."
    assert judge(farm(), Capabilities()).refusals == ()


def test_one_member_that_offers_it_is_enough_and_is_named() -> None:
    """The balancer may pick it."""
    facts = farm(False, False, authentication=("basic",))
    offering = fact_set().servers[1]
    advice = judge(facts.model_copy(update={"servers": (facts.servers[0], offering)}), UNSAFE)
    assert "(EX02)" in told(advice, "balancer-ntlm")[Service.EWS].reason


def test_a_service_that_offers_none_passes() -> None:
    """Basic alone is told with each request."""
    assert judge(farm(False, False, authentication=("anonymous", "basic"), providers=()), UNSAFE).refusals == ()


@pytest.mark.parametrize(
    ("authentication", "providers", "schemes"),
    [
        (("windows",), ("Negotiate", "NTLM"), ("Negotiate", "NTLM")),
        (("anonymous", "windows"), ("NTLM",), ("NTLM",)),
        (("windows",), ("Negotiate:Kerberos",), ("Negotiate:Kerberos",)),
        (("windows",), (), ("Negotiate", "NTLM")),
        (("windows",), ("LiveSSP",), ()),
        (("anonymous", "basic"), ("Negotiate", "NTLM"), ()),
        ((), (), ()),
    ],
)
def test_what_a_location_offers(
    authentication: tuple[str, ...], providers: tuple[str, ...], schemes: tuple[str, ...]
) -> None:
    """Windows authentication by a provider that is bound to the connection; an empty list leaves IIS's own."""
    vdir = fact_set().servers[0].vdirs[0]
    assert offered(vdir.model_copy(update={"authentication": authentication, "providers": providers})) == schemes


@pytest.mark.parametrize(
    ("enabled", "who"),
    [
        ((True, True), "(EX01, EX02)"),
        ((False, True), "(EX02)"),
        ((True,), "(EX01, EX02)"),
        ((), "(EX01, EX02)"),
        ((False, False), None),
    ],
)
def test_mrsproxy_needs_it_unless_it_is_off_on_every_member(enabled: tuple[bool, ...], who: str | None) -> None:
    """Whatever EWS offers; where nobody knows it counts as on."""
    found = told(judge(farm(*enabled, authentication=("basic",)), UNSAFE), "balancer-ntlm")
    assert set(found) == ({Service.MRSPROXY} if who else set())
    for finding in found.values():
        assert who is not None
        assert finding.reason.startswith(f"MRSProxy offers Negotiate, NTLM {who};")
        assert (
            finding.remedy == f"Disable MRSProxy where no mailbox is moved (seen with farm.exchange set). Or: {REMEDY}"
        )


def test_declared_unused_it_is_a_warning() -> None:
    """Each service that offers it still is told, with what a client meets that chooses it; MRSProxy cannot do without."""
    advice = judge(farm(True, True), UNUSED)
    assert advice.refusals == ()
    found = told(advice, "balancer-ntlm-unused")
    assert set(found) == OUT_OF_THE_BOX | {Service.MRSPROXY}
    assert {finding.severity for finding in found.values()} == {"warn"}
    assert "401 without end, or its connection is closed; no identity is ever mixed" in found[Service.MAPI].reason
    assert found[Service.MAPI].remedy.startswith("Turn Windows authentication off on these virtual directories")
    assert "mailbox moves over this balancer cannot authenticate" in found[Service.MRSPROXY].reason


def test_what_outlook_anywhere_is_about_to_offer_counts() -> None:
    """Set-OutlookAnywhere would turn it on in the same run."""
    facts = farm(False, False, authentication=("basic",))
    asked = judge(facts, UNSAFE, outlook_anywhere={"iis_authentication": ("Basic", "Ntlm")})
    (finding,) = told(asked, "balancer-ntlm").values()
    assert finding.reason.startswith("Default Web Site/Rpc offers NTLM (EX01, EX02);")
    assert judge(facts, UNSAFE, outlook_anywhere={"iis_authentication": ("Basic",)}).refusals == ()


def with_location(facts: FactSet, location: str) -> FactSet:
    """The same farm with a location of no service that takes Windows authentication."""

    def change(server: ServerFacts) -> ServerFacts:
        below = VdirFacts(
            location=location,
            own_ssl_flags=None,
            ssl_flags="Ssl",
            token_checking=TokenChecking.NONE,
            authentication=("windows",),
            providers=("Negotiate", "NTLM"),
        )
        return server.model_copy(update={"vdirs": (*server.vdirs, below)})

    return facts.model_copy(update={"servers": tuple(map(change, facts.servers))})


@pytest.mark.parametrize(
    ("location", "service"),
    [
        ("Default Web Site/owa/Integrated", Service.OWA),
        ("Default Web Site/OWA/integrated", Service.OWA),
        ("Default Web Site/Microsoft-Server-ActiveSync/Proxy", None),
        ("Default Web Site/owa2", None),
        ("Default Web Site/PowerShell", None),
    ],
)
def test_a_location_below_a_service_is_told_and_forbids_nothing(location: str, service: Service | None) -> None:
    """OWA's clients are not sent to owa/Integrated; ActiveSync/Proxy is for servers only."""
    facts = with_location(farm(False, False, authentication=("basic",)), location)
    for able in (UNSAFE, UNUSED):
        advice = judge(facts, able)
        assert advice.refusals == ()
        found = told(advice, "balancer-ntlm-below")
        assert set(found) == ({service} if service else set())
        assert all(f"{location} offers Negotiate, NTLM (EX01, EX02), too" in each.reason for each in found.values())
    assert told(judge(facts, Capabilities()), "balancer-ntlm-below") == {}


def test_a_service_that_no_member_has_offers_nothing() -> None:
    """There is nobody to log on to."""
    facts = farm(True, True)
    bare = tuple(server.model_copy(update={"vdirs": ()}) for server in facts.servers)
    found = told(judge(facts.model_copy(update={"servers": bare}), UNSAFE, BRIDGED), "balancer-ntlm")
    assert found == {}
