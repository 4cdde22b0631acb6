"""The memory of a watch on the disk: failed rotations outlive the process, and the machine's restarts.

Rule of this file: one that cannot be read is an error, never an empty memory: what failed must not be forgotten.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from lbsync.errors import LbsyncError
from lbsync.private import write_private
from lbsync.watch.memory import Memory

_LARGEST_BYTES = 10_000_000


def load_memory(path: Path) -> Memory:
    """What is remembered; nothing where there is no file. Raises LbsyncError."""
    try:
        with path.open("rb") as file:
            return Memory.model_validate_json(file.read(_LARGEST_BYTES))
    except FileNotFoundError:
        return Memory()
    except OSError as error:
        reason = error.strerror or str(error)
    except ValidationError:
        reason = "it is damaged, or of another version of lbsync"
    raise LbsyncError(
        f"what lbsync watch remembers cannot be read: {reason}",
        where=str(path),
        state="nothing was looked at or changed",
        remedy="mend its rights, or move it away: rotations that failed are then tried again at once",
        code="memory",
    ) from None


def save_memory(path: Path, memory: Memory, before: Memory) -> None:
    """Keep it, where it changed. Raises OSError."""
    if memory != before:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, memory.model_dump_json(indent=1) + "\n")
