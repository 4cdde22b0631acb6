"""What the service keeps on the disk: each namespace as it was seen last, its proposals, and what people decided.

Rule of this file: it reads and writes. A file is replaced whole or not at all and is its owner's alone; decisions are only ever
added to, on the disk before they are acted on, and each carries the hash of the one before, so that a change shows. What was done
to a farm stands in its ledger and nowhere here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from lbsync.errors import LbsyncError
from lbsync.model import Value
from lbsync.service.values import NamespaceState, Proposal

GENESIS = "0" * 64
_LARGEST_BYTES = 200_000_000
_BLOCK = 4096
_LOG = logging.getLogger("lbsync.service")
_Kept = TypeVar("_Kept", bound=Value)


class Desk(Value):
    """What lies on a namespace's desk: proposals, thumbprints that were declined, and runs that somebody stopped."""

    proposals: tuple[Proposal, ...] = ()
    declined: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()


class Decision(Value):
    """One line of the log of decisions: who decided what of which namespace, and when."""

    seq: int
    at: datetime
    who: str
    namespace: str
    what: str
    about: str
    detail: str = ""
    prev: str = Field(min_length=64, max_length=64)
    hash: str = ""

    def sealed(self) -> Decision:
        """With the hash over everything else."""
        content = json.dumps(self.model_dump(mode="json", exclude={"hash"}), sort_keys=True, ensure_ascii=False)
        return self.model_copy(update={"hash": hashlib.sha256(content.encode()).hexdigest()})


class Store:
    """The folder of a service; ``folder`` is made where it is missing. Raises OSError where it cannot be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def state(self, name: str) -> NamespaceState | None:
        """As it was seen last; ``None`` where nothing is kept that can be read."""
        return _load(self.folder / name / "state.json", NamespaceState)

    def keep_state(self, state: NamespaceState) -> None:
        """Keep it. Raises OSError."""
        kept = state.model_copy(update={"proposals": (), "job": None, "runs": (), "next_look_at": None})
        self._keep(state.name, "state.json", kept)

    def desk(self, name: str) -> Desk:
        """The desk; an empty one where there is none that can be read: whatever lay there can be asked for again."""
        return _load(self.folder / name / "proposals.json", Desk) or Desk()

    def keep_desk(self, name: str, desk: Desk) -> None:
        """Keep it. Raises OSError."""
        self._keep(name, "proposals.json", desk)

    def _keep(self, name: str, file: str, value: Value) -> None:
        folder = self.folder / name
        folder.mkdir(exist_ok=True, mode=0o700)
        path = folder / file
        temporary = path.with_name(f".{file}.{os.getpid()}")
        try:
            temporary.unlink(missing_ok=True)
            handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(value.model_dump_json() + "\n")
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


class Decisions:
    """The log of decisions. Safe to use from several threads of one process.

    The file may be moved away at any time: the next decision begins a new one, with a chain of its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._last: Decision | None = None

    def add(self, who: str, namespace: str, what: str, about: str, detail: str = "") -> Decision:
        """Write one; it is on the disk when this returns. Raises LbsyncError: then nothing was decided."""
        try:
            with self._lock, open(self._path, "ab+", buffering=0, opener=_private) as file:
                last = self._before(_last_line(file))
                made = Decision(
                    seq=last.seq + 1 if last else 1,
                    at=datetime.now(UTC),
                    who=who,
                    namespace=namespace,
                    what=what,
                    about=about,
                    detail=detail,
                    prev=last.hash if last else GENESIS,
                ).sealed()
                _append(file, (made.model_dump_json() + "\n").encode())
                self._last = made
        except OSError as error:
            raise LbsyncError(
                f"the decision cannot be written down: {error.strerror}",
                where=str(self._path),
                state="nothing was begun",
                remedy="free space or mend the rights there, then decide again",
                code=f"errno-{error.errno}",
            ) from None
        return made

    def _before(self, line: bytes | None) -> Decision | None:
        """The decision before the next one. What was written last counts, so that a file whose end was changed shows it."""
        if line is None:
            if self._last is not None:
                _LOG.warning("%s was moved away or emptied; a new chain of decisions begins", self._path)
            return None
        return self._last or _read(line, self._path)


def verify(path: Path) -> int:
    """How many decisions there are, each hash computed again. Raises LbsyncError at the first that is not as it was written."""
    prev, count = GENESIS, 0
    for line in path.read_bytes().split(b"\n")[:-1]:
        count += 1
        try:
            found = Decision.model_validate_json(line)
        except ValidationError:
            found = None
        if found is None or found.seq != count or found.prev != prev or found.sealed() != found:
            raise LbsyncError(f"decision {count} is not what was written", where=str(path), code="chain-broken")
        prev = found.hash
    return count


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read(line: bytes, path: Path) -> Decision:
    try:
        return Decision.model_validate_json(line)
    except ValidationError:
        raise LbsyncError(
            "the last decision is not what was written",
            where=str(path),
            state="nothing was begun",
            remedy="find out who changed the file; then move it away, and a new one is begun",
            code="chain-broken",
        ) from None


def _last_line(file: FileIO) -> bytes | None:
    """The last whole line, ``None`` where there is none, found from the end. An empty line is none of ours, but it is one.

    The piece of a line that a full disk, or a loss of power, left behind it is taken away: it was never acted on.
    """
    at, text = file.seek(0, os.SEEK_END), b""
    while at > 0 and text.count(b"\n") < 2:  # noqa: PLR2004 -- the end of the line, and of the one before
        end, at = at, file.seek(max(0, at - _BLOCK))
        text = file.read(end - at) + text
    kept = text.rfind(b"\n") + 1
    if kept != len(text):
        file.truncate(at + kept)
    return text[:kept].split(b"\n")[-2] if kept else None


def _append(file: FileIO, line: bytes) -> None:
    """All of it, on the disk; or nothing, and OSError: what is told not to have been decided must not stand there."""
    size = file.seek(0, os.SEEK_END)
    try:
        while line:
            line = line[file.write(line) :]
        os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            file.truncate(size)
        raise


def _load(path: Path, model: type[_Kept]) -> _Kept | None:
    try:
        with path.open("rb") as file:
            return model.model_validate_json(file.read(_LARGEST_BYTES))
    except (OSError, ValidationError):
        return None
