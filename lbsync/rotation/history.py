"""What the ledger tells of certificates: until when each was served, and which were removed for good and where.

Rule of this room: pure, over a ledger's entries. It reads what actions say, in the words of the targets of this house; a
provider with words of its own tells nothing here, and then nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from lbsync.model import Action, Step, StepId
from lbsync.run import Direction, Entry, Failed, Intended, Performed, Run, RunStarted, StepPhase
from lbsync.run.lasting import lasting
from lbsync_certs import Fingerprint, Thumbprint

_SERVES: Mapping[str, tuple[str, ...]] = {
    "switch-certificate": ("leaf",),
    "switch-sides": ("after",),
    "enable-certificate": ("thumbprint",),
    "write-files": ("live", "link"),
    "publish": ("leaf",),
}
"""By verb: the arguments that name the certificate which the action makes a target serve."""
_BRINGS = frozenset({"install-certificate", "import-certificate"})
_REMOVES = "remove-certificate"
_NAMES = ("leaf", "thumbprint")


class Effect(NamedTuple):
    """One effect of a run, as the ledger has it."""

    at: datetime
    farm: str
    step: Step
    direction: Direction

    @property
    def action(self) -> Action | None:
        """What was done."""
        return self.step.do if self.direction is Direction.DO else self.step.undo

    @property
    def reverse(self) -> Action | None:
        """What takes it back."""
        return self.step.undo if self.direction is Direction.DO else self.step.do


def effects(runs: Iterable[Iterable[Entry]]) -> tuple[Effect, ...]:
    """Every effect of these runs, in the order it happened; a run's first entry is its start."""
    found: list[tuple[int, Effect]] = []
    for entries in runs:
        steps: dict[StepId, Step] = {}
        begun: dict[StepId, tuple[int, Effect]] = {}
        farm = ""
        for entry in entries:
            match entry.event:
                case RunStarted(plan=plan):
                    steps, farm = {step.id: step for step in plan.steps}, plan.farm
                case Performed(step=step_id, direction=direction):
                    found.append((entry.seq, Effect(entry.at, farm, steps[step_id], direction)))
                    begun.pop(step_id, None)
                case Intended(step=step_id, direction=Direction.DO) if lasting(steps[step_id]):
                    begun[step_id] = (entry.seq, Effect(entry.at, farm, steps[step_id], Direction.DO))
                case Failed(step=step_id):
                    begun.pop(step_id, None)
                case _:
                    pass
        found += begun.values()  # the process died in them: what they remove for good may be gone
    return tuple(effect for _, effect in sorted(found, key=lambda one: one[0]))


def served_by(action: Action | None) -> str | None:
    """The certificate that an action makes its target serve, by SHA-256 or by thumbprint; ``None`` where it makes none."""
    if action is None:
        return None
    named = (action.args.get(argument) for argument in _SERVES.get(action.verb, ()))
    return next((value for value in named if isinstance(value, str)), None)


def served_until(seen: Iterable[Effect], fingerprint: Fingerprint, thumbprint: Thumbprint | None) -> datetime | None:
    """When a certificate ceased to be served, the last place counting; ``None`` where the ledger does not know.

    It does not know where it never took that certificate away, or where it brought it back since: whoever took it away then
    did so without lbsync.
    """
    until: dict[tuple[str, str], datetime | None] = {}
    for effect in seen:
        came, went = served_by(effect.action), served_by(effect.reverse)
        for name in (fingerprint, thumbprint):
            if name is not None and name in {came, went}:
                until[effect.step.target, name] = None if came == name else effect.at
    ends = list(until.values())
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def removed(seen: Iterable[Effect], farm: str) -> frozenset[tuple[str, str]]:
    """What was removed for good and not brought back since: target, and certificate by SHA-256 and by thumbprint."""
    gone: set[tuple[str, str]] = set()
    for effect in seen:
        action = effect.action
        if action is None or effect.farm != farm:
            continue
        names = {(action.target, str(action.args[name])) for name in _NAMES if name in action.args}
        if action.verb == _REMOVES and effect.reverse is None:
            gone |= names
        elif action.verb in _BRINGS:
            gone -= names
    return frozenset(gone)


def out_of_reach(run: Run, gone: frozenset[tuple[str, str]]) -> tuple[str, ...]:
    """Where the way back of a run would serve a certificate that was removed for good: a line for each target."""
    return tuple(_missing(run, gone))


def _missing(run: Run, gone: frozenset[tuple[str, str]]) -> Iterator[str]:
    for step in run.plan.steps:
        status = run.statuses[step.id]
        if not status.touched or status.phase is StepPhase.UNDONE:
            continue
        for name in dict.fromkeys(_brought_back(step.undo)):
            if (step.target, name) in gone:
                yield f"{step.target} served {name} before, and it was removed there since"


def _brought_back(undo: Action | None) -> Iterator[str]:
    """The certificates that a way back makes its target serve: IIS's, and those of services that were named."""
    name = served_by(undo)
    if undo is None or name is None:
        return
    yield name
    also = undo.args.get("also")
    for one in also if isinstance(also, list) else ():
        if isinstance(one, dict) and isinstance(one.get("thumbprint"), str):
            yield str(one["thumbprint"])
