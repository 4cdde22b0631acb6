"""Server by server, facts in and plan out: what a part takes, what it leaves, and what it must not hinder."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lbsync.desired import Desired, FactSet, Remembered
from lbsync.errors import UnsafeChange
from lbsync.facts import FarmFacts, OutlookAnywhereFacts, ServerFacts, TokenChecking
from lbsync.model import Mode, Plan, StepId
from lbsync.parts import mixed, narrowed
from lbsync.plan import build
from lbsync.services import FLAG_SERVICES, Service
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import (
    NOW,
    Lowering,
    all_modes,
    balancer_facts,
    desired,
    fact_set,
    flags_as_offloaded,
    leaf_info,
    outlook_anywhere_facts,
)

BRIDGED = all_modes(Mode.BRIDGE)
OFFLOADED = all_modes(Mode.OFFLOAD)
ALL = ("EX01", "EX02", "EX03")


def farm(*prepared: str, modes: dict[Service, Mode] | None = None, balancers: int = 1) -> FactSet:
    """Three servers, some of them prepared, behind balancers in these modes (``None``: nothing published yet)."""
    names = [f"lb{number}" for number in range(1, balancers + 1)]
    facts = fact_set(*ALL, balancers=tuple(balancer_facts(name, modes=modes) for name in names))
    servers = tuple(flags_as_offloaded(s) if s.server in prepared else s for s in facts.servers)
    listed = tuple(outlook_anywhere_facts(name, offloading=name in prepared) for name in ALL)
    return facts.model_copy(update={"servers": servers, "farm": FarmFacts(outlook_anywhere=listed)})


def changed(facts: FactSet, name: str, **update: object) -> FactSet:
    """The same farm, with one server otherwise."""
    servers = tuple(s.model_copy(update=update) if s.server == name else s for s in facts.servers)
    return facts.model_copy(update={"servers": servers})


def with_flags(server: ServerFacts, service: Service, **update: object) -> dict[str, object]:
    """A server's directories, with one otherwise."""
    return {"vdirs": tuple(v.model_copy(update=update) if service in v.services else v for v in server.vdirs)}


def plan(facts: FactSet, wish: Desired, able: Capabilities | None = None) -> Plan:
    """A plan over targets that lower each change to one step."""
    names = [*(s.server for s in facts.servers), *(b.balancer for b in facts.balancers), "directory"]
    abilities = {b.balancer: able or Capabilities() for b in facts.balancers}
    return build(wish, facts, {name: Lowering(name) for name in names}, abilities, NOW)


def order(made: Plan, *steps: str) -> list[str]:
    """Those of these steps that the plan has, in its order."""
    return [step.id for step in made.steps if step.id in steps]


def flagged(made: Plan) -> list[str]:
    """The servers whose Require SSL changes."""
    return [step.target for step in made.steps if step.id.endswith("require-ssl")]


def outlook(made: Plan) -> list[tuple[str, bool]]:
    """Whose Outlook Anywhere is set in AD, and to what."""
    steps = [step for step in made.steps if step.id.endswith("set-outlook-anywhere")]
    found: list[tuple[str, bool]] = []
    for step in steps:
        assert step.do is not None
        change = step.do.args["change"]
        assert isinstance(change, dict)
        after = change["after"]
        assert isinstance(after, list)
        for one in after:
            told = OutlookAnywhereFacts.model_validate(one)
            found.append((told.server, told.ssl_offloading))
    return found


def test_one_server_is_prepared_and_proven_while_everything_stays_bridged() -> None:
    """Published, AD and Require SSL of that server, its own proof over plain HTTP, and no service goes to port 80."""
    made = plan(farm(), desired(only=("EX01",)))
    steps = (
        "lb1:publish", "outside:bridged", "directory:set-outlook-anywhere", "lb1:drain:EX01", "EX01:require-ssl",
        "lb1:undrain:EX01", "lb1:plain:EX01", "outside:proven", "lb1:mark:False",
    )  # fmt: skip
    assert order(made, *steps) == list(steps)
    assert flagged(made) == ["EX01"]
    assert outlook(made) == [("EX01", True)]
    assert not any("switch-mode" in step.id for step in made.steps)
    assert made.modes == BRIDGED
    proof = made.step(StepId("lb1:plain:EX01"))
    assert [check.verb for check in proof.until] == ["pool-up"] * 8
    assert {"service": "owa", "mode": "offload", "server": "EX01"} in [check.args for check in proof.until]
    assert proof.after == ("lb1:undrain:EX01",)
    seen = {str(check.args["mode"]) for check in made.step(StepId("outside:proven")).until if check.verb == "service"}
    assert seen == {"bridge"}
    services = "owa, ecp, outlook_anywhere, oab, activesync, ews, autodiscover, mapi"
    assert made.notes == (
        f"EX02, EX03 are not prepared yet: {services} stay bridged until then (lbsync apply without --only goes on)",
    )


def test_the_rest_follows_and_services_go_to_port_80_at_the_end() -> None:
    """A farm prepared in part is no drift: the others are prepared, then every service is switched."""
    made = plan(farm("EX01", modes=BRIDGED), desired())
    assert flagged(made) == ["EX02", "EX03"]
    assert outlook(made) == [("EX02", True), ("EX03", True)]
    assert order(made, "EX03:require-ssl", "lb1:switch-mode:owa:offload") == [
        "EX03:require-ssl",
        "lb1:switch-mode:owa:offload",
    ]
    assert made.modes == OFFLOADED
    assert any("Require SSL is off on EX01 and on at EX02, EX03" in warning for warning in made.warnings)
    assert not any("plain" in step.id for step in made.steps)


def test_the_last_part_says_what_sends_services_to_port_80() -> None:
    """With it every server is prepared; the switch is a plan's for the whole farm."""
    made = plan(farm("EX01", "EX02", modes=BRIDGED), desired(only=("EX03",)))
    assert flagged(made) == ["EX03"]
    assert not any("switch-mode" in step.id for step in made.steps)
    (note,) = made.notes
    assert note.startswith("every server is prepared then: lbsync apply without --only sends owa, ecp,")
    again = plan(farm(*ALL, modes=BRIDGED), desired(only=("EX03",)))
    assert again.steps == ()
    assert again.notes == made.notes


def test_a_single_server_that_waits_is_told_in_the_singular() -> None:
    """Grammar at 2 a.m."""
    made = plan(farm("EX01", modes=BRIDGED), desired(only=("EX02",)))
    assert made.notes[0].startswith("EX03 is not prepared yet: ")


def test_towards_bridge_the_balancers_come_first_for_all_servers() -> None:
    """Then Require SSL comes on with the named server; on the others it stays off, which harms nothing."""
    made = plan(farm(*ALL, modes=OFFLOADED), desired(BRIDGED, only=("EX01",)))
    steps = ("lb1:switch-mode:owa:bridge", "outside:bridged", "EX01:require-ssl", "outside:proven")
    assert order(made, *steps) == list(steps)
    assert len([step for step in made.steps if "switch-mode" in step.id]) == 8
    assert flagged(made) == ["EX01"]
    assert outlook(made) == [("EX01", False)]
    assert not any("plain" in step.id for step in made.steps)
    assert made.modes == BRIDGED
    (note,) = made.notes
    assert note.startswith("Require SSL stays off on EX02, EX03 for owa, ecp, outlook_anywhere,")
    found = {"ssl_offloading": False, "internal_clients_require_ssl": True, "external_clients_require_ssl": True}
    ledger = Remembered(outlook_anywhere={"EX02": found, "EX03": found})
    wish = desired(BRIDGED).model_copy(update={"remembered": ledger})
    rest = plan(farm("EX02", "EX03", modes=BRIDGED), wish)
    assert flagged(rest) == ["EX02", "EX03"]
    assert outlook(rest) == [("EX02", False), ("EX03", False)]
    last = plan(farm("EX03", modes=BRIDGED), desired(BRIDGED, only=("EX03",)))
    assert last.notes == ()


def test_what_is_offloaded_already_stays_so_in_a_part() -> None:
    """A server added to an offloaded farm is prepared by itself; one balancer that lags is left as it is."""
    made = plan(farm("EX01", "EX02", modes=OFFLOADED), desired(only=("EX03",)))
    assert flagged(made) == ["EX03"]
    assert made.modes == OFFLOADED
    assert made.notes == ()
    lagging = (balancer_facts("lb1", modes=OFFLOADED), balancer_facts("lb2", modes=BRIDGED))
    two = farm("EX01", "EX02", modes=OFFLOADED).model_copy(update={"balancers": lagging})
    part = plan(two, desired(only=("EX03",)))
    assert not any("switch-mode" in step.id for step in part.steps)
    assert part.modes == BRIDGED
    asked = {
        (c.args["balancer"], c.args["mode"]) for c in part.step(StepId("outside:proven")).until if "mode" in c.args
    }
    assert asked == {("lb1", "offload"), ("lb1", "bridge"), ("lb2", "bridge")}  # MRSProxy is bridged at both


def test_without_balancers_a_server_is_prepared_all_the_same() -> None:
    """Nothing to drain from, nothing to ask."""
    made = plan(farm(balancers=0), desired(only=("EX01",)))
    assert [step.id for step in made.steps] == ["directory:set-outlook-anywhere", "EX01:require-ssl", "outside:proven"]


@pytest.mark.parametrize(
    ("groups", "servers", "gates"),
    [
        ({}, ["EX01", "EX02", "EX03"], []),
        ({"EX03": "canary"}, ["EX01", "EX02", "EX03"], ["outside:answered:1"]),
        ({"EX01": "a", "EX02": "b", "EX03": "a"}, ["EX01", "EX03", "EX02"], ["outside:answered:1"]),
        (
            {"EX01": "a", "EX02": "b", "EX03": "c"},
            ["EX01", "EX02", "EX03"],
            ["outside:answered:1", "outside:answered:2"],
        ),
    ],
)
def test_groups_are_taken_one_after_another(
    groups: dict[str, str], servers: Sequence[str], gates: Sequence[str]
) -> None:
    """The group whose first server stands first comes first, and is proven before the next begins."""
    made = plan(farm(), desired(groups=groups))
    assert flagged(made) == servers
    assert [step.id for step in made.steps if "answered" in step.id] == gates
    assert made.modes == OFFLOADED


def test_between_groups_a_group_is_proven_by_itself_and_from_outside() -> None:
    """No server of the second is drained before that; services are still bridged then."""
    made = plan(farm(), desired(groups={"EX01": "canary"}))
    gate = made.step(StepId("outside:answered:1"))
    assert gate.summary == "every service answers with group canary changed"
    assert gate.after == ("lb1:plain:EX01",)
    assert {str(c.args["mode"]) for c in gate.until if c.verb == "service"} == {"bridge"}
    assert made.step(StepId("lb1:spare:EX02")).after == (gate.id,)
    back = plan(farm(*ALL, modes=OFFLOADED), desired(BRIDGED, groups={"EX02": "b", "EX03": "b"}))
    steps = ("EX01:require-ssl", "outside:answered:1", "EX02:require-ssl", "EX03:require-ssl")
    assert order(back, *steps) == list(steps)
    assert back.step(StepId("outside:answered:1")).summary == "every service answers with these servers changed"
    assert not any("plain" in step.id for step in back.steps)


def test_one_note_tells_that_nobody_can_be_spared() -> None:
    """However many groups there are."""
    made = plan(farm(), desired(groups={"EX01": "canary"}, limits={"max_unavailable": 3}))
    assert len([note for note in made.notes if "503" in note]) == 1


def hindered(facts: FactSet, name: str, why: str) -> FactSet:
    """A server that cannot be offloaded, or changed at all."""
    server = next(s for s in facts.servers if s.server == name)
    told: dict[str, dict[str, object]] = {
        "client-certificates": with_flags(server, Service.EWS, ssl_flags="Ssl, SslNegotiateCert", own_ssl_flags="Ssl"),
        "extended-protection": with_flags(server, Service.EWS, token_checking=TokenChecking.ALLOW),
        "no-http-binding": {"bindings": server.bindings[1:]},
        "not-administrator": {"administrator": False},
        "setup-at-work": {"setup_running": True},
        "another-leaf": {"bindings": server.bindings[:1]}
        | with_flags(server, Service.EWS, token_checking=TokenChecking.ALLOW),
    }
    return changed(facts, name, **told[why])


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("client-certificates", "negotiates or requires client certificates"),
        ("no-http-binding", "has no http binding"),
        ("not-administrator", "no local administrator"),
    ],
)
def test_another_servers_reasons_do_not_hinder_this_one(why: str, words: str) -> None:
    """EX01 is prepared whatever holds EX02 back; the plan says what must be mended before the whole farm can follow."""
    facts = hindered(farm(), "EX02", why)
    made = plan(facts, desired(only=("EX01",)))
    assert flagged(made) == ["EX01"]
    assert any(note.startswith("the whole farm cannot follow yet: EX02: ") and words in note for note in made.notes)
    for wish in (desired(only=("EX02",)), desired(only=("EX01", "EX02")), desired()):
        with pytest.raises(UnsafeChange) as refused:
            plan(facts, wish)
        assert any(words in reason for reason in refused.value.reasons)


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("setup-at-work", "set-up is running"),
        ("another-leaf", "IIS 443 holds another certificate"),
        ("extended-protection", "Extended Protection is on"),
    ],
)
def test_what_all_servers_share_meanwhile_is_judged_for_all(why: str, words: str) -> None:
    """Set-up writes to AD, too; and while services stay bridged, Extended Protection must see one certificate everywhere.

    Where one member has it, no member is prepared for offloading.
    """
    with pytest.raises(UnsafeChange) as refused:
        plan(hindered(farm(), "EX02", why), desired(only=("EX01",)))
    assert any(words in reason for reason in refused.value.reasons)


def test_what_forbids_offloading_elsewhere_does_not_hinder_where_it_is_offloaded_already() -> None:
    """Preparing EX03 makes nothing worse for EX02."""
    facts = hindered(farm("EX01", "EX02", modes=OFFLOADED), "EX02", "no-http-binding")
    assert flagged(plan(facts, desired(only=("EX03",)))) == ["EX03"]


def test_drift_beside_require_ssl_is_refused_as_ever() -> None:
    """Members with other flags, and among the servers of a part, too; a part without them goes on."""
    other = with_flags(farm().servers[1], Service.EWS, ssl_flags="Ssl", own_ssl_flags="Ssl")
    facts = changed(farm(), "EX02", **other)
    for wish in (desired(), desired(only=("EX01", "EX02"))):
        with pytest.raises(UnsafeChange) as refused:
            plan(facts, wish)
        assert any("Members differ in EWS: sslFlags" in reason for reason in refused.value.reasons)
    made = plan(facts, desired(only=("EX01",)))
    assert any("whole farm cannot follow yet" in note and "sslFlags" in note for note in made.notes)


def test_servers_are_judged_as_if_they_were_the_farm() -> None:
    """What was seen of the others is left out, in AD too; without a choice nothing is."""
    facts = farm("EX01")
    assert narrowed(desired(), facts) == facts
    part = narrowed(desired(only=("EX02",)), facts)
    assert [s.server for s in part.servers] == [one.server for one in part.farm.outlook_anywhere] == ["EX02"]
    assert part.balancers == facts.balancers


def test_a_mixed_farm_is_told_by_who_is_prepared_for_what() -> None:
    """Services that differ alike together; one that a server lacks, or AD does not list, is not counted there."""
    assert mixed(farm()) == mixed(farm(*ALL)) == ()
    facts = farm("EX01")
    (part,) = mixed(facts)
    assert (part.prepared, part.others) == (("EX01",), ("EX02", "EX03"))
    assert part.services == (*FLAG_SERVICES[:2], Service.OUTLOOK_ANYWHERE, *FLAG_SERVICES[2:])
    assert str(part).startswith("Require SSL is off on EX01 and on at EX02, EX03 (owa, ecp,")
    first = farm("EX01").servers[0]
    lacking = changed(facts, "EX01", vdirs=tuple(v for v in first.vdirs if Service.EWS not in v.services))
    unlisted = lacking.model_copy(update={"farm": FarmFacts(read=False)})
    (part,) = mixed(unlisted)
    assert {Service.EWS, Service.OUTLOOK_ANYWHERE} & set(part.services) == set()


def test_a_leaf_is_still_rolled_to_the_balancers_by_a_part() -> None:
    """The balancers are brought to what all need, whichever servers are taken."""
    facts = farm(modes=BRIDGED).model_copy(update={"balancers": (balancer_facts(modes=BRIDGED, leaf=7),)})
    made = plan(facts, desired(only=("EX01",)))
    assert order(made, "lb1:install-certificate") == ["lb1:install-certificate"]
    assert made.leaf == leaf_info().fingerprint
