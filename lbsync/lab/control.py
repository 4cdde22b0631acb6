"""The lab's own door: one JSON object in, one out, over a unix socket only its owner may open.

Rule of this room: it is for rehearsals and tests to look at and to spoil a farm from another process; nothing an
administrator of a real farm could not have done. No secret passes.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lbsync.errors import LbsyncError
from lbsync.lab import snapshot
from lbsync.lab.errors import ScriptError
from lbsync.lab.faults import Fault

if TYPE_CHECKING:
    from lbsync.lab.farm import LabFarm, LabServer

_LIMIT = 1 << 20
_TIMEOUT_S = 10.0

Command = Mapping[str, object]


class Control:
    """The server's side of the door."""

    def __init__(self, farm: LabFarm, on_stop: Callable[[], None]) -> None:
        """``on_stop`` is called when somebody asks the lab to end."""
        self._farm = farm
        self._on_stop = on_stop
        self._server: asyncio.Server | None = None
        self._verbs: Mapping[str, Callable[[Command], object]] = {
            "ping": lambda _command: "pong",
            "snapshot": lambda _command: snapshot.farm(farm.state),
            "set-ssl-flags": self._set_ssl_flags,
            "recycle": self._recycle,
            "component": self._component,
            "setup-running": self._setup_running,
            "outlook-anywhere": self._outlook_anywhere,
            "fault": self._fault,
            "fault-rate": self._fault_rate,
            "unlock": lambda _command: farm.state.accounts.unlock(),
            "stop": lambda _command: on_stop(),
        }

    async def start(self, path: Path) -> None:
        """Listen at ``path``; only the owner may connect."""
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, path)
        finally:
            os.umask(mask)

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = self._answer(await reader.readline())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        finally:
            writer.close()

    def _answer(self, line: bytes) -> dict[str, object]:
        try:
            command = json.loads(line)
            return {"ok": True, "result": self._verbs[command["do"]](command)}
        except (ValueError, KeyError, TypeError, ScriptError) as problem:
            return {"ok": False, "error": f"{type(problem).__name__}: {problem}"}

    def _servers(self, command: Command) -> list[LabServer]:
        name = command.get("server")
        return list(self._farm.servers.values()) if name is None else [self._farm.servers[str(name)]]

    def _set_ssl_flags(self, command: Command) -> None:
        value = command["value"]
        for server in self._servers(command):
            server.state.iis.write_ssl_flags(str(command["location"]), None if value is None else str(value))

    def _recycle(self, command: Command) -> None:
        for server in self._servers(command):
            server.state.iis.recycle(str(command["pool"]))

    def _component(self, command: Command) -> None:
        for server in self._servers(command):
            server.state.components[str(command["component"])] = str(command["state"])

    def _setup_running(self, command: Command) -> None:
        for server in self._servers(command):
            server.state.setup_running = bool(command["value"])

    def _outlook_anywhere(self, command: Command) -> None:
        given = command["settings"]
        if not isinstance(given, dict):
            raise TypeError("settings is an object")
        for server in self._servers(command):
            self._farm.state.directory.set_outlook_anywhere(server.name, given)  # pyright: ignore[reportUnknownArgumentType]
            self._farm.state.on_directory_change(server.name)

    def _fault(self, command: Command) -> None:
        for server in self._servers(command):
            server.faults.script(Fault(str(command["fault"])))

    def _fault_rate(self, command: Command) -> None:
        for server in self._servers(command):
            server.faults.rate = float(str(command["value"]))


def ask(path: Path, command: Command) -> object:
    """Ask a running lab. Raises LbsyncError when nobody answers there, or the answer is no."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(json.dumps(dict(command)).encode() + b"\n")
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.read())
    except (OSError, ValueError) as problem:
        raise LbsyncError(
            "No lab answers.", where=str(path), remedy="Start one with `lbsync lab up`.", code="no_lab"
        ) from problem
    if not answer["ok"]:
        raise LbsyncError(f"The lab refused: {answer['error']}", where=str(path), code="lab_refused")
    result: object = answer["result"]
    return result
