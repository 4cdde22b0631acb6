"""A plan on disk: what was approved, so that exactly that is applied.

Rule of this file: a plan that was edited, or was made by another format, is refused; a plan holds no secret. What was chosen
beside the configuration (``--mode``, ``--only``) is kept with it, so that it is judged by that again; since a plan's basis
covers what it was made with, anything else in its place is found as a stale plan.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from lbsync.errors import LbsyncError, PlanRefused
from lbsync.model import Mode, Plan
from lbsync.plan import identity
from lbsync.private import write_private
from lbsync.services import Service

_LARGEST_BYTES = 50_000_000
_MODES = TypeAdapter[dict[Service, Mode]](dict[Service, Mode])
_ONLY = TypeAdapter[tuple[str, ...]](tuple[str, ...])


class Saved(NamedTuple):
    """A plan as it was saved, and what was chosen for it beside the configuration: modes, and servers (none: all)."""

    plan: Plan
    modes: Mapping[Service, Mode]
    only: tuple[str, ...] = ()


def save_plan(plan: Plan, path: Path, modes: Mapping[Service, Mode] | None = None, only: Sequence[str] = ()) -> None:
    """Write the plan, readable by its owner alone, whole or not at all; with the modes and servers chosen for it.

    Raises LbsyncError where it cannot be written.
    """
    document: dict[str, object] = {"lbsync_plan": 1, "identity": identity(plan), "plan": plan.model_dump(mode="json")}
    if modes:
        document["modes"] = dict(modes)
    if only:
        document["only"] = list(only)
    try:
        write_private(path, json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise LbsyncError(
            f"the plan cannot be saved: {error.strerror}",
            where=str(path),
            state="nothing was changed",
            remedy="name a file in a folder that exists and is yours to write, with room on its disk",
            code=f"errno-{error.errno}",
        ) from None


def load_plan(path: Path) -> Saved:
    """The plan in a file, as it was saved. Raises PlanRefused."""
    try:
        with path.open(encoding="utf-8") as file:
            document = json.loads(file.read(_LARGEST_BYTES))
        plan = Plan.model_validate_json(json.dumps(document["plan"]))
        approved = document["identity"]
        modes = _MODES.validate_python(document.get("modes", {}))
        only = _ONLY.validate_python(document.get("only", ()))
    except OSError as error:
        raise _refused(path, f"the plan cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, ValidationError):
        raise _refused(path, "this is no plan of lbsync, or of another version") from None
    if approved != identity(plan):
        raise _refused(path, "the plan was changed after it was saved")
    return Saved(plan, modes, only)


def _refused(path: Path, message: str) -> PlanRefused:
    return PlanRefused(
        message, where=str(path), state="nothing was changed", remedy="make a new one: lbsync plan --out FILE"
    )
