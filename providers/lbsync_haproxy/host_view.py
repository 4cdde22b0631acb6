"""What of HAProxy's surroundings decides whether lbsync may work here: its command line, foreign binds, its limits.

Rule of this room: reads only, and reports; it changes nothing of the administrator's.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lbsync.errors import TargetError
from lbsync.kit.endpoints import Endpoint, parse_listening
from lbsync.kit.host import Host
from lbsync_haproxy import wire
from lbsync_haproxy.binds import parse_binds
from lbsync_haproxy.settings import HaproxySettings

_BUFSIZE = re.compile(r"^\s*tune\.bufsize\s+(\d+)", re.MULTILINE)
_DEFAULT_BUFSIZE = 16384
_ZERO_WARNING = re.compile(r"^\s*zero-warning\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class HostView:
    """One look. ``loads`` is what the running HAProxy was told to load, ``None`` where that cannot be seen."""

    loads: tuple[str, ...] | None
    binds: tuple[Endpoint, ...]
    unclear_binds: tuple[str, ...]
    listening: tuple[Endpoint, ...]
    missing_files: tuple[str, ...]
    missing_tools: tuple[str, ...] = ()
    """What the settings name and the host lacks, each as a sentence that says what to do."""

    def loads_directory(self, directory: str) -> bool | None:
        """Whether our directory is among the -f arguments; ``None`` where that cannot be seen."""
        if self.loads is None:
            return None
        if directory in {posixpath.normpath(argument) for argument in self.loads}:
            return True
        # A relative argument is relative to wherever HAProxy was started: the last part must do.
        relative = [argument for argument in self.loads if not argument.startswith("/")]
        return any(directory.endswith(f"/{posixpath.normpath(argument)}") for argument in relative)


def read_host(host: Host, settings: HaproxySettings, pid: int | None) -> HostView:
    """Look around. ``pid`` is that of HAProxy's worker, ``None`` when it does not run. Raises TargetError."""
    binds: list[Endpoint] = []
    unclear: list[str] = []
    missing: list[str] = []
    for path in settings.config_files:
        text = host.read_file(path)
        if text is None:
            missing.append(path)
            continue
        found, odd = parse_binds(text.decode(errors="replace"), path)
        binds += found
        unclear += odd
    tables = [host.read_file(f"/proc/net/{name}") or b"" for name in ("tcp", "tcp6")]
    return HostView(
        loads=_arguments(host, pid),
        binds=tuple(binds),
        unclear_binds=tuple(unclear),
        listening=parse_listening(table.decode(errors="replace") for table in tables),
        missing_files=tuple(missing),
        missing_tools=tuple(_missing_tools(host, settings)),
    )


def _missing_tools(host: Host, settings: HaproxySettings) -> Iterator[str]:
    if host.stat(settings.haproxy) is None:
        yield f"{settings.haproxy} does not exist: set haproxy to the path of the program."
    if settings.master_socket is not None and host.stat(settings.master_socket) is None:
        yield (
            f"The master socket {settings.master_socket} does not exist: start HAProxy with -W -S {settings.master_socket}, "
            "or correct master_socket."
        )
    if settings.reload == "signal" and settings.pid_file is not None and host.stat(settings.pid_file) is None:
        yield f"The pid file {settings.pid_file} does not exist: correct pid_file."


def buffer_size(host: Host, settings: HaproxySettings) -> int:
    """tune.bufsize as the administrator set it, in bytes: what a Runtime API command must fit into. Raises TargetError."""
    sizes = [found for text in _own_texts(host, settings) for found in _BUFSIZE.findall(text)]
    return int(sizes[-1]) if sizes else _DEFAULT_BUFSIZE


def refuses_warnings(host: Host, settings: HaproxySettings) -> bool:
    """Whether the administrator's files have HAProxy not start where it would only warn. Raises TargetError."""
    return any(_ZERO_WARNING.search(text) for text in _own_texts(host, settings))


def _own_texts(host: Host, settings: HaproxySettings) -> Iterator[str]:
    """The administrator's files; one that is missing is empty."""
    return ((data or b"").decode(errors="replace") for data in host.read_files(settings.config_files))


def _arguments(host: Host, pid: int | None) -> tuple[str, ...] | None:
    if pid is None:
        return None
    try:
        cmdline = host.read_file(f"/proc/{pid}/cmdline")
    except TargetError:
        return None  # another user's process, hidden (hidepid)
    return wire.config_arguments(cmdline) if cmdline else None
