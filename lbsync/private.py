"""Files that only their owner may read, written whole or not at all.

Rule of this file: no name is guessed by anybody else, nothing half-written is ever seen under the file's own name.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

_POSIX: Final = os.name != "nt"
"""Windows tells of every file that everybody may read it: its rights are lists (ACLs), which a mode says nothing of."""


def open_to(status: os.stat_result, bits: int) -> int:
    """Which of these bits of a file's mode are set, such as 0o077 for what others may; none on Windows, which has no such."""
    return stat.S_IMODE(status.st_mode) & bits if _POSIX else 0


def write_private(path: Path, text: str) -> None:
    """Replace a file's content, on the disk when this returns. Raises OSError."""
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
