"""Facts in, plan out: what is planned, in which order, and what is left alone."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from lbsync.desired import Desired, FactSet
from lbsync.errors import UnsafeChange
from lbsync.facts import FarmFacts
from lbsync.model import Mode, Plan, Step, StepId
from lbsync.phases import Phases
from lbsync.plan import basis, build, identity
from lbsync.services import NO_SSL, Service
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import (
    HOSTS,
    NOW,
    Lowering,
    all_modes,
    balancer_facts,
    desired,
    fact_set,
    flags_as_offloaded,
    leaf_info,
    outlook_anywhere_facts,
    server_facts,
)
from lbsync.weave import Weave

BRIDGED = all_modes(Mode.BRIDGE)
OFFLOADED = all_modes(Mode.OFFLOAD)


RELOADING = Capabilities(live_mode_switch=False)
BLIND = Capabilities(live_mode_switch=False, per_path_modes=False, filters_paths=False)
APART = BLIND.model_copy(update={"mrsproxy_host": "mrs.contoso.test"})


def plan(facts: FactSet, wish: Desired | None = None, able: Capabilities | None = None) -> Plan:
    """A plan over targets that lower each change to one step."""
    names = [*(s.server for s in facts.servers), *(b.balancer for b in facts.balancers), "directory"]
    abilities = {b.balancer: able or Capabilities() for b in facts.balancers}
    return build(wish or desired(), facts, {name: Lowering(name) for name in names}, abilities, NOW)


def with_mrsproxy(facts: FactSet, *enabled: bool) -> FactSet:
    """The same farm with MRSProxy on or off, server by server."""
    named = dict(zip((s.server for s in facts.servers), enabled, strict=True))
    return facts.model_copy(update={"farm": facts.farm.model_copy(update={"mrsproxy_enabled": named})})


def offloaded_farm(modes: dict[Service, Mode] | None = None) -> FactSet:
    """Two servers as a finished offload leaves them."""
    facts = fact_set(balancers=(balancer_facts(modes=modes or OFFLOADED),))
    farm = FarmFacts(outlook_anywhere=tuple(outlook_anywhere_facts(s.server, offloading=True) for s in facts.servers))
    return facts.model_copy(update={"servers": tuple(map(flags_as_offloaded, facts.servers)), "farm": farm})


def before(made: Plan, earlier: str, later: str) -> bool:
    """True when every way to step ``later`` leads over step ``earlier``."""
    steps = {step.id: step for step in made.steps}
    todo, seen = [StepId(later)], set[StepId]()
    while todo:
        for parent in steps[todo.pop()].after:
            if parent not in seen:
                seen.add(parent)
                todo.append(parent)
    return StepId(earlier) in seen


def test_the_first_rollout_does_everything_in_the_order_that_loses_no_request() -> None:
    """Mark, certificate, structure in bridge, AD, server by server while drained, flips, proof, unmark."""
    made = plan(fact_set())
    ids = [step.id for step in made.steps]
    assert ids[:4] == ["lb1:mark:True", "lb1:install-certificate", "lb1:publish", "outside:bridged"]
    order = [
        "lb1:mark:True",
        "lb1:install-certificate",
        "lb1:publish",
        "outside:bridged",
        "directory:set-outlook-anywhere",
        "lb1:spare:EX01",
        "lb1:drain:EX01",
        "EX01:require-ssl",
        "lb1:undrain:EX01",
        "lb1:spare:EX02",
        "lb1:drain:EX02",
        "EX02:require-ssl",
        "lb1:undrain:EX02",
        "lb1:ready:owa:offload",
        "lb1:switch-mode:owa:offload",
        "outside:proven",
        "lb1:mark:False",
    ]
    for earlier, later in itertools.pairwise(order):
        assert before(made, earlier, later), (earlier, later)
    flips = [step for step in ids if "switch-mode" in step]
    assert len(flips) == 8
    assert not any("mrsproxy" in step for step in flips)
    assert before(made, "EX02:require-ssl", "lb1:switch-mode:outlook_anywhere:offload")


@pytest.mark.parametrize("able", [RELOADING, BLIND])
def test_a_balancer_that_must_reload_switches_all_services_in_one_step(able: Capabilities) -> None:
    """One gate waits for all the pools, then one change names them all; a reload for each would cost eight."""
    made = plan(with_mrsproxy(fact_set(), False, False), able=able)
    gate = made.step(StepId("lb1:ready:offload"))
    services = [service.value for service, mode in OFFLOADED.items() if mode is Mode.OFFLOAD]
    assert [check.args for check in gate.until] == [{"service": name, "mode": "offload"} for name in services]
    assert gate.summary == f"wait until the offload pools of {', '.join(services)} are up"
    (flip,) = (step for step in made.steps if "switch-mode" in step.id)
    assert flip.after == (gate.id,)
    assert _change(flip)["services"] == services
    assert (_change(flip)["before"], _change(flip)["after"]) == ("bridge", "offload")
    for server in ("EX01", "EX02"):
        assert before(made, f"lb1:undrain:{server}", gate.id)
    assert before(made, flip.id, "outside:proven")


def test_going_back_to_bridging_by_reload_is_one_step_before_the_servers() -> None:
    """The mirror image holds for them too; what is bridged already is not named."""
    modes = OFFLOADED | {Service.ECP: Mode.BRIDGE}
    made = plan(offloaded_farm(modes), desired(BRIDGED), RELOADING)
    (flip,) = (step for step in made.steps if "switch-mode" in step.id)
    assert "ecp" not in _list(_change(flip)["services"])
    assert before(made, "lb1:ready:bridge", flip.id)
    assert before(made, flip.id, "outside:bridged")
    assert before(made, "outside:bridged", "EX01:require-ssl")


def test_balancers_of_both_kinds_are_switched_each_in_its_way() -> None:
    """One live, one by reload: eight steps here, one there, beside each other."""
    facts = fact_set(balancers=(balancer_facts("lb1"), balancer_facts("lb2")))
    targets = {name: Lowering(name) for name in ("EX01", "EX02", "lb1", "lb2", "directory")}
    made = build(desired(), facts, targets, {"lb1": Capabilities(), "lb2": RELOADING}, NOW)
    flips = [step.target for step in made.steps if "switch-mode" in step.id]
    assert sorted(flips) == ["lb1"] * 8 + ["lb2"]
    gate = made.step(StepId("lb2:ready:offload"))
    assert not any("switch-mode" in parent for parent in gate.after)


@pytest.mark.parametrize(
    ("able", "enabled", "modes", "host"),
    [
        (Capabilities(), (True, True), OFFLOADED, None),
        (Capabilities(), (False, False), OFFLOADED, None),
        (BLIND, (True, True), BRIDGED, None),
        (BLIND, (False, False), BRIDGED, None),
        (BLIND, (False, False), OFFLOADED, "not asked"),
        (APART, (True, False), OFFLOADED, "mrs.contoso.test"),
        (APART, (False, False), OFFLOADED, "mrs.contoso.test"),
    ],
)
def test_mrsproxy_is_proven_where_it_can_be_asked(
    able: Capabilities, enabled: tuple[bool, bool], modes: dict[Service, Mode], host: str | None
) -> None:
    """On its own name where it has one; not at all where it is disabled and its path would meet port 80."""
    facts = with_names(with_mrsproxy(fact_set(), *enabled))
    checks = plan(facts, desired(modes), able).step(StepId("outside:proven")).until
    asked = [check.args.get("host") for check in checks if check.verb == "mrsproxy"]
    assert asked == ([] if host == "not asked" else [host])
    assert ("absent" in {check.verb for check in checks}) is able.filters_paths
    assert "redirect" in {check.verb for check in checks}


def with_names(facts: FactSet) -> FactSet:
    """The same farm with certificates for MRSProxy's own name, too."""
    leaf = leaf_info(names=(*HOSTS, "mrs.contoso.test"))
    return facts.model_copy(update={"servers": tuple(server_facts(s.server, leaf) for s in facts.servers)})


def test_what_a_change_costs_on_a_balancer_is_noted() -> None:
    """Its notes stand in a plan that changes anything, by its name, and not in one without steps."""
    noted = balancer_facts(modes=BRIDGED).model_copy(update={"notes": ("each step is a reload",)})
    facts = fact_set(balancers=(noted,))
    assert plan(facts).notes == ("lb1: each step is a reload",)
    assert plan(facts, desired(BRIDGED)).notes == ()


def _change(step: Step) -> dict[str, object]:
    assert step.do is not None
    change = step.do.args["change"]
    assert isinstance(change, dict)
    return {**change}


def test_publishing_starts_with_every_service_bridged() -> None:
    """Nothing goes to plain HTTP before every server accepts it."""
    publish = plan(fact_set()).step(StepId("lb1:publish"))
    assert publish.do is not None
    change = publish.do.args["change"]
    assert isinstance(change, dict)
    assert change["modes"] == dict.fromkeys([s.value for s in Service], "bridge")


def test_a_plan_of_what_is_already_so_has_no_steps() -> None:
    """No changes, no plan: not even a marker."""
    made = plan(offloaded_farm())
    assert made.steps == ()
    assert plan(fact_set(balancers=(balancer_facts(modes=BRIDGED),)), desired(BRIDGED)).steps == ()


def test_going_back_to_bridging_is_the_mirror_image() -> None:
    """The balancer first, then Require SSL, each directory to its value out of the box."""
    made = plan(offloaded_farm(), desired(BRIDGED))
    assert before(made, "lb1:switch-mode:owa:bridge", "outside:bridged")
    assert before(made, "outside:bridged", "directory:set-outlook-anywhere")
    assert before(made, "directory:set-outlook-anywhere", "EX01:require-ssl")
    step = made.step(StepId("EX01:require-ssl"))
    assert step.do is not None
    change = step.do.args["change"]
    assert isinstance(change, dict)
    wanted = {item["service"]: (item["before"], item["after"]) for item in _list(change["changes"])}
    assert wanted["owa"] == (NO_SSL, None)
    assert wanted["oab"] == (NO_SSL, "Ssl, Ssl128")
    assert set(wanted) == {"owa", "ecp", "oab", "activesync", "ews", "autodiscover", "mapi"}
    set_oa = made.step(StepId("directory:set-outlook-anywhere"))
    assert set_oa.do is not None
    sent = set_oa.do.args["change"]
    assert isinstance(sent, dict)
    assert {
        (o["ssl_offloading"], o["internal_clients_require_ssl"], o["external_clients_require_ssl"])
        for o in _list(sent["after"])
    } == {(False, True, True)}


def _list(value: object) -> list[Any]:
    assert isinstance(value, list)
    return value


def test_outlook_anywhere_is_left_alone_where_nobody_asked() -> None:
    """SSLOffloading true under bridging is harmless and not ours to change."""
    facts = fact_set()
    farm = FarmFacts(outlook_anywhere=tuple(outlook_anywhere_facts(s.server, offloading=True) for s in facts.servers))
    made = plan(facts.model_copy(update={"farm": farm}), desired(BRIDGED))
    assert "directory:set-outlook-anywhere" not in [step.id for step in made.steps]


def test_outlook_anywhere_names_are_set_and_emptied_on_request() -> None:
    """Only what was asked for differs; an empty name means none."""
    wish = desired(BRIDGED, outlook_anywhere={"internal_hostname": "", "external_hostname": "oa.contoso.test"})
    made = plan(fact_set("EX01", balancers=(balancer_facts(modes=BRIDGED),)), wish)
    step = made.step(StepId("directory:set-outlook-anywhere"))
    assert step.do is not None
    change = step.do.args["change"]
    assert isinstance(change, dict)
    (after,) = _list(change["after"])
    assert (after["internal_hostname"], after["external_hostname"]) == (None, "oa.contoso.test")
    assert after["ssl_offloading"] is False


def test_outlook_anywhere_needs_the_directory_and_an_entry() -> None:
    """Without AD nothing is set; a server AD does not list is passed over."""
    facts = fact_set(balancers=(balancer_facts(modes=BRIDGED),))
    unread = facts.model_copy(update={"farm": FarmFacts(read=False)})
    assert plan(unread, desired(BRIDGED)).steps == ()
    unlisted = facts.model_copy(update={"farm": FarmFacts()})
    assert plan(unlisted, desired(BRIDGED)).steps == ()


def test_no_more_servers_are_drained_than_allowed() -> None:
    """With max_unavailable 2, the third waits for the first and the two go at once."""
    made = plan(fact_set("EX01", "EX02", "EX03", "EX04"), desired(limits={"max_unavailable": 2}))
    assert not before(made, "lb1:undrain:EX01", "lb1:drain:EX02")
    assert before(made, "lb1:undrain:EX01", "lb1:drain:EX03")
    assert not before(made, "lb1:undrain:EX02", "lb1:drain:EX03")
    assert before(made, "lb1:undrain:EX04", "lb1:switch-mode:owa:offload")
    assert before(made, "lb1:undrain:EX03", "lb1:switch-mode:owa:offload")
    spare = made.step(StepId("lb1:spare:EX03")).until[0]
    assert spare.args == {"server": "EX03", "min": 2}


def test_a_server_that_cannot_be_spared_is_not_drained() -> None:
    """One server alone is changed in place, and the plan says what that costs."""
    made = plan(fact_set("EX01"))
    assert not any("drain" in step.id for step in made.steps)
    assert "503" in made.notes[0]


def test_a_server_that_is_already_right_is_left_alone() -> None:
    """Only those that are not prepared yet are touched."""
    facts = fact_set()
    facts = facts.model_copy(update={"servers": (facts.servers[0], flags_as_offloaded(facts.servers[1]))})
    made = plan(facts)
    assert [step.id for step in made.steps if step.id.endswith("require-ssl")] == ["EX01:require-ssl"]


def test_two_balancers_are_published_beside_each_other_and_drained_together() -> None:
    """No server changes before both balancers sent it no more requests."""
    made = plan(fact_set(balancers=(balancer_facts("lb1"), balancer_facts("lb2"))))
    assert not before(made, "lb1:publish", "lb2:publish")
    for balancer in ("lb1", "lb2"):
        assert before(made, f"{balancer}:publish", "outside:bridged")
        assert before(made, f"{balancer}:drain:EX01", "EX01:require-ssl")
    assert len(made.step(StepId("outside:proven")).until) == 2 * (1 + 9 + 2)


def test_a_changed_structure_is_published_with_the_modes_in_force() -> None:
    """A new member must not bring an offloaded service back to TLS on the way."""
    stale = balancer_facts(modes=OFFLOADED).model_copy(update={"wanted_structure": "s2"})
    facts = offloaded_farm().model_copy(update={"balancers": (stale,)})
    made = plan(facts)
    publish = made.step(StepId("lb1:publish"))
    assert publish.do is not None
    change = publish.do.args["change"]
    assert isinstance(change, dict)
    modes = change["modes"]
    assert isinstance(modes, dict)
    assert modes["owa"] == "offload"


def test_another_certificate_is_installed_and_switched_live() -> None:
    """Where a balancer serves another leaf, it is swapped without a new structure."""
    facts = fact_set(balancers=(balancer_facts(modes=BRIDGED, leaf=7),))
    made = plan(facts, desired(BRIDGED))
    ids = [step.id for step in made.steps]
    assert any(step.startswith("lb1:switch-certificate") for step in ids)
    assert "lb1:publish" not in ids


def test_a_service_no_server_has_is_not_probed() -> None:
    """Nothing can answer for it."""
    facts = fact_set()
    servers = tuple(
        s.model_copy(update={"vdirs": tuple(v for v in s.vdirs if Service.MAPI not in v.services)})
        for s in facts.servers
    )
    made = plan(facts.model_copy(update={"servers": servers}), desired(BRIDGED))
    probed = [check.args.get("service") for check in made.step(StepId("outside:proven")).until]
    assert "mapi" not in probed
    assert "owa" in probed


def test_a_refused_plan_names_every_reason() -> None:
    """Nothing is planned, and each reason says where and what to do."""
    with pytest.raises(UnsafeChange) as refused:
        plan(fact_set(), desired(trusted_leg=False, leaf_exportable=False))
    assert len(refused.value.reasons) == 2
    assert "trusted_leg" in " ".join(refused.value.reasons)


def test_warnings_are_told_once() -> None:
    """Eight services with one and the same remark make one line."""
    assert len(plan(fact_set()).warnings) == 1


def test_the_basis_follows_facts_and_wish_but_not_health() -> None:
    """Sessions, health and remarks may change between plan and apply; anything else makes the plan stale."""
    facts, wish = fact_set(), desired()
    server = facts.servers[0]
    healthier = server.model_copy(update={"live": type(server.live)(), "problems": ("slow",)})
    assert basis(wish, facts.model_copy(update={"servers": (healthier, facts.servers[1])})) == basis(wish, facts)
    changed = flags_as_offloaded(server)
    assert basis(wish, facts.model_copy(update={"servers": (changed, facts.servers[1])})) != basis(wish, facts)
    assert basis(desired(trusted_leg=False), facts) != basis(wish, facts)


def test_identity_tells_plans_apart_and_survives_saving() -> None:
    """What was approved is what is applied."""
    made = plan(fact_set())
    assert identity(Plan.model_validate_json(made.model_dump_json())) == identity(made)
    assert identity(made.model_copy(update={"steps": made.steps[:-1]})) != identity(made)
    with pytest.raises(KeyError):
        made.step(StepId("nothing"))


def test_two_hosts_that_saw_the_same_farm_leave_different_markers() -> None:
    """The marker on a balancer tells one planner's run from another's, which the facts alone would not."""
    facts, targets = fact_set(), {name: Lowering(name) for name in ("EX01", "EX02", "lb1", "directory")}
    able = {"lb1": Capabilities()}
    one = build(desired(), facts, targets, able, NOW)
    other = build(desired(), facts, targets, able, NOW + timedelta(microseconds=1))
    assert one.basis == other.basis
    assert one.steps[0] != other.steps[0]


def test_a_plan_without_a_certificate_is_our_bug() -> None:
    """The rules refuse it first; the phases do not guess."""
    with pytest.raises(AssertionError):
        Phases(desired(leaf=None), fact_set(), {}, {}, basis="x", now=NOW)


def test_weaving_refuses_steps_that_stand_twice_or_follow_unknown_ones() -> None:
    """Both are a target's bug and must not become a plan."""
    weave = Weave()
    step = Step(id=StepId("a"), target="t", summary="a")
    assert weave.add((step,), after=()) == ("a",)
    with pytest.raises(ValueError, match="twice"):
        weave.add((step,), after=())
    with pytest.raises(ValueError, match="unknown"):
        weave.add((Step(id=StepId("b"), target="t", summary="b", after=(StepId("z"),)),), after=())
    assert weave.add((), after=(StepId("a"),)) == ("a",)
    chain = (Step(id=StepId("c"), target="t", summary="c"), Step(id=StepId("d"), target="t", summary="d"))
    assert weave.add(chain, after=(StepId("a"),)) == ("c", "d")
