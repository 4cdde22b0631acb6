"""Run a script on a server: one thread, one connection; one shell, always closed; one deadline for it all.

Rule of this room: an answer is the JSON of the bootstrap or an error, never a guess; an empty stdout is an error. Nothing is
tried again unless the caller says that twice is once.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from lbsync.errors import Denied, LbsyncError, Rejected, TargetError, Unreachable
from lbsync.exchange.scripts import ScriptName, text
from lbsync.exchange.session import failures
from lbsync.exchange.session.failures import Code
from lbsync.exchange.session.gate import LoginGate
from lbsync.exchange.session.settings import SessionSettings

if TYPE_CHECKING:
    from lbsync.exchange.session.envelopes import Output
    from lbsync.exchange.session.wire import Wire

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

_CHUNK = 32 * 1024
_CLOSING_S = 5.0
_ATTEMPTS = 4
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 3.0

# Exchange's inner session is opened with the same account: its rejection counts like one of ours (fqid; 1326: logon failure).
_LOGON_FAILURES = ("1326,", "LogonFailure,")
_NO_RIGHT = frozenset({"PermissionDenied", "SecurityError", "AuthenticationError"})


class Shell:
    """One open shell; scripts run in it one after the other."""

    def __init__(self, wire: Wire, shell: str, settings: SessionSettings, deadline_s: float, ends: float) -> None:
        self._wire, self._shell, self._settings = wire, shell, settings
        self._deadline_s, self._ends = deadline_s, ends
        self._before: str | None = None

    def run(self, script: ScriptName, params: Mapping[str, object]) -> dict[str, object]:
        """The ``result`` of a script. Raises Unreachable, Denied, Rejected (code: the script's FullyQualifiedErrorId)."""
        if self._before is not None:
            self._wire.end_command(self._shell, self._before, self._ends)
        order = json.dumps({"script": text(script), "params": params}, separators=(",", ":"))
        stdin = base64.b64encode(order.encode())
        command = self._before = self._wire.run(self._shell, "powershell.exe", _arguments(), self._ends)
        for start in range(0, len(stdin), _CHUNK):
            last = start + _CHUNK >= len(stdin)
            self._wire.send(self._shell, command, stdin[start : start + _CHUNK], self._ends, last=last)
        stdout, code = self._output(script, command)
        return _result(self._settings, script, stdout, code)

    def _output(self, script: ScriptName, command: str) -> tuple[bytes, int]:
        pieces: list[bytes] = []
        while time.monotonic() < self._ends:
            answer = self._received(script, command)
            if answer is None:
                continue
            pieces.append(answer.stdout)
            if answer.ended:
                return b"".join(pieces), answer.code
        raise failures.deadline_passed(self._settings, script, self._deadline_s)

    def _received(self, script: ScriptName, command: str) -> Output | None:
        try:
            return self._wire.receive(self._shell, command, self._ends)
        except Unreachable as error:
            if error.code != Code.CONNECTION or time.monotonic() < self._ends:
                raise
        # A server too busy to say "nothing yet" in time: what ended was our patience, not the connection.
        raise failures.deadline_passed(self._settings, script, self._deadline_s)


class SessionPool:
    """The sessions of one server, one per thread. A context manager; ``close`` closes those of all threads."""

    def __init__(self, settings: SessionSettings, gate: LoginGate | None = None) -> None:
        """``gate`` is shared by the pools of one account; without it this pool has its own."""
        self.settings = settings
        self.gate = gate or LoginGate()
        self._wires: dict[int, Wire] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The server's configured name."""
        return self.settings.name

    def call(
        self, script_name: ScriptName, params: Mapping[str, object], *, deadline_s: float = 120.0, retry: bool = False
    ) -> dict[str, object]:
        """Run one script in a shell of its own; its ``result``.

        ``deadline_s`` bounds everything, repetitions included. ``retry`` says that twice is once: then a lost connection or
        a passing fault is tried again, a few times. Raises Unreachable, Denied (rejected login, missing right), Rejected.
        """
        ends = time.monotonic() + deadline_s
        if not retry:
            return self._once(script_name, params, deadline_s, ends)
        return self.repeat(lambda: self._once(script_name, params, deadline_s, ends), deadline_s=deadline_s)

    def repeat(self, work: Callable[[], T], *, deadline_s: float) -> T:
        """Do ``work``, for which twice is once, again a few times where a lost connection or a passing fault stopped it."""
        # Imported late: stamina takes its time, and its default hook prints to stdout where structlog was not set up.
        from lbsync.exchange.session.retries import attempts

        for attempt in attempts(
            _may_pass, count=_ATTEMPTS, timeout_s=deadline_s, first_s=_FIRST_WAIT_S, longest_s=_LONGEST_WAIT_S
        ):
            with attempt:
                return work()
        raise AssertionError("unreachable: the last attempt returns or raises")

    def shell(self, *, deadline_s: float = 120.0) -> AbstractContextManager[Shell]:
        """One shell for several scripts, closed at the end whatever happens. Raises TargetError."""
        return self._shell(deadline_s, time.monotonic() + deadline_s)

    @contextmanager
    def _shell(self, deadline_s: float, ends: float) -> Generator[Shell]:
        self.gate.check()
        wire = self._wire()
        opened = wire.open_shell(ends)
        try:
            yield Shell(wire, opened, self.settings, deadline_s, ends)
        finally:
            self._close(wire, opened)

    def prove(self, *, deadline_s: float = 30.0) -> None:
        """Log in and out once: proves the account before anything is fanned out. Raises Denied, Unreachable, Rejected."""
        with self.shell(deadline_s=deadline_s):
            pass

    def release(self) -> None:
        """Close the connection of the calling thread; the next call opens another."""
        with self._lock:
            wire = self._wires.pop(threading.get_ident(), None)
        if wire is not None:
            wire.drop()

    def close(self) -> None:
        """Close the connections of all threads; none may be in use."""
        with self._lock:
            wires, self._wires = list(self._wires.values()), {}
        for wire in wires:
            wire.drop()

    def __enter__(self) -> Self:
        """The pool itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Close everything."""
        self.close()

    def _wire(self) -> Wire:
        from lbsync.exchange.session.wire import Wire  # pywinrm takes a good part of a second to import

        with self._lock:
            return self._wires.setdefault(threading.get_ident(), Wire(self.settings, self.gate))

    def _once(
        self, script: ScriptName, params: Mapping[str, object], deadline_s: float, ends: float
    ) -> dict[str, object]:
        try:
            with self._shell(deadline_s, ends) as shell:
                return shell.run(script, params)
        except Denied as error:
            if error.code.startswith(_LOGON_FAILURES):
                self.gate.shut(error)
            raise

    def _close(self, wire: Wire, shell: str) -> None:
        for _ in range(2):
            try:
                wire.close_shell(shell, time.monotonic() + _CLOSING_S)
            except Unreachable as error:
                _LOG.debug("shell on %s not closed: %s", self.name, error.code)
            except LbsyncError as error:
                # What happened before is what counts; a shell nobody closes ends by its idle time-out at the server.
                _LOG.debug("shell on %s not closed: %s", self.name, error.code or type(error).__name__)
                return
            else:
                return


def open_pools(settings: Iterable[SessionSettings]) -> dict[str, SessionPool]:
    """A pool per server by its name, those of one account behind one gate."""
    gates: dict[tuple[str, str], LoginGate] = {}
    pools: dict[str, SessionPool] = {}
    for one in settings:
        gate = gates.setdefault((one.transport, one.account), LoginGate())
        pools[one.name] = SessionPool(one, gate)
    return pools


def _may_pass(error: Exception) -> bool:
    return isinstance(error, Unreachable) and error.code != Code.DEADLINE


@cache
def _arguments() -> tuple[str, ...]:
    encoded = base64.b64encode(text("bootstrap").encode("utf-16-le")).decode()
    return ("-NoProfile", "-NonInteractive", "-NoLogo", "-ExecutionPolicy", "RemoteSigned", "-EncodedCommand", encoded)


def _result(settings: SessionSettings, script: ScriptName, stdout: bytes, code: int) -> dict[str, object]:
    """What the bootstrap answered: the last line that is not empty, base64 of JSON."""
    lines = stdout.split()
    if not lines:
        # An over-long command line ends like this: nothing on stdout and exit code 0.
        raise Rejected(
            f"{script} answered nothing (exit code {code})",
            where=settings.name,
            state="whether it did anything is not known; read the server again",
            remedy="try winrs -r:<server> powershell -NoProfile -Command 1; PowerShell 4.0 or later is needed",
            code=Code.EMPTY,
        )
    try:
        answer = json.loads(base64.b64decode(lines[-1], validate=True))
        ok, result, error = answer["ok"], answer.get("result"), answer.get("error")
    except (binascii.Error, ValueError, LookupError, TypeError, AttributeError):
        answer, ok, result, error = None, None, None, None
    if ok is True and isinstance(result, dict):
        return result
    if ok is False and isinstance(error, dict):
        raise _script_error(settings, script, {str(key): str(value) for key, value in error.items()})
    raise Rejected(
        f"{script} answered something else than its JSON ({len(stdout)} bytes, exit code {code})",
        where=settings.name,
        state="whether it did anything is not known; read the server again",
        remedy="see whether a profile, a policy or security software changes what powershell.exe prints there",
        code=Code.GARBLED,
    )


def _script_error(settings: SessionSettings, script: ScriptName, error: Mapping[str, str]) -> TargetError:
    code, category = error.get("fqid", ""), error.get("category", "")
    message = f"{script}: {' '.join(error.get('message', '').split())}"
    if category in _NO_RIGHT or code.startswith(_LOGON_FAILURES) or "UnauthorizedAccess" in code:
        return Denied(
            message,
            where=settings.name,
            remedy="the account must be local administrator there; for Exchange cmdlets it also needs the role groups "
            "Server Management and View-Only Organization Management",
            code=code,
        )
    return Rejected(message, where=settings.name, code=code)
