"""What Extended Protection demands: each demand met, not met and not known, as data."""

from __future__ import annotations

import pytest

from lbsync.desired import Desired, FactSet
from lbsync.facts import BindingFacts, FarmFacts, OAuthFacts, TokenChecking
from lbsync.model import Mode
from lbsync.protection import Demand, demands, ready, wish
from lbsync.protection.afterwards import already_on, commands
from lbsync.protection.servers import holding_another, knows_extended_protection
from lbsync.services import FRONT_END_SITE, Service
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import (
    HOSTS,
    NOW,
    all_modes,
    balancer_facts,
    desired,
    fact_set,
    flags_as_offloaded,
    leaf_info,
    outlook_anywhere_facts,
    server_facts,
    vdir_facts,
)

BRIDGED = all_modes(Mode.BRIDGE)
ABLE = Capabilities(switches_sides=True, resumes_sessions=False)


def sound() -> FactSet:
    """A farm that meets everything lbsync can see."""
    return fact_set(balancers=(balancer_facts(modes=BRIDGED),))


def judged(facts: FactSet, able: Capabilities = ABLE, wanted: Desired | None = None) -> dict[str, Demand]:
    """The demands by id."""
    able_by_name = {one.balancer: able for one in facts.balancers}
    return {one.id: one for one in demands(wanted or desired(), facts, able_by_name, NOW)}


def with_server(**changes: object) -> FactSet:
    """EX02 is otherwise."""
    facts = sound()
    first, second = facts.servers
    return facts.model_copy(update={"servers": (first, second.model_copy(update=changes))})


def with_farm(**changes: object) -> FactSet:
    """AD holds something else."""
    facts = sound()
    return facts.model_copy(update={"farm": facts.farm.model_copy(update=changes)})


def behind(*balancers: object) -> FactSet:
    """Other balancers."""
    return sound().model_copy(update={"balancers": balancers})


def test_a_sound_farm_is_ready() -> None:
    """What lbsync sees is met; what it cannot see is said to be unknown, with how to look, and decides nothing."""
    found = judged(sound())
    assert ready(tuple(found.values()))
    by_hand = {"tls", "other-servers", "archiving", "ntlmv1", "public-folders"}
    assert {one.id for one in found.values() if one.state != "met"} == by_hand
    for one in found.values():
        assert one.source
        assert one.state == "met" or (one.seen_by == "you" and not one.decides and one.remedy and one.reason)


def bound_beside(address: str, host: str = "") -> FactSet:
    """EX02 has one binding of 443 more, with another certificate."""
    more = BindingFacts(
        site=FRONT_END_SITE, protocol="https", address=address, port=443, host=host, thumbprint=leaf_info(2).thumbprint
    )
    return with_server(bindings=(*sound().servers[1].bindings[:2], more))


def test_a_binding_for_a_host_that_nobody_asks_for_is_no_matter() -> None:
    """Another site's name; where the main binding is another certificate's, that alone is told, and lbsync mends both."""
    assert judged(bound_beside("*", "intranet.contoso.test"))["certificate"].state == "met"
    assert not judged(bound_beside("127.0.0.1"))["certificate"].lbsync_can
    other = judged(bound_beside("127.0.0.1"), wanted=desired(leaf=leaf_info(3)))["certificate"]
    assert (other.lbsync_can, other.reason) == (True, "another one, or none: EX01, EX02, lb1.")


OFFLOADS = balancer_facts(modes=BRIDGED | {Service.OWA: Mode.OFFLOAD, Service.EWS: Mode.OFFLOAD})
ON = outlook_anywhere_facts("EX01", offloading=True)
OFF = outlook_anywhere_facts("EX01")
OPEN = OFF.model_copy(update={"ssl_offloading": True, "internal_clients_require_ssl": False})
EX02 = outlook_anywhere_facts("EX02")


@pytest.mark.parametrize(
    ("facts", "demand", "state", "reason", "remedy"),
    [
        (behind(OFFLOADS), "bridging", "not met", "lb1 offloads owa, ews.", "lbsync bridges all of them."),
        (fact_set(), "bridging", "not met", "nothing of lbsync's runs on lb1 yet.", "lbsync bridges"),
        (fact_set(balancers=()), "bridging", "not known", "No balancer is configured.", "passes it on"),
        (behind(balancer_facts(modes=BRIDGED, leaf=2)), "certificate", "not met", "lb1", leaf_info().thumbprint),
        (with_server(bindings=()), "certificate", "not met", "another one, or none: EX02.", "lbsync puts"),
        (with_farm(outlook_anywhere=(ON, EX02)), "outlook-anywhere", "not met", "EX01.", "sets all three"),
        (with_farm(outlook_anywhere=(OPEN, EX02)), "outlook-anywhere", "not met", "EX01.", "sets all three"),
        (with_farm(outlook_anywhere=(OFF,)), "outlook-anywhere", "not known", "EX02", "Get-OutlookAnywhere"),
        (with_farm(read=False), "outlook-anywhere", "not known", "AD was not read.", "farm.exchange"),
        (
            with_server(vdirs=flags_as_offloaded(server_facts("EX02")).vdirs[:4]),
            "require-ssl",
            "not met",
            "EX02 (owa, ecp, oab)",
            "drained",
        ),
        (
            behind(balancer_facts(modes={Service.OWA: Mode.BRIDGE})),
            "bridging",
            "not met",
            "does not say how it sends ecp",
            "",
        ),
        (
            bound_beside("127.0.0.1"),
            "certificate",
            "not met",
            "further binding of 443: EX02 (127.0.0.1).",
            "Bindings of",
        ),
        (bound_beside("10.0.0.5"), "certificate", "not met", "further binding of 443: EX02 (10.0.0.5).", "Bindings of"),
        (bound_beside("*", HOSTS[0].upper()), "certificate", "not met", f"EX02 ({HOSTS[0].upper()}).", "Bindings of"),
        (with_server(vdirs=()), "require-ssl", "not known", "no virtual directory was seen: EX02.", "lbsync check"),
        (with_server(setup_running=True), "builds", "not known", "set-up is running", "Let set-up finish"),
        (with_server(setup_incomplete=True), "builds", "not known", "half done: EX02.", "Let set-up finish"),
        (with_server(build="15.2.986.27"), "builds", "not met", "EX02 (15.2.986.27)", "August 2022"),
        (with_server(build=""), "builds", "not known", "EX02", "ExSetup.exe"),
        (with_server(build="15.2.986.x"), "builds", "not known", "EX02", "ExSetup.exe"),
        (with_server(suppress_extended_protection=1), "not-suppressed", "not met", "EX02", "Lsa"),
    ],
)
def test_what_makes_a_farm_unready(facts: FactSet, demand: str, state: str, reason: str, remedy: str) -> None:
    """Named with where it was seen and what is to be done; nothing else of it is unmet."""
    found = judged(facts)
    one = found[demand]
    assert (one.state, one.decides, one.seen_by) == (state, True, "lbsync")
    assert reason in one.reason
    assert remedy in one.remedy
    assert not ready(tuple(found.values()))
    assert {name for name, other in found.items() if other.decides and other.state != "met"} <= {demand, "certificate"}


def test_without_a_known_certificate_nobody_holds_another() -> None:
    """What is wrong with it is told; lbsync cannot meet that."""
    lost = desired(leaf=None, leaf_problem="The servers serve different ones.")
    one = judged(sound(), wanted=lost)["certificate"]
    assert (one.state, one.reason, one.lbsync_can) == ("not met", "The servers serve different ones.", False)
    assert judged(sound(), wanted=desired(leaf=None))["certificate"].reason
    assert holding_another(lost, sound()) == ()
    assert holding_another(desired(), with_server(bindings=())) == ("EX02",)


@pytest.mark.parametrize(
    ("able", "demand", "words", "remedy"),
    [
        (
            ABLE.model_copy(update={"ntlm_safe": frozenset[Mode](), "ntlm_remedy": "Stream it."}),
            "logon",
            "lb1: ",
            "Stream it.",
        ),
        (
            ABLE.model_copy(update={"ntlm_safe": frozenset[Mode](), "ntlm_unused": True}),
            "logon",
            "declared unused",
            "stream",
        ),
        (ABLE.model_copy(update={"modes": frozenset({Mode.OFFLOAD})}), "logon", "cannot bridge", "another balancer"),
        (
            ABLE.model_copy(update={"resumes_sessions": True}),
            "rotation",
            "lb1: clients may resume",
            "Turn resumption off",
        ),
        (
            ABLE.model_copy(update={"resumes_sessions": True, "resumption_remedy": "Set resumption = false"}),
            "rotation",
            "resume",
            "Set resumption = false, then lbsync apply.",
        ),
        (Capabilities(), "rotation", "lb1: certificate and side", "--maintenance"),
    ],
)
def test_what_a_balancer_must_be_able_to_do(able: Capabilities, demand: str, words: str, remedy: str) -> None:
    """Logging on decides; rotating later does not, and is told all the same."""
    found = judged(sound(), able)
    one = found[demand]
    assert (one.state, one.decides) == ("not met", demand == "logon")
    assert words in one.reason
    assert remedy in one.remedy
    assert ready(tuple(found.values())) is (demand != "logon")


def test_one_server_cannot_change_half_by_half() -> None:
    """Told before Extended Protection is on, when it can still be helped."""
    facts = fact_set("EX01", balancers=(balancer_facts(modes=BRIDGED),))
    one = judged(facts, ABLE.model_copy(update={"resumes_sessions": True}))["rotation"]
    assert one.reason == "lb1: clients may resume TLS sessions; there is one server only."
    assert one.remedy.endswith("lbsync rotate --maintenance.")


@pytest.mark.parametrize(
    ("build", "knows"),
    [
        ((15, 0, 1497, 37), False),
        ((15, 0, 1497, 38), True),
        ((15, 0, 1498, 1), True),
        ((15, 1, 2375, 30), True),
        ((15, 1, 2375, 29), False),
        ((15, 1, 2507, 10), False),
        ((15, 1, 2507, 11), True),
        ((15, 1, 2400, 99), False),
        ((15, 1, 2508, 0), True),
        ((15, 2, 986, 28), True),
        ((15, 2, 1118, 10), False),
        ((15, 2, 1118, 11), True),
        ((15, 2, 1544, 4), True),
        ((15, 2, 2562, 17), True),
        ((14, 3, 513, 0), False),
    ],
)
def test_builds_that_know_it(build: tuple[int, int, int, int], knows: bool) -> None:
    """The first of each cumulative update that has the August 2022 security update, and all that came after the last."""
    assert knows_extended_protection(build) is knows


@pytest.mark.parametrize(
    ("build", "state"),
    [
        ("15.0.1497.48", "not known"),
        ("15.1.2375.31", "not known"),
        ("15.1.2507.11", "met"),
        ("15.2.986.29", "not known"),
        ("15.2.1118.11", "met"),
        ("", "not known"),
    ],
)
def test_public_folders_matter_on_some_versions_only(build: str, state: str) -> None:
    """None are read, and it is asked only where there may be any."""
    facts = sound()
    servers = tuple(one.model_copy(update={"build": build}) for one in facts.servers)
    one = judged(facts.model_copy(update={"servers": servers}))["public-folders"]
    assert (one.state, one.decides) == (state, False)


@pytest.mark.parametrize(
    ("farm", "state"),
    [
        (FarmFacts(), "met"),
        (FarmFacts(read=False), "not known"),
        (FarmFacts(oauth=OAuthFacts(hybrid_configuration=True)), "not known"),
    ],
)
def test_modern_hybrid_is_asked_about_where_there_is_a_hybrid(farm: FarmFacts, state: str) -> None:
    """The Hybrid Agent is not seen from here."""
    assert judged(sound().model_copy(update={"farm": farm}))["modern-hybrid"].state == state


def test_the_wish_is_bridging_whatever_was_configured() -> None:
    """And SSLOffloading off whatever was found before."""
    wanted = wish(desired())
    assert (wanted.modes, wanted.for_extended_protection) == (BRIDGED, True)


@pytest.mark.parametrize(
    ("facts", "on"), [(sound(), ()), (with_server(vdirs=(vdir_facts(Service.OWA, TokenChecking.ALLOW),)), ("EX02",))]
)
def test_what_comes_next_names_the_servers(facts: FactSet, on: tuple[str, ...]) -> None:
    """The script's own check first, then the script; and where it is on already."""
    servers = facts.servers
    check, run = commands(servers)
    assert check.endswith("-PrerequisitesCheckOnly -ExchangeServerNames EX01,EX02")
    assert run == r".\ExchangeExtendedProtectionManagement.ps1 -ExchangeServerNames EX01,EX02"
    assert already_on(servers) == on
