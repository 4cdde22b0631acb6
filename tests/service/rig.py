"""A hub with children that only play the command line: they print what a folder holds, and write down what they were told.

Rule of this file: real processes, a clock that the test turns, and no farm.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lbsync.config import ServiceSection
from lbsync.errors import LbsyncError
from lbsync.model import Plan, Step, StepId
from lbsync.run import RunPhase, RunStarted
from lbsync.service.children import CommandLine
from lbsync.service.hub import ServiceHub
from lbsync.service.namespaces import Found, Namespace
from lbsync.service.values import Role, Who
from lbsync.testing.farm_facts import leaf_info
from lbsync.watch.outlook import Outlook
from lbsync.watch.overview import Overview

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ANNA, BEA = (Who(name=name, role=Role.APPROVER, via="web") for name in ("anna", "bea"))
NEW = leaf_info(2)
BASIS = "ab" * 32

_CHILD = """
import json, os, signal, sys, threading
folder, words = sys.argv[1], sys.argv[2:]
asked = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: asked.set())
name = words[0]
with open(os.path.join(folder, "calls"), "a") as calls:
    calls.write(json.dumps([words, os.environ["LBSYNC_ACTOR"], os.getpid() == os.getpgid(0), sys.stdin.read()]) + "\\n")
print("working on", name, file=sys.stderr, flush=True)
if os.path.exists(os.path.join(folder, name + ".waits")):
    asked.wait()
    print("stopped between two steps", file=sys.stderr)
path = os.path.join(folder, name)
if os.path.exists(path + ".json"):
    sys.stdout.write(open(path + ".json").read())
    sys.exit(int(open(path + ".code").read()))
"""


class TurnedClock:
    """Both clocks, turned by hand."""

    def __init__(self) -> None:
        self.s, self.at = 1000.0, NOW

    def now_s(self) -> float:
        """Seconds."""
        return self.s

    def wall(self) -> datetime:
        """The calendar."""
        return self.at

    def pass_s(self, seconds: float) -> None:
        """Time passes on both."""
        self.s += seconds
        self.at += timedelta(seconds=seconds)


class Stage:
    """The folder that children print from, and the hub in front of it."""

    def __init__(self, folder: Path, names: tuple[str, ...] = ("contoso",), **section: object) -> None:
        self.folder, self.clock = folder, TurnedClock()
        self.said, self.state = folder / "said", folder / "state"
        for made in (self.said, self.state):
            made.mkdir(exist_ok=True)
        (folder / "child.py").write_text(_CHILD, encoding="utf-8")
        self.namespaces = tuple(Namespace(name, folder / f"{name}.toml", self.state / name) for name in names)
        for one in self.namespaces:
            one.folder.mkdir(exist_ok=True)
            one.config.touch()
        self.section = ServiceSection.model_validate({"drift_every_s": None, "stop_within_s": 30, **section})

    def hub(self, find: Callable[[], Found] | None = None) -> ServiceHub:
        """One, over what the folder holds."""
        program = (sys.executable, "-I", "-S", str(self.folder / "child.py"), str(self.said))
        return ServiceHub(
            self.namespaces, self.section, self.state / "serve", CommandLine(program), clock=self.clock, find=find
        )

    def say(self, name: str, document: object, code: int = 0) -> None:
        """What the command of this name prints and ends with."""
        (self.said / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
        (self.said / f"{name}.code").write_text(str(code), encoding="utf-8")

    def waits(self, name: str, *, wanted: bool = True) -> None:
        """Whether the command of this name goes on until it is stopped."""
        path = self.said / f"{name}.waits"
        path.touch() if wanted else path.unlink(missing_ok=True)

    @property
    def calls(self) -> list[tuple[list[str], str]]:
        """What each child was told, and by whom."""
        path = self.said / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        assert all(own_group and stdin == "" for _, _, own_group, stdin in found)
        return [(words, actor) for words, actor, _, _ in found]

    @property
    def names(self) -> list[str]:
        """The commands, in the order they began."""
        return [words[0] for words, _ in self.calls]

    def run(self, phase: RunPhase, actor: str = "schedule via lbsync serve (x)", *, order: str | None = None) -> str:
        """A run in the ledger, in this phase as far as beginning it goes."""
        from lbsync.ledger import Ledger
        from lbsync.run import Ending, RunEnded, TurnedBack

        with Ledger(self.namespaces[0].ledger) as ledger:
            run_id = f"r{len(ledger.runs()) + 1}"
            made = RunStarted(
                run_id=run_id, plan=plan("a"), actor=actor, host="h", started=datetime.now(UTC), order=order
            )
            ledger.append(run_id, made)
            if phase is RunPhase.UNDONE:
                ledger.append(run_id, TurnedBack(reason="it failed", actor=actor))
                ledger.append(run_id, RunEnded(outcome=Ending.UNDONE))
        return run_id

    async def turns(self, hub: ServiceHub, count: int = 1) -> None:
        """So many ticks, each until all that it began has ended."""
        for _ in range(count):
            await hub.rounds.tick()
            await hub.jobs.idle()


def plan(*ids: str) -> Plan:
    """One with these steps."""
    steps = tuple(Step(id=StepId(name), target="lb1", summary=name) for name in ids)
    return Plan(farm="contoso", basis=BASIS, steps=steps)


def look(*, leaf: bool = False, rotate: bool = False, **changes: object) -> dict[str, object]:
    """What a look prints; ``leaf``: a rotation is due."""
    ahead = Outlook(leaf=NEW, at=NOW, why="nothing speaks against it") if leaf else Outlook(why="nothing is there")
    return {
        "at": NOW.isoformat(), "level": "ok", "items": [], "next": ahead.model_dump(mode="json"),
        "ahead": ahead.model_dump(mode="json"), "watch": {"rotate": rotate, "every_s": 600.0, "jitter_s": 0.0},
        "overview": Overview(farm="contoso").model_dump(mode="json"), **changes,
    }  # fmt: skip


def error(kind: str = "Unreachable", **parts: str) -> dict[str, object]:
    """What a command tells of a failure."""
    return {
        "error": {"kind": kind, "message": "no answer", "where": "EX01", "state": "", "remedy": "", "code": "", **parts}
    }


def play(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene to its end, within two minutes."""
    asyncio.run(asyncio.wait_for(_awaited(scene), 30))


async def _awaited(scene: Callable[[], Awaitable[None]]) -> None:
    await scene()


async def until(hub: ServiceHub, true: Callable[[], bool]) -> None:
    """Until that is so; asked whenever something changed."""
    async with hub.events() as events:
        while not true():
            await anext(events)


async def refused(work: Awaitable[object]) -> LbsyncError:
    """What it raises."""
    try:
        await work
    except LbsyncError as found:
        return found
    raise AssertionError("nothing was refused")


__all__ = ["ANNA", "BASIS", "BEA", "NEW", "NOW", "Stage", "error", "look", "plan", "play", "refused", "until"]
