"""What the ledger remembers of the time before offloading, and what a plan gives back of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import pytest

from lbsync.changes import FlagChange, RequireSsl, SetOutlookAnywhere
from lbsync.desired import Desired, FactSet, Remembered
from lbsync.difference import as_found, flag_changes, gives_back, outlook_anywhere_change
from lbsync.exchange.farm import FarmTarget
from lbsync.exchange.lowering import lower
from lbsync.exchange.session import SessionPool
from lbsync.exchange.tier import ExchangeTier
from lbsync.facts import FarmFacts
from lbsync.model import Action, Check, Mode, Plan, Receipt, Step, StepId
from lbsync.plan import build
from lbsync.remembered import recall
from lbsync.run import Direction, Entry, Event, Finished, Performed, RunStarted
from lbsync.services import NO_SSL, Service
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

BRIDGED = all_modes(Mode.BRIDGE)
EWS = "default web site/ews"
OFF = {"ssl_offloading": False, "internal_clients_require_ssl": True, "external_clients_require_ssl": True}
DO, UNDO = Direction.DO, Direction.UNDO


def flags(service: Service, before: str | None, after: str | None) -> Step:
    """Require SSL of one virtual directory of EX01, in the words that a plan has for it."""
    change = RequireSsl(changes=(FlagChange(service=service, before=before, after=after),))
    return lower(change, server_facts("EX01"))[0]


def outlook(before: bool, after: bool, server: str = "EX01", **fields: str) -> Step:
    """Outlook Anywhere of one server, likewise."""
    pools = {server: cast("SessionPool", None)}
    now = outlook_anywhere_facts(server, offloading=before)
    wanted = outlook_anywhere_facts(server, offloading=after).model_copy(update=fields)
    change = SetOutlookAnywhere(before=(now,), after=(wanted,))
    return FarmTarget(pools, through=server, tier=ExchangeTier(mode="delegated")).lower(change, FarmFacts())[0]


def moved(mode: Mode, service: Service = Service.OUTLOOK_ANYWHERE) -> tuple[Step, Step, Step]:
    """A gate, the switch after it in some provider's words, and what that provider does next."""
    up = Check(target="lb1", verb="pool-up", args={"service": service.value, "mode": mode.value}, summary="up")
    act = Action(target="lb1", verb="turn")
    gate = Step(id=StepId("lb1:ready"), target="lb1", summary="ready", until=(up,))
    turn = Step(id=StepId("lb1:turn"), target="lb1", summary="turn", after=(gate.id,), do=act, undo=act)
    return gate, turn, Step(id=StepId("lb1:reload"), target="lb1", summary="reload", after=(turn.id,), do=act)


Done = tuple[Step, Direction]


def run(number: int, *done: Done, plan: Iterable[Step] = (), farm: str = "contoso") -> tuple[Entry, ...]:
    """A run of which these steps were performed."""
    steps = {step.id: step for step in (*plan, *(step for step, _ in done))}
    start = RunStarted(
        run_id=f"r{number}",
        plan=Plan(farm=farm, basis="b", steps=tuple(steps.values())),
        actor="a",
        host="h",
        started=NOW,
    )
    events: list[Event] = [start]
    for step, direction in done:
        events += [
            Performed(step=step.id, direction=direction, receipt=Receipt(summary="done")),
            Finished(step=step.id, direction=direction),
        ]
    return tuple(Entry(number * 100 + place, NOW, event, "") for place, event in enumerate(events))


def known(*runs: tuple[Entry, ...]) -> dict[str, object]:
    """What is remembered, without what is not."""
    return recall(runs, "contoso").model_dump(exclude_defaults=True)


FLAGS_OFF = flags(Service.EWS, "Ssl", NO_SSL)
FLAGS_ON = flags(Service.EWS, NO_SSL, "Ssl")
THERE, BACK = moved(Mode.OFFLOAD), moved(Mode.BRIDGE)
OTHER = moved(Mode.OFFLOAD, Service.EWS)
UNDOABLE = FLAGS_OFF.model_copy(update={"undo": None})
AT_EX01 = {"EX01": OFF}


def test_runs_taken_back_one_after_another_are_folded_as_it_happened() -> None:
    """Offloaded, bridged, offloaded again; then the last two taken back, the newest first: it is off, and not given back."""
    first = run(1, (FLAGS_OFF, DO))
    bridged, again = run(2, (FLAGS_ON, DO), (FLAGS_ON, UNDO)), run(3, (FLAGS_OFF, DO), (FLAGS_OFF, UNDO))
    later = tuple(
        Entry(one.seq + 500, one.at, one.event, "") if place > 2 else one for place, one in enumerate(bridged)
    )
    assert known(later, again, first) == {"flags": {"EX01": {EWS: "Ssl"}}}


def test_a_server_is_known_whatever_its_case() -> None:
    """The configuration may spell it otherwise by now."""
    wish = desired(BRIDGED, remembered={"flags": {"EX01": {EWS: "Ssl"}}})
    changes = flag_changes(wish, flags_as_offloaded(server_facts("ex01")))
    assert [one.after for one in changes if one.service is Service.EWS] == ["Ssl"]


@pytest.mark.parametrize(
    ("runs", "remembered"),
    [
        ([], {}),
        ([run(1, (FLAGS_OFF, DO))], {"flags": {"EX01": {EWS: "Ssl"}}}),
        ([run(1, (flags(Service.EWS, None, NO_SSL), DO))], {"flags": {"EX01": {EWS: None}}}),
        ([run(1, (FLAGS_OFF, DO), (FLAGS_OFF, UNDO))], {}),
        ([run(1, (FLAGS_OFF, DO)), run(2, (FLAGS_ON, DO))], {}),
        # Bridging taken back: what it had given back is away again. Runs may come in any order.
        ([run(2, (FLAGS_ON, DO), (FLAGS_ON, UNDO)), run(1, (FLAGS_OFF, DO))], {"flags": {"EX01": {EWS: "Ssl"}}}),
        # Turned off where it was off; and a value without Ssl is nothing to give back.
        (
            [run(1, (FLAGS_OFF, DO)), run(2, (flags(Service.EWS, NO_SSL, NO_SSL), DO))],
            {"flags": {"EX01": {EWS: "Ssl"}}},
        ),
        ([run(1, (flags(Service.EWS, "Ssl128", NO_SSL), DO))], {}),
        ([run(1, (UNDOABLE, DO))], {}),
        ([run(1, (UNDOABLE, UNDO))], {}),
        ([run(1, (FLAGS_OFF, DO), farm="other")], {}),
        ([run(1, (outlook(False, True), DO))], {"outlook_anywhere": AT_EX01}),
        ([run(1, (outlook(False, True), DO), (outlook(False, True), UNDO))], {}),
        ([run(1, (outlook(False, True), DO)), run(2, (outlook(True, False), DO))], {}),
        ([run(1, (outlook(True, True, external_hostname="new.contoso.test"), DO))], {}),
        ([run(1, (outlook(False, True).model_copy(update={"undo": None}), DO))], {}),
        ([run(1, (THERE[1], DO), plan=THERE)], {"outlook_anywhere_offloaded": True}),
        ([run(1, (THERE[1], DO), (THERE[2], DO), (THERE[1], UNDO), plan=THERE)], {}),
        ([run(1, (THERE[1], DO), plan=THERE), run(2, (BACK[1], DO), plan=BACK)], {}),
        (
            [run(1, (THERE[1], DO), plan=THERE), run(2, (BACK[1], DO), (BACK[1], UNDO), plan=BACK)],
            {"outlook_anywhere_offloaded": True},
        ),
        ([run(1, (OTHER[1], DO), plan=OTHER)], {}),
    ],
)
def test_what_is_remembered(runs: list[tuple[Entry, ...]], remembered: dict[str, object]) -> None:
    """What lbsync took away and has not given back, by plan or on the way back."""
    assert known(*runs) == remembered


def offloaded(*, on: bool = True) -> FactSet:
    """Two servers behind a balancer that offloads everything."""
    facts = fact_set(balancers=(balancer_facts(modes=all_modes(Mode.OFFLOAD)),))
    farm = FarmFacts(outlook_anywhere=tuple(outlook_anywhere_facts(s.server, offloading=on) for s in facts.servers))
    return facts.model_copy(update={"servers": tuple(map(flags_as_offloaded, facts.servers)), "farm": farm})


def back(**remembered: object) -> Desired:
    """All bridged again, by somebody who remembers."""
    return desired(BRIDGED, remembered=Remembered.model_validate(remembered).model_dump())


def test_flags_go_back_to_what_was_found() -> None:
    """Known ones exactly, inherited included; the others to what Exchange has out of the box; and it is told."""
    facts = offloaded()
    wish = back(flags={"EX01": {EWS: "Ssl", "default web site/oab": None}})
    first, second = ({one.service: one.after for one in flag_changes(wish, server)} for server in facts.servers)
    assert (first[Service.EWS], first[Service.OAB], first[Service.ACTIVESYNC]) == ("Ssl", None, "Ssl, Ssl128")
    assert (second[Service.EWS], second[Service.OAB]) == (None, "Ssl, Ssl128")
    told = as_found(wish, facts)
    assert [line.split(",")[0] for line in told] == [
        "EX01: Default Web Site/OAB gets back sslFlags (inherited)",
        "EX01: Default Web Site/EWS gets back sslFlags Ssl",
    ]
    assert as_found(back(), facts) == ()
    assert as_found(desired(remembered=wish.remembered.model_dump()), facts) == ()


def test_the_ledger_is_asked_only_where_something_may_come_back() -> None:
    """Flags that go on, or Outlook Anywhere that leaves offloading; not on the way there, and not where all is as wanted."""
    facts = offloaded()
    bridged = fact_set(balancers=(balancer_facts(modes=BRIDGED),))
    assert gives_back(desired(BRIDGED), facts)
    assert gives_back(desired(BRIDGED), facts.model_copy(update={"servers": bridged.servers}))
    assert gives_back(desired(BRIDGED), bridged.model_copy(update={"servers": facts.servers}))
    assert not gives_back(desired(BRIDGED), bridged)
    assert not gives_back(desired(), bridged)


@pytest.mark.parametrize(
    ("remembered", "protection", "after"),
    [
        ({}, False, {"EX01": False, "EX02": False}),
        ({"outlook_anywhere_offloaded": True}, False, {}),
        ({"outlook_anywhere_offloaded": True, "outlook_anywhere": AT_EX01}, False, {"EX01": False}),
        ({"outlook_anywhere_offloaded": True}, True, {"EX01": False, "EX02": False}),
    ],
)
def test_outlook_anywhere_goes_back_to_what_was_found(
    remembered: dict[str, object], protection: bool, after: dict[str, bool]
) -> None:
    """Off where it was off, on where it was on, off where nobody knows; for Extended Protection off whatever was found."""
    wish, facts = back(**remembered).model_copy(update={"for_extended_protection": protection}), offloaded()
    change = outlook_anywhere_change(wish, facts)
    assert {one.server: one.ssl_offloading for one in (change.after if change else ())} == after
    kept = [server for server in ("EX01", "EX02") if server not in after]
    told = [line for line in as_found(wish, facts) if "SSLOffloading" in line]
    assert told == ([] if not kept else [told[0]])
    assert all(server in "".join(told) for server in kept)


def test_for_extended_protection_it_goes_off_where_nobody_offloads() -> None:
    """A plain plan leaves a harmless setting alone; this one does not. The plan tells what is given back."""
    facts = fact_set(balancers=(balancer_facts(modes=BRIDGED),))
    farm = FarmFacts(outlook_anywhere=(outlook_anywhere_facts("EX01", offloading=True),))
    facts = facts.model_copy(update={"farm": farm})
    assert outlook_anywhere_change(desired(BRIDGED), facts) is None
    change = outlook_anywhere_change(desired(BRIDGED, for_extended_protection=True), facts)
    assert change is not None
    assert [(one.server, one.ssl_offloading) for one in change.after] == [("EX01", False)]
    names = ("EX01", "EX02", "lb1", "directory")
    targets = {name: Lowering(name) for name in names}
    made = build(back(flags={"EX01": {EWS: "Ssl"}}), offloaded(), targets, {"lb1": Capabilities()}, NOW)
    assert any("gets back sslFlags Ssl" in note for note in made.notes)
