"""A plan on disk: what was approved, so that exactly that is applied.

Rule of this file: a plan that was edited, or was made by another format, is refused; a plan holds no secret.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

from pydantic import ValidationError

from lbsync.errors import LbsyncError, PlanRefused
from lbsync.model import Plan
from lbsync.plan import identity

_LARGEST_BYTES = 50_000_000


def save_plan(plan: Plan, path: Path) -> None:
    """Write the plan, readable by its owner alone, whole or not at all. Raises LbsyncError where it cannot be written."""
    document = {"lbsync_plan": 1, "identity": identity(plan), "plan": plan.model_dump(mode="json")}
    try:
        _write(path, json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise LbsyncError(
            f"the plan cannot be saved: {error.strerror}",
            where=str(path),
            state="nothing was changed",
            remedy="name a file in a folder that exists and is yours to write, with room on its disk",
            code=f"errno-{error.errno}",
        ) from None


def _write(path: Path, text: str) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_plan(path: Path) -> Plan:
    """The plan in a file, as it was saved. Raises PlanRefused."""
    try:
        with path.open(encoding="utf-8") as file:
            document = json.loads(file.read(_LARGEST_BYTES))
        plan = Plan.model_validate_json(json.dumps(document["plan"]))
        approved = document["identity"]
    except OSError as error:
        raise _refused(path, f"the plan cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, ValidationError):
        raise _refused(path, "this is no plan of lbsync, or of another version") from None
    if approved != identity(plan):
        raise _refused(path, "the plan was changed after it was saved")
    return plan


def _refused(path: Path, message: str) -> PlanRefused:
    return PlanRefused(
        message, where=str(path), state="nothing was changed", remedy="make a new one: lbsync plan --out FILE"
    )
