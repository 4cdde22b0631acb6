"""A run that bridged is not taken back to offloading where that is no longer supported."""

from __future__ import annotations

from typing import cast

import pytest

from lbsync.advise.way_back import demanding_again, forbidden, offloaded_again, stranded
from lbsync.changes import FlagChange, RequireSsl, SetOutlookAnywhere
from lbsync.desired import FactSet
from lbsync.exchange.farm import FarmTarget
from lbsync.exchange.lowering import lower
from lbsync.exchange.session import SessionPool
from lbsync.exchange.tier import ExchangeTier
from lbsync.facts import FarmFacts, OAuthFacts, TokenChecking
from lbsync.gates import answers_plain, ready
from lbsync.model import Mode, Plan
from lbsync.plan import build
from lbsync.services import NO_SSL, SERVICES, Service
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import (
    NOW,
    Lowering,
    all_modes,
    balancer_facts,
    desired,
    fact_set,
    flags_as_offloaded,
    outlook_anywhere_facts,
    server_facts,
)

OFFLOADABLE = tuple(service for service in Service if SERVICES[service].offloadable)


def made(wanted: Mode, live: Mode) -> Plan:
    """The plan from one mode of everything to another."""
    facts = fact_set(balancers=(balancer_facts(modes=all_modes(live)),))
    targets = {name: Lowering(name) for name in ("EX01", "EX02", "lb1", "directory")}
    return build(desired(all_modes(wanted)), facts, targets, {"lb1": Capabilities()}, NOW)


def farm(*, protected: bool = False, oauth: bool = False) -> FactSet:
    """Two servers; on the second MAPI is protected, or not."""
    checking = TokenChecking.REQUIRE if protected else TokenChecking.NONE
    second = server_facts("EX02")
    vdirs = tuple(
        one.model_copy(update={"token_checking": checking}) if Service.MAPI in one.services else one
        for one in second.vdirs
    )
    return FactSet(
        servers=(server_facts("EX01"), second.model_copy(update={"vdirs": vdirs})),
        farm=FarmFacts(oauth=OAuthFacts(hybrid_configuration=oauth)),
        balancers=(),
    )


@pytest.mark.parametrize(
    ("wanted", "live", "services"),
    [(Mode.BRIDGE, Mode.OFFLOAD, OFFLOADABLE), (Mode.OFFLOAD, Mode.BRIDGE, ()), (Mode.BRIDGE, Mode.BRIDGE, ())],
)
def test_what_a_way_back_offloads_is_what_the_plan_bridged(
    wanted: Mode, live: Mode, services: tuple[Service, ...]
) -> None:
    """And nothing else: a plan that offloads goes back to bridging."""
    assert offloaded_again(made(wanted, live)) == services


@pytest.mark.parametrize(
    ("before", "after", "services"),
    [
        (True, False, (Service.OUTLOOK_ANYWHERE,)),
        (False, True, ()),
        (True, True, ()),
    ],
)
def test_outlook_anywhere_set_by_itself_counts(before: bool, after: bool, services: tuple[Service, ...]) -> None:
    """As in a plan for some servers, whose services the balancers bridged with an earlier one."""
    was, then = (outlook_anywhere_facts("EX01", offloading=on) for on in (before, after))
    target = FarmTarget({"EX01": cast("SessionPool", None)}, through="EX01", tier=ExchangeTier(mode="delegated"))
    steps = target.lower(SetOutlookAnywhere(before=(was,), after=(then,)), FarmFacts())
    plan = Plan(farm="contoso", basis="b", steps=steps)
    assert offloaded_again(plan) == services
    assert set(demanding_again(plan)) == ({Service.OUTLOOK_ANYWHERE} if not before else set())


def prepared(*, part: bool = True) -> Plan:
    """What a plan that prepares EX01, or offloads all, does to EX01 and AD, and waits for at the balancer."""
    flags = RequireSsl(changes=(FlagChange(service=Service.EWS, before=None, after=NO_SSL),))
    was, then = (outlook_anywhere_facts("EX01", offloading=on) for on in (False, True))
    target = FarmTarget({"EX01": cast("SessionPool", None)}, through="EX01", tier=ExchangeTier(mode="delegated"))
    services = (Service.EWS, Service.OUTLOOK_ANYWHERE)
    gate = answers_plain("lb1", "EX01", services) if part else ready("lb1", "ready", services, Mode.OFFLOAD)
    own = target.lower(SetOutlookAnywhere(before=(was,), after=(then,)), FarmFacts())
    return Plan(farm="contoso", basis="b", steps=(*lower(flags, server_facts("EX01")), *own, gate))


OFFLOADED, BRIDGED = all_modes(Mode.OFFLOAD), all_modes(Mode.BRIDGE)


@pytest.mark.parametrize(
    ("plan", "modes", "others", "cut_off"),
    [
        (prepared(), OFFLOADED, False, (Service.EWS, Service.OUTLOOK_ANYWHERE)),
        (prepared(), OFFLOADED, True, (Service.OUTLOOK_ANYWHERE,)),  # EX02 takes EWS over plain HTTP: it goes on there
        (prepared(), BRIDGED | {Service.EWS: Mode.OFFLOAD}, False, (Service.EWS,)),
        (prepared(), BRIDGED, False, ()),
        (prepared(part=False), OFFLOADED, False, ()),
        (made(Mode.BRIDGE, Mode.OFFLOAD), OFFLOADED, False, ()),
    ],
)
def test_balancers_are_not_left_without_a_server_that_takes_plain_http(
    plan: Plan, modes: dict[Service, Mode], others: bool, cut_off: tuple[Service, ...]
) -> None:
    """The first part is not taken back after the second; what a plan offloaded by itself is bridged on its way back."""
    facts = fact_set(balancers=(balancer_facts(modes=modes),))
    if others:
        facts = facts.model_copy(update={"servers": (facts.servers[0], flags_as_offloaded(facts.servers[1]))})
    assert stranded(demanding_again(plan), facts) == cut_off


@pytest.mark.parametrize(
    ("services", "facts", "words"),
    [
        ((Service.EWS,), farm(), ()),
        ((), farm(protected=True, oauth=True), ()),
        ((Service.EWS,), farm(protected=True), ("Extended Protection is on now (EX02: Default Web Site/mapi)",)),
        ((Service.EWS,), farm(oauth=True), ("hybrid modern authentication",)),
        ((Service.EWS,), farm(protected=True, oauth=True), ("Extended Protection", "hybrid modern authentication")),
    ],
)
def test_what_came_since_forbids_offloading(
    services: tuple[Service, ...], facts: FactSet, words: tuple[str, ...]
) -> None:
    """One protected location of one server is enough, whichever services go back."""
    found = forbidden(services, facts)
    assert len(found) == len(words)
    assert all(reason.startswith(word) for reason, word in zip(found, words, strict=True))
