"""Children: one process of the command line each, from its start to the document that it printed.

Rule of this file: it starts, listens, and asks to stop. A child reads nothing, has a process group of its own (a Ctrl-C at the
service's terminal reaches it once, through the service), and prints into files without a name, never into pipes: whatever becomes
of the service, nothing that a child prints can stop it half-way.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Protocol, cast

from pydantic import JsonValue

_LARGEST_BYTES = 64_000_000
_LONGEST_LINE = 2000
_LISTEN_EVERY_S = 0.3
_GRACE_S = 30.0
"""After a child that may be killed was asked to stop."""

_OURS = (
    "LBSYNC_CONFIG",
    "LBSYNC_STATE",
    "LBSYNC_TOKEN",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
)
"""Variables of the service that mean something else to a child, or that it has no use for."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended. ``document`` is what it answered, ``error`` what it told of a failure; ``None`` where it did not.

    ``late``: it was ended because it did not end in time.
    """

    code: int
    document: dict[str, JsonValue] | None = None
    error: dict[str, JsonValue] | None = None
    late: bool = False


class Child(Protocol):
    """One that runs."""

    def stop(self) -> None:
        """Ask it to stop between two steps."""
        ...

    async def wait(self, heard: Callable[[str], None]) -> Ended:
        """Until it has ended; ``heard`` is told each line of its progress."""
        ...


class Starter(Protocol):
    """Starts children."""

    async def __call__(self, words: Sequence[str], actor: str, deadline_s: float | None, order: str) -> Child:
        """One, by the words behind ``lbsync``, for ``actor``; after the deadline it is stopped, and killed if need be.

        ``order`` is written beside a run that it begins.
        """
        ...


class CommandLine:
    """A starter of this installation's own command line; ``program`` stands before the words."""

    def __init__(self, program: Sequence[str] = (sys.executable, "-P", "-m", "lbsync")) -> None:
        # -P: no module comes from the folder that the service was started in.
        self._program = tuple(program)

    async def __call__(self, words: Sequence[str], actor: str, deadline_s: float | None, order: str) -> Child:
        """Start it. Raises OSError."""
        with ExitStack() as ends:
            said, told = (ends.enter_context(os.fdopen(_nameless(name), "rb")) for name in ("said", "told"))
            process = await create_subprocess_exec(
                *self._program,
                *words,
                stdin=DEVNULL,
                stdout=said.fileno(),
                stderr=told.fileno(),
                env=environment(os.environ, actor, order),
                start_new_session=True,
            )
            return _Running(process, said.fileno(), told.fileno(), ends.pop_all(), deadline_s)


def environment(ours: Mapping[str, str], actor: str, order: str) -> dict[str, str]:
    """A child's environment: the service's, for secrets that the configuration takes from there, who asked, and for what."""
    kept = {name: value for name, value in ours.items() if name not in _OURS}
    told = {"LBSYNC_ACTOR": actor, "LBSYNC_ORDER": order}
    return kept | told | {"NO_COLOR": "1", "COLUMNS": "120", "PYTHONUNBUFFERED": "1"}


def _nameless(name: str) -> int:
    """A file that nobody else can open and that is gone with its last user: in memory where there is such a thing."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(f"lbsync-{name}")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class _Running:
    def __init__(self, process: Process, said: int, told: int, ends: ExitStack, deadline_s: float | None) -> None:
        self._process, self._said, self._told = process, said, told
        self._ends, self._deadline_s = ends, deadline_s
        self._heard = 0
        self._late_s: float | None = None

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    async def wait(self, heard: Callable[[str], None]) -> Ended:
        with self._ends:
            listening = asyncio.create_task(self._listen(heard))
            try:
                code = await self._until_end()
            finally:
                listening.cancel()
            self._lines(heard, whole=True)
            return read(code, _content(self._said), self._late_s)

    async def _until_end(self) -> int:
        try:
            return await asyncio.wait_for(self._process.wait(), self._deadline_s)
        except TimeoutError:
            self._late_s = self._deadline_s
            self.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _GRACE_S)
        self._kill()
        return await self._process.wait()

    def _kill(self) -> None:
        """It and whatever it started, such as an ssh that hangs and that it left behind: its group is its own."""
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:  # Windows
                self._process.kill()

    async def _listen(self, heard: Callable[[str], None]) -> None:
        while True:
            await asyncio.sleep(_LISTEN_EVERY_S)
            self._lines(heard, whole=False)

    def _lines(self, heard: Callable[[str], None], *, whole: bool) -> None:
        """What was printed since, line by line; a line that is not ended only where no more will come."""
        size = os.fstat(self._told).st_size
        text = os.pread(self._told, min(size - self._heard, _LARGEST_BYTES), self._heard)
        last = len(text) if whole else text.rfind(b"\n") + 1
        self._heard += last
        for line in text[:last].decode("utf-8", "replace").splitlines():
            if line.strip():
                heard(line[:_LONGEST_LINE])


def _content(file: int) -> str:
    size = os.fstat(file).st_size
    return os.pread(file, size, 0).decode("utf-8", "replace") if size <= _LARGEST_BYTES else ""


def read(code: int, text: str, late_s: float | None = None) -> Ended:
    """What a child said: documents one after the other, of which the last counts, and an error that it told.

    Without either it tells that, since an end without a word must not be taken for a good one. ``late_s``: it was ended after so
    many seconds, which is why it failed, whatever it told.
    """
    document: dict[str, JsonValue] | None = None
    error: dict[str, JsonValue] | None = None
    decoder, at = json.JSONDecoder(), 0
    while (begins := text.find("{", at)) >= 0:
        try:
            found, at = decoder.raw_decode(text, begins)
        except ValueError:
            break
        told = found.get("error")
        if isinstance(told, dict) and len(found) == 1:
            error = cast("dict[str, JsonValue]", told)
        else:
            document = found
    if document is None and late_s is not None:
        error = late(late_s)
    elif document is None and error is None:
        error = silent(code)
    return Ended(code, document, error, late=late_s is not None)


def late(after_s: float) -> dict[str, JsonValue]:
    """The error of a child that only reads and was ended after so many seconds."""
    return {
        "kind": "Late",
        "message": f"the command did not end within {after_s:.0f} seconds and was ended",
        "where": "",
        "state": "nothing was changed at the farm",
        "remedy": "lbsync check tells who does not answer; where a look takes so long, raise look_within_s under [service]",
        "code": "late",
    }


def silent(code: int) -> dict[str, JsonValue]:
    """The error of a child that said nothing."""
    how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
    return {
        "kind": "Silent",
        "message": f"the command {how} and said nothing",
        "where": "",
        "state": "what was done so far stands in the ledger",
        "remedy": "the log in the namespace's state folder may tell more; lbsync runs shows what was done",
        "code": "silent",
    }
