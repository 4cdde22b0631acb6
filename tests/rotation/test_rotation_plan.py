"""A renewed certificate: in which order it gets everywhere, and when that is refused."""

from __future__ import annotations

import itertools

import pytest

from lbsync.desired import FactSet
from lbsync.errors import UnsafeChange
from lbsync.facts import BalancerFacts, BalancerLive, MemberLive, ServerFacts, TokenChecking
from lbsync.model import Mode, Plan, StepId
from lbsync.plan import build_rotation
from lbsync.services import Service
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import (
    NOW,
    Lowering,
    all_modes,
    balancer_facts,
    desired,
    fact_set,
    leaf_info,
    server_facts,
)

OLD, NEW = leaf_info(1), leaf_info(5)
SWITCHED = f"switch-certificate:{NEW.fingerprint}"
ABLE = Capabilities(switches_sides=True, resumes_sessions=False)


def cutting(facts: FactSet) -> Plan:
    """The same, by an administrator who cuts what is left."""
    wish = desired(leaf=NEW, limits={"on_drain_timeout": "cut", "drain_timeout_s": 20})
    names = [*(s.server for s in facts.servers), *(b.balancer for b in facts.balancers)]
    abilities = {b.balancer: ABLE for b in facts.balancers}
    return build_rotation(wish, facts, {name: Lowering(name) for name in names}, abilities, NOW)


def rotate(facts: FactSet, able: Capabilities = ABLE, *, to_servers: bool = True, maintenance: bool = False) -> Plan:
    """A plan that takes certificate 5 everywhere."""
    names = [*(s.server for s in facts.servers), *(b.balancer for b in facts.balancers)]
    targets = {name: Lowering(name) for name in names}
    abilities = {b.balancer: able for b in facts.balancers}
    return build_rotation(
        desired(leaf=NEW), facts, targets, abilities, NOW, to_servers=to_servers, maintenance=maintenance
    )


def farm(*servers: ServerFacts, balancers: tuple[BalancerFacts, ...] = ()) -> FactSet:
    """Servers behind published balancers, everything with certificate 1 unless given otherwise."""
    found = balancers or (balancer_facts(modes=all_modes(Mode.BRIDGE)),)
    every = servers or (server_facts("EX01"), server_facts("EX02"))
    return fact_set(balancers=found).model_copy(update={"servers": every})


def protect(server: ServerFacts) -> ServerFacts:
    """Extended Protection on everywhere."""
    vdirs = tuple(v.model_copy(update={"token_checking": TokenChecking.REQUIRE}) for v in server.vdirs)
    return server.model_copy(update={"vdirs": vdirs})


def protected(*names: str, balancers: tuple[BalancerFacts, ...] = ()) -> FactSet:
    """The same under Extended Protection."""
    return farm(*(protect(server_facts(name)) for name in names), balancers=balancers)


def ids(plan: Plan) -> list[str]:
    """Step ids in plan order."""
    return [str(step.id) for step in plan.steps]


def after(plan: Plan, step: str) -> set[str]:
    """Which steps a step follows at once."""
    return {str(one) for one in plan.step(StepId(step)).after}


def leads_to(plan: Plan, earlier: str, later: str) -> bool:
    """Whether every way to ``later`` leads over ``earlier``, at some distance."""
    todo, seen = [later], set[str]()
    while todo:
        for parent in after(plan, todo.pop()) - seen:
            seen.add(parent)
            todo.append(parent)
    return earlier in seen


def test_without_protection_balancers_change_at_once_then_servers_one_by_one() -> None:
    """Two balancers side by side, the proof from outside, then each server while nobody is sent to it."""
    two = tuple(balancer_facts(name, modes=all_modes(Mode.BRIDGE)) for name in ("lb1", "lb2"))
    plan = rotate(farm(balancers=two), Capabilities())
    assert ids(plan) == [
        "lb1:mark:True",
        "lb2:mark:True",
        "lb1:install-certificate",
        "lb2:install-certificate",
        f"lb1:{SWITCHED}",
        f"lb2:{SWITCHED}",
        "outside:rotated",
        "EX01:import-certificate",
        "EX02:import-certificate",
        "lb1:spare:EX01",
        "lb1:drain:EX01",
        "lb2:spare:EX01",
        "lb2:drain:EX01",
        f"EX01:enable-certificate:{NEW.thumbprint}",
        "lb1:undrain:EX01",
        "lb2:undrain:EX01",
        "lb1:spare:EX02",
        "lb1:drain:EX02",
        "lb2:spare:EX02",
        "lb2:drain:EX02",
        f"EX02:enable-certificate:{NEW.thumbprint}",
        "lb1:undrain:EX02",
        "lb2:undrain:EX02",
        "outside:proven",
        "lb1:mark:False",
        "lb2:mark:False",
    ]
    assert after(plan, f"lb2:{SWITCHED}") == {"lb1:install-certificate", "lb2:install-certificate"}
    assert after(plan, "outside:rotated") == {f"lb1:{SWITCHED}", f"lb2:{SWITCHED}"}
    checks = plan.step(StepId("outside:rotated")).until
    assert {str(check.args["balancer"]) for check in checks if check.verb == "serving"} == {"lb1", "lb2"}
    assert all(check.args["leaf"] == NEW.fingerprint for check in checks if check.verb == "serving")


def test_servers_may_be_left_out_without_protection_only() -> None:
    """What clients see changes on the balancers; under Extended Protection a server must hold the same leaf."""
    assert not [step for step in ids(rotate(farm(), to_servers=False)) if step.startswith("EX")]
    guarded = protected("EX01", "EX02")
    assert ids(rotate(guarded, to_servers=False)) == ids(rotate(guarded))


def test_under_protection_one_half_then_leaf_and_side_then_the_other_half() -> None:
    """No connection meets a server that holds another leaf than the one it was opened with."""
    plan = rotate(protected("EX01", "EX02", "EX03", "EX04"))
    order = [
        "lb1:mark:True",
        "lb1:install-certificate",
        "EX01:import-certificate",
        "lb1:half-up",
        "lb1:drain:EX01",
        "lb1:drain:EX02",
        f"EX01:enable-certificate:{NEW.thumbprint}",
        f"lb1:switch-sides:{NEW.fingerprint}",
        "outside:rotated",
        f"EX03:enable-certificate:{NEW.thumbprint}",
        "lb1:undrain:EX03",
        "lb1:undrain:EX04",
        "outside:proven",
        "lb1:mark:False",
    ]
    for earlier, later in itertools.pairwise(order):
        assert leads_to(plan, earlier, later), (earlier, later)
    switch = plan.step(StepId(f"lb1:switch-sides:{NEW.fingerprint}")).do
    assert switch is not None
    change = switch.args["change"]
    assert isinstance(change, dict)
    assert (change["before"], change["after"]) == (OLD.fingerprint, NEW.fingerprint)
    assert (change["fresh"], change["old"]) == (["EX01", "EX02"], ["EX03", "EX04"])
    assert (change["timeout_s"], change["on_timeout"]) == (300.0, "stop")
    assert f"EX02:enable-certificate:{NEW.thumbprint}" in ids(plan)
    assert not [step for step in ids(plan) if ":spare:" in step or "switch-certificate" in step]


def test_the_plan_tells_the_moments_and_how_many_connections_there_are() -> None:
    """Who serves when, and what becomes of those who are connected."""
    live = BalancerLive(
        members=tuple(
            MemberLive(server=name, service=Service.EWS, mode=Mode.BRIDGE, up=True, sessions=sessions)
            for name, sessions in (("EX01", 40), ("EX02", 7))
        )
    )
    seen = balancer_facts(modes=all_modes(Mode.BRIDGE)).model_copy(update={"live": live})
    first, second = rotate(protected("EX01", "EX02", balancers=(seen,))).notes
    assert "first EX02 serve alone while EX01 change" in first
    assert "at each for at most 300 s; else all goes back, which then waits" in second
    assert "There are 7 now." in second
    assert "at each for at most 20 s; what is left then is cut" in cutting(protected("EX01", "EX02")).notes[1]
    assert "All at once" in rotate(protected("EX01"), maintenance=True).notes[0]


def test_a_server_that_holds_it_already_is_in_the_first_half() -> None:
    """Whoever renewed it there: it is drained, not renewed again, and takes what is new from the switch on."""
    facts = farm(*(protect(server) for server in (server_facts("EX01"), server_facts("EX02", NEW))))
    plan = rotate(facts)
    assert "EX02:import-certificate" not in ids(plan)
    assert f"EX02:enable-certificate:{NEW.thumbprint}" not in ids(plan)
    assert leads_to(plan, "lb1:drain:EX02", f"lb1:switch-sides:{NEW.fingerprint}")
    assert leads_to(plan, f"lb1:switch-sides:{NEW.fingerprint}", f"EX01:enable-certificate:{NEW.thumbprint}")


def test_a_first_half_that_has_it_in_store_is_not_given_it_again() -> None:
    """Imported by hand, not bound yet."""
    stored = server_facts("EX01")
    stored = stored.model_copy(update={"certificates": (*stored.certificates, server_facts("x", NEW).certificates[0])})
    plan = rotate(farm(protect(stored), protect(server_facts("EX02"))))
    assert "EX01:import-certificate" not in ids(plan)
    assert f"EX01:enable-certificate:{NEW.thumbprint}" in ids(plan)


def test_where_every_server_has_it_only_the_balancers_change() -> None:
    """The side is no matter then."""
    facts = farm(*(protect(server_facts(name, NEW)) for name in ("EX01", "EX02")))
    plan = rotate(facts, Capabilities())
    assert f"lb1:{SWITCHED}" in ids(plan)
    assert not [step for step in ids(plan) if step.startswith("EX")]


def test_where_every_balancer_has_it_the_servers_follow_one_by_one() -> None:
    """Nothing is left to switch, and clients fail until each server is through."""
    new = balancer_facts(modes=all_modes(Mode.BRIDGE), leaf=5)
    plan = rotate(protected("EX01", "EX02", balancers=(new,)))
    assert not [step for step in ids(plan) if "switch" in step or "install" in step]
    assert leads_to(plan, "lb1:drain:EX01", f"EX01:enable-certificate:{NEW.thumbprint}")


def test_nothing_to_do_makes_no_steps() -> None:
    """Everything serves it; in a maintenance window, too."""
    new = balancer_facts(modes=all_modes(Mode.BRIDGE), leaf=5)
    facts = farm(server_facts("EX01", NEW), server_facts("EX02", NEW), balancers=(new,))
    assert rotate(facts).steps == ()
    assert rotate(facts, maintenance=True).steps == ()


def test_a_balancer_without_anything_of_ours_is_left_alone() -> None:
    """It is published by apply, not by a rotation."""
    facts = farm(balancers=(balancer_facts(modes=all_modes(Mode.BRIDGE)), balancer_facts("lb2")))
    assert not [step for step in ids(rotate(facts)) if step.startswith("lb2")]


def test_services_are_asked_for_in_the_mode_they_have() -> None:
    """A rotation changes no mode, whatever the configuration says of it by now."""
    modes = all_modes(Mode.BRIDGE) | {Service.OWA: Mode.OFFLOAD}
    plan = rotate(farm(balancers=(balancer_facts(modes=modes),)))
    asked = {
        check.args["service"]: check.args["mode"]
        for check in plan.step(StepId("outside:proven")).until
        if check.verb == "service"
    }
    assert asked["owa"] == "offload"
    assert asked["ecp"] == "bridge"


def test_a_maintenance_window_changes_all_at_once() -> None:
    """Nobody is drained, servers change side by side right after the balancers."""
    plan = rotate(protected("EX01"), Capabilities(), maintenance=True)
    assert ids(plan) == [
        "lb1:mark:True",
        "lb1:install-certificate",
        "EX01:import-certificate",
        f"lb1:{SWITCHED}",
        f"EX01:enable-certificate:{NEW.thumbprint}",
        "outside:proven",
        "lb1:mark:False",
    ]


@pytest.mark.parametrize(
    ("facts", "able", "words"),
    [
        (protected("EX01"), ABLE, "one server only"),
        (protected("EX01", "EX02"), Capabilities(resumes_sessions=False), "in one moment"),
        (
            protected("EX01", "EX02"),
            Capabilities(switches_sides=True, resumption_remedy="Set resumption = false"),
            "Set resumption = false, apply that",
        ),
        (protected("EX01", "EX02"), Capabilities(switches_sides=True), "Turn resumption off, apply that"),
        (
            protected(
                "EX01",
                "EX02",
                balancers=tuple(
                    balancer_facts(f"lb{number}", modes=all_modes(Mode.BRIDGE), leaf=number) for number in (1, 2)
                ),
            ),
            ABLE,
            "serve different certificates",
        ),
        (
            protected(
                "EX01",
                "EX02",
                balancers=(balancer_facts(modes=all_modes(Mode.BRIDGE)).model_copy(update={"structure": "s0"}),),
            ),
            ABLE,
            "is not what the configuration calls for",
        ),
    ],
    ids=["one server", "no sides", "resumption", "resumption without a word", "two leaves", "publish due"],
)
def test_what_clients_would_notice_is_refused(facts: FactSet, able: Capabilities, words: str) -> None:
    """With the reason and the way out, a maintenance window among them."""
    with pytest.raises(UnsafeChange) as refused:
        rotate(facts, able)
    assert words in " ".join(refused.value.reasons)


def test_a_certificate_without_the_hosts_is_refused() -> None:
    """As for any plan."""
    names = ("other.contoso.test",)
    with pytest.raises(UnsafeChange) as refused:
        build_rotation(desired(leaf=leaf_info(7, names=names)), farm(), {}, {"lb1": ABLE}, NOW)
    assert "does not cover" in refused.value.reasons[0]


def test_a_certificate_without_a_name_that_balancers_verify_is_refused() -> None:
    """Their pools would close as the servers change; MRSProxy's own name counts, too."""
    wish = desired(leaf=NEW, tls_names={"EX01": "ex01.contoso.test", "EX02": "mail.contoso.test"})
    able = Capabilities(mrsproxy_host="mrs.contoso.test")
    targets = {name: Lowering(name) for name in ("EX01", "EX02", "lb1")}
    with pytest.raises(UnsafeChange) as refused:
        build_rotation(wish, farm(), targets, {"lb1": able}, NOW)
    assert "ex01.contoso.test, mrs.contoso.test" in refused.value.reasons[0]


def test_the_half_that_serves_alone_must_be_up() -> None:
    """Asked of every balancer before anybody is drained."""
    gate = rotate(protected("EX01", "EX02")).step(StepId("lb1:half-up"))
    assert [(check.verb, check.args["server"]) for check in gate.until] == [("member-up", "EX02")]
    assert (gate.do, gate.undo) == (None, None)
