"""Windows Remote Shells of one server: shells, commands, their input and output.

Rule of this room: a command runs as a task, so that Receive can time out while it works; what is on the command line is
remembered for tests, what is on stdin never.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from lbsync.lab import wsman
from lbsync.lab.scripts import Caller, Library
from lbsync.lab.state import FarmState, ServerState
from lbsync.lab.wsman import Message, WsmanFault

CMD_LIMIT = 8191
"""Characters of a command line through cmd.exe; the error is text on stderr."""
PROCESS_LIMIT = 32767
"""Characters of any command line; past it the answer is empty and the exit code 0."""
_PIECE = 100 * 1024
"""Bytes of output per Receive: base64 and envelope stay below MaxEnvelopeSize (150 KB)."""


@dataclass(slots=True)
class Command:
    """One process. ``output`` is stdout, stderr and exit code once it ended."""

    line: str
    caller: Caller
    wants_stdin: bool
    stdin: bytearray = field(default_factory=bytearray)
    output: tuple[bytes, bytes, int] | None = None
    sent: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Shell:
    """One shell and the user it belongs to."""

    owner: str
    commands: dict[str, Command] = field(default_factory=dict[str, Command])


class Shells:
    """All shells of one server."""

    def __init__(self, farm: FarmState, server: ServerState, library: Library) -> None:
        """``library`` knows the scripts."""
        self._farm = farm
        self._server = server
        self._library = library
        self._shells: dict[str, Shell] = {}

    @property
    def open(self) -> int:
        """Shells now open."""
        return len(self._shells)

    async def answer(self, message: Message, caller: Caller) -> bytes:
        """Carry out one request. Raises WsmanFault."""
        self._server.winrm.actions[message.action] += 1
        if not message.resource.endswith("/windows/shell/cmd"):
            raise WsmanFault(wsman.UNKNOWN_RESOURCE, message.resource)
        if message.action == "Create":
            return self._create(message, caller)
        shell = self._shells.get(message.shell_id)
        if shell is None or shell.owner != caller.user:
            raise WsmanFault(wsman.UNKNOWN_SHELL, message.shell_id)
        if message.action == "Delete":
            self._delete(message.shell_id)
            return wsman.done(message)
        if message.action == "Command":
            return self._command(message, shell, caller)
        verbs: dict[str, Callable[[Message, Command], Awaitable[bytes]]] = {
            "Send": self._send,
            "Receive": self._receive,
            "Signal": self._signal,
        }
        verb, command = verbs.get(message.action), shell.commands.get(message.command_id)
        if verb is None:
            raise WsmanFault(wsman.UNKNOWN_ACTION, message.action)
        if command is None:
            raise WsmanFault(wsman.UNKNOWN_SHELL, message.shell_id)
        if message.action == "Signal":
            shell.commands.pop(message.command_id)
        return await verb(message, command)

    def _create(self, message: Message, caller: Caller) -> bytes:
        mine = sum(shell.owner == caller.user for shell in self._shells.values())
        if mine >= self._farm.spec.max_shells:
            raise WsmanFault(wsman.QUOTA_SHELLS, str(self._farm.spec.max_shells))
        shell_id = str(uuid.uuid4()).upper()
        self._shells[shell_id] = Shell(caller.user)
        self._server.winrm.shells_opened += 1
        return wsman.created(message, shell_id)

    def _delete(self, shell_id: str) -> None:
        self._server.winrm.shells_closed += 1
        for command in self._shells.pop(shell_id).commands.values():
            if command.task is not None:
                command.task.cancel()

    def _command(self, message: Message, shell: Shell, caller: Caller) -> bytes:
        command_id = str(uuid.uuid4()).upper()
        self._server.winrm.command_lines.append(message.command_line)
        command = Command(message.command_line, caller, wants_stdin=False)
        shell.commands[command_id] = command
        limit = PROCESS_LIMIT if message.skip_cmd_shell else CMD_LIMIT
        if len(message.command_line) > limit:
            late = (b"", b"", 0) if message.skip_cmd_shell else (b"", b"The command line is too long.\r\n", 1)
            command.output = late
            command.ended.set()
        elif self._is_bootstrap(message.command_line):
            command.wants_stdin = True
        else:
            command.output = self._other(message.command_line, caller)
            command.ended.set()
        return wsman.commanded(message, command_id)

    def _is_bootstrap(self, line: str) -> bool:
        words = line.split()
        if not words or words[0].lower() not in {"powershell", "powershell.exe"}:
            return False
        lowered = [word.lower() for word in words]
        at = next((n for n, word in enumerate(lowered) if word in {"-encodedcommand", "-enc", "-e"}), -1)
        return 0 < at < len(words) - 1 and self._library.is_bootstrap(words[at + 1])

    def _other(self, line: str, caller: Caller) -> tuple[bytes, bytes, int]:
        """The few commands a person tries a connection with."""
        match line.strip().lower().split(" ", 1)[0].removesuffix(".exe"):
            case "whoami":
                return f"{caller.user.lower()}\r\n".encode(), b"", 0
            case "hostname":
                return f"{self._server.name}\r\n".encode(), b"", 0
            case "powershell":
                return b"", b'#< CLIXML\r\n<Objs Version="1.1.0.1"/>', 1
            case word:
                text = f"'{word}' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"
                return b"", text.encode(), 1

    async def _send(self, message: Message, command: Command) -> bytes:
        if command.wants_stdin:
            command.stdin += message.stdin
            if message.end:
                command.wants_stdin = False
                command.task = asyncio.get_running_loop().create_task(self._run(command))
        return wsman.done(message)

    async def _run(self, command: Command) -> None:
        """Run the model as if the server had ``work_s`` to do."""
        try:
            if self._farm.spec.work_s:
                await asyncio.sleep(self._farm.spec.work_s)
            order = self._library.read(bytes(command.stdin))
            command.stdin.clear()
            if order.heavy:
                loop = asyncio.get_running_loop()
                stdout = await loop.run_in_executor(
                    None, self._library.run, order, self._farm, self._server, command.caller
                )
            else:
                stdout = self._library.run(order, self._farm, self._server, command.caller)
            command.output = (stdout, b"", 0)
        except Exception as mishap:  # noqa: BLE001  a mistake in a model must end the command, not hang its caller
            command.output = (b"", f"lab: {type(mishap).__name__}: {mishap}".encode(), 1)
        finally:
            command.ended.set()

    async def _receive(self, message: Message, command: Command) -> bytes:
        try:
            await asyncio.wait_for(command.ended.wait(), message.timeout_s)
        except TimeoutError as late:
            raise WsmanFault(wsman.TIMED_OUT) from late
        if command.output is None:
            raise WsmanFault(wsman.ABORTED)
        stdout, stderr, code = command.output
        piece = stdout[command.sent : command.sent + _PIECE]
        command.sent += len(piece)
        if command.sent < len(stdout):
            return wsman.received(message, piece, b"", None)
        return wsman.received(message, piece, stderr, code)

    async def _signal(self, message: Message, command: Command) -> bytes:
        if command.task is not None:
            command.task.cancel()
        return wsman.done(message)
