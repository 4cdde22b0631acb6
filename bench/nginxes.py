"""The NGINX at hand: the one installed or named by ``LBSYNC_NGINX``, and those that `make compat` unpacked below .compat."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lbsync.testing.nginx import nginx_program, nginx_version, stream_module

_UNPACKED = Path(".compat")
_KEEPS_IDLE_CLIENTS = (1, 27, 4)


@dataclass(frozen=True, slots=True)
class Nginx:
    """One program; ``modules`` is where its dynamic modules are, ``None`` for where it says itself."""

    program: str
    modules: str | None
    version: tuple[int, ...]

    @property
    def text(self) -> str:
        """``NGINX 1.22.1``."""
        return f"NGINX {'.'.join(map(str, self.version))}"

    @property
    def keeps_idle_clients(self) -> bool:
        """Has ``keepalive_min_timeout`` and ``ssl_certificate_cache``."""
        return self.version >= _KEEPS_IDLE_CLIENTS


def at_hand() -> tuple[Nginx, ...]:
    """Each version once, the oldest first. What does not start or lacks its stream module is left out and named."""
    found: dict[tuple[int, ...], Nginx] = {}
    own = nginx_program()
    places = [(own, os.environ.get("LBSYNC_NGINX_MODULES"))] if own else []
    places += [
        (str(program), str(program.with_name("root") / "usr/lib/nginx/modules"))
        for program in sorted(_UNPACKED.resolve().glob("*/nginx"))
    ]
    for program, modules in places:
        with _environment(program, modules):
            try:
                version = nginx_version(program)
                stream_module(program)
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                print(f"  {program} cannot be used: {error}")
                continue
        found.setdefault(version, Nginx(program, modules, version))
    return tuple(sorted(found.values(), key=lambda one: one.version))


@contextmanager
def chosen(nginx: Nginx) -> Generator[None]:
    """Whatever starts an NGINX within the block starts this one."""
    with _environment(nginx.program, nginx.modules):
        yield


@contextmanager
def _environment(program: str, modules: str | None) -> Generator[None]:
    wanted = {"LBSYNC_NGINX": program, "LBSYNC_NGINX_MODULES": modules}
    before = {name: os.environ.get(name) for name in wanted}
    _set(wanted)
    try:
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
