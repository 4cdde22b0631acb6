"""What the ledger tells of the farm before lbsync offloaded it: what offload → bridge has to give back.

Rule of this room: pure, over a ledger's entries. It reads what actions of this house's targets say, forgets what was given
back since, and guesses nothing: where the ledger is silent nothing is remembered.

A plan undone and a plan in the other direction are the same to it: an effect took something away, or brought it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue, TypeAdapter

from lbsync.desired import Remembered
from lbsync.model import Action, Mode, Plan, Step, StepId
from lbsync.run import Direction, Entry, Performed, RunStarted
from lbsync.services import NO_SSL, Service

SET_FLAGS = "set-require-ssl"
SET_OUTLOOK_ANYWHERE = "set-outlook-anywhere"
_POOL_UP = "pool-up"
OFFLOADING = "ssl_offloading"

_FLAGS = TypeAdapter(dict[str, str | None])
_SETTINGS = TypeAdapter(dict[str, dict[str, JsonValue]])


@dataclass(slots=True)
class _Memory:
    """Filled effect by effect."""

    flags: dict[str, dict[str, str | None]] = field(default_factory=dict[str, dict[str, str | None]])
    outlook_anywhere: dict[str, dict[str, bool]] = field(default_factory=dict[str, dict[str, bool]])
    offloading: set[str] = field(default_factory=set[str])
    """Balancers on which lbsync sent Outlook Anywhere to plain HTTP."""

    def take(self, done: Action, reverse: Action | None, moved: Mode | None) -> None:
        """One effect: what it did, what takes it back, and where it moved Outlook Anywhere, if it did."""
        if done.verb == SET_FLAGS:
            self._flags(done.target, flags_of(done), flags_of(reverse))
        elif done.verb == SET_OUTLOOK_ANYWHERE:
            self._outlook_anywhere(settings_of(done), settings_of(reverse))
        elif moved is Mode.OFFLOAD:
            self.offloading.add(done.target)
        elif moved is Mode.BRIDGE:
            self.offloading.discard(done.target)

    def _flags(self, server: str, now: Mapping[str, str | None], before: Mapping[str, str | None]) -> None:
        known = self.flags.setdefault(server, {})
        for location, own in now.items():
            place = location.lower()
            if own != NO_SSL:
                known.pop(place, None)
            elif location in before and requires_ssl(before[location]):
                known[place] = before[location]

    def _outlook_anywhere(
        self, now: Mapping[str, Mapping[str, JsonValue]], before: Mapping[str, Mapping[str, JsonValue]]
    ) -> None:
        for server, fields in now.items():
            was = before.get(server, {})
            if fields.get(OFFLOADING) is False:
                self.outlook_anywhere.pop(server, None)
            elif fields.get(OFFLOADING) is True and was.get(OFFLOADING) is False:
                self.outlook_anywhere[server] = {
                    name: value for name, value in was.items() if isinstance(value, bool) and name in fields
                }


def recall(runs: Iterable[Iterable[Entry]], farm: str) -> Remembered:
    """Fold a ledger's runs, in any order, into what is to be given back to this farm.

    A run's first entry is its start, and entries are numbered across runs. An effect counts once it is recorded as performed.
    """
    memory = _Memory()
    known: dict[int, dict[StepId, tuple[Step, Mode | None]]] = {}
    # By entry and not by run: an older run may be taken back after a newer one.
    told = ((entry.seq, number, entry.event) for number, entries in enumerate(runs) for entry in entries)
    for _, number, event in sorted(told, key=lambda one: one[0]):
        match event:
            case RunStarted(plan=plan) if plan.farm == farm:
                known[number] = {step.id: (step, _moves(step, plan)) for step in plan.steps}
            case Performed(step=step_id, direction=direction) if step_id in known.get(number, {}):
                _take(memory, *known[number][step_id], direction)
            case _:
                pass
    return Remembered(
        flags={server: known for server, known in memory.flags.items() if known},
        outlook_anywhere=memory.outlook_anywhere,
        outlook_anywhere_offloaded=bool(memory.offloading),
    )


def _take(memory: _Memory, step: Step, moves: Mode | None, direction: Direction) -> None:
    done, reverse = (step.do, step.undo) if direction is Direction.DO else (step.undo, step.do)
    if moves is not None and direction is Direction.UNDO:
        moves = Mode.BRIDGE if moves is Mode.OFFLOAD else Mode.OFFLOAD
    if done is not None:
        memory.take(done, reverse, moves)


def _moves(step: Step, plan: Plan) -> Mode | None:
    """The mode that a step gives Outlook Anywhere; ``None`` for others.

    Each provider has its own words for it; that the gate before waits for the pools of that mode is said by ``phases``.
    """
    gates = (plan.step(before) for before in step.after)
    checks = (check for gate in gates if gate.do is None for check in gate.until if check.verb == _POOL_UP)
    asked = (check.args for check in checks if check.args.get("service") == Service.OUTLOOK_ANYWHERE.value)
    return next((Mode(str(args["mode"])) for args in asked), None)


def flags_of(action: Action | None) -> dict[str, str | None]:
    """The own sslFlags by location that such an action sets; ``None`` for inherited. Nothing for no action."""
    if action is None:
        return {}
    return _FLAGS.validate_python(action.args["flags"])


def settings_of(action: Action | None) -> dict[str, dict[str, JsonValue]]:
    """By server, the settings of Outlook Anywhere that such an action sets. Nothing for no action."""
    if action is None:
        return {}
    return _SETTINGS.validate_python(action.args["settings"])


def requires_ssl(own: str | None) -> bool:
    """Whether own sslFlags refuse plain HTTP.

    Inherited counts: what is inherited required SSL, else lbsync would not have turned it off.
    """
    return own is None or "ssl" in {flag.strip().lower() for flag in own.split(",")}
