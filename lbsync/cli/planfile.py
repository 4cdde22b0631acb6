"""A plan on disk: what was approved, so that exactly that is applied.

Rule of this file: a plan that was edited, or was made by another format, is refused; a plan holds no secret. Modes chosen
beside the configuration (``--mode``) are kept with it, so that it is judged by them again; since a plan's basis covers the
modes it was made with, others in their place are found as a stale plan.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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


class Saved(NamedTuple):
    """A plan as it was saved, and the modes that were chosen for it beside the configuration."""

    plan: Plan
    modes: Mapping[Service, Mode]


def save_plan(plan: Plan, path: Path, modes: Mapping[Service, Mode] | None = None) -> None:
    """Write the plan, readable by its owner alone, whole or not at all; ``modes`` are those chosen for it by ``--mode``.

    Raises LbsyncError where it cannot be written.
    """
    document: dict[str, object] = {"lbsync_plan": 1, "identity": identity(plan), "plan": plan.model_dump(mode="json")}
    if modes:
        document["modes"] = dict(modes)
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
    except OSError as error:
        raise _refused(path, f"the plan cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, ValidationError):
        raise _refused(path, "this is no plan of lbsync, or of another version") from None
    if approved != identity(plan):
        raise _refused(path, "the plan was changed after it was saved")
    return Saved(plan, modes)


def _refused(path: Path, message: str) -> PlanRefused:
    return PlanRefused(
        message, where=str(path), state="nothing was changed", remedy="make a new one: lbsync plan --out FILE"
    )
