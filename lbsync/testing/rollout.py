"""A small rollout in memory, in the shape of the real one: a balancer, two servers, three services.

Rule of this file: the plan is written out by hand, so that the engine is tested against something it had no part in.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field

from pydantic import JsonValue

from lbsync.engine import Clock, Engine, Notice, Observer, Pacing, Site
from lbsync.engine.port import Journal
from lbsync.model import Action, Check, Plan, Step, StepId
from lbsync.testing.memory import FakeClock, Fuse, FusedLedger, MemoryJournal, MemoryTarget, NoMaterials

SERVERS = ("EX01", "EX02")
SERVICES = ("owa", "ews", "oab")
RUN = "20260101-000000-test"

Items = dict[str, JsonValue]
States = dict[str, Items]


def set_items(target: str, items: Items) -> Action:
    """An action that writes items on a target."""
    return Action(target=target, verb="set", args={"items": items})


def shows(target: str, items: Items, deadline_s: float = 60.0) -> Check:
    """A check that a target shows items."""
    return Check(
        target=target, verb="shows", args={"items": items}, summary=f"{target} shows {items}", deadline_s=deadline_s
    )


def change(name: str, target: str, before: Items, after: Items, needs: tuple[str, ...] = ()) -> Step:
    """A step that writes ``after``, whose undo writes ``before``; each is verified."""
    return Step(
        id=StepId(name),
        target=target,
        summary=name.replace("-", " "),
        after=tuple(StepId(needed) for needed in needs),
        do=set_items(target, after),
        undo=set_items(target, before),
        until=(shows(target, after),),
        undo_until=(shows(target, before),),
    )


def gate(name: str, check: Check, needs: tuple[str, ...] = ()) -> Step:
    """A step that only waits for a check."""
    return Step(
        id=StepId(name),
        target=check.target,
        summary=name.replace("-", " "),
        sign="?",
        after=tuple(StepId(needed) for needed in needs),
        until=(check,),
    )


def rollout() -> Plan:
    """Install, publish, probe; per server drain, Require SSL off, undrain; flip each service; probe."""
    steps = [
        change("install", "lb1", {"file": None}, {"file": "leaf.pem"}),
        change("publish", "lb1", {"listener": "old"}, {"listener": "new"}, ("install",)),
        gate("probe-bridged", shows("outside", {"listener": "new"}), ("publish",)),
    ]
    needed = "probe-bridged"
    flags_before: Items = {"owa": None, "ews": None, "oab": "Ssl, Ssl128"}
    for server in SERVERS:
        member = f"member {server}"
        steps += [
            change(f"drain-{server}", "lb1", {member: "ready"}, {member: "drain"}, (needed,)),
            change(f"flags-{server}", server, flags_before, dict.fromkeys(SERVICES, "None"), (f"drain-{server}",)),
            change(f"undrain-{server}", "lb1", {member: "drain"}, {member: "ready"}, (f"flags-{server}",)),
        ]
        needed = f"undrain-{server}"
    flips = [change(f"flip-{name}", "lb1", {name: "bridge"}, {name: "offload"}, (needed,)) for name in SERVICES]
    steps += flips
    steps.append(gate("probe-offloaded", shows("outside", {"owa": "offload"}), tuple(step.id for step in flips)))
    return Plan(farm="test", basis="basis", steps=tuple(steps))


def wide(count: int) -> Plan:
    """One step on each of ``count`` servers, none after another."""
    steps = [change(f"set-S{number}", f"S{number}", {"x": None}, {"x": number}) for number in range(count)]
    return Plan(farm="test", basis="basis", steps=tuple(steps))


@dataclass
class World:
    """The devices and the ledger, which outlive a killed process, and a way to start one."""

    plan: Plan = field(default_factory=rollout)
    journal: Journal = field(default_factory=MemoryJournal)
    targets: dict[str, MemoryTarget] = field(default_factory=dict[str, MemoryTarget])
    clock: Clock = field(default_factory=FakeClock)
    stop: threading.Event = field(default_factory=threading.Event)
    notices: list[Notice] = field(default_factory=list[Notice])

    def __post_init__(self) -> None:
        """Put the devices where the rollout expects them."""
        lb1: Items = {"listener": "old", "untouched": 1}
        lb1 |= {f"member {server}": "ready" for server in SERVERS} | dict.fromkeys(SERVICES, "bridge")
        self.targets.setdefault("lb1", MemoryTarget("lb1", lb1))
        for server in SERVERS:
            self.targets.setdefault(server, MemoryTarget(server, {"oab": "Ssl, Ssl128", "rpc": "Ssl"}))
        for step in self.plan.steps:
            self.targets.setdefault(step.target, MemoryTarget(step.target, {}))
        # From outside one sees what the balancer does.
        self.targets["outside"] = MemoryTarget("outside", self.targets["lb1"].state)

    def wire(self, fuse: Fuse) -> Fuse:
        """The devices as reached by a process with this fuse."""
        for target in self.targets.values():
            target.fuse = fuse
        if isinstance(self.journal, (MemoryJournal, FusedLedger)):
            self.journal.fuse = fuse
        return fuse

    def states(self) -> States:
        """What every device holds."""
        return {name: copy.deepcopy(target.state) for name, target in self.targets.items()}

    def engine(self, *, workers: int = 1, pacing: Pacing | None = None, observer: Observer | None = None) -> Engine:
        """A new process."""
        acting = {name: target for name, target in self.targets.items() if name != "outside"}
        return Engine(
            self.journal,
            Site(acting, NoMaterials(), {"outside": self.targets["outside"]}),
            workers=workers,
            observer=observer or self.notices.append,
            stop=self.stop,
            clock=self.clock,
            pacing=pacing or Pacing(),
        )
