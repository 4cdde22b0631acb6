"""The second timer of ``--confirm-within``: should this process die, systemd still takes the run back.

Rule of this file: it starts ``lbsync resume``, which goes back by itself once the time for confirming is over and does
nothing while a living process holds the lock. No secret is handed to systemd: references must lead somewhere without this
process's environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lbsync.engine import Notice, Recorded
from lbsync.run import Awaiting

if TYPE_CHECKING:
    from lbsync.cli.command import Session
    from lbsync.cli.house import House

_SYSTEMD = Path("/run/systemd/system")
_MARGIN_S = 30
"""How much later than this process systemd acts: it is not there to be quicker."""


class Backstop:
    """An observer of the engine: sets systemd's timer at the moment the time for confirming begins to run."""

    def __init__(self, screen: Session, house: House, run_id: str, confirm_s: float) -> None:
        self._screen = screen
        self._resume = _resume(screen, house, run_id)
        self._unit = f"lbsync-backstop-{run_id}"
        self._confirm_s = confirm_s
        self._started = False

    def __call__(self, notice: Notice) -> None:
        """Everything is applied and waits for a word: from here on a dead process would leave it standing."""
        match notice:
            case Recorded(event=Awaiting()):
                after = f"--on-active={self._confirm_s + _MARGIN_S:.0f}"
                arguments = [f"--unit={self._unit}", after, "--collect", "--quiet", *self._resume]
                self._started = _systemd("systemd-run", *arguments)
                if not self._started:
                    self._screen.warn("systemd-run failed: should this process be killed, say lbsync resume")
            case _:
                pass

    def stop(self) -> None:
        """The timer is not needed any more."""
        if self._started:
            _systemd("systemctl", "stop", f"{self._unit}.timer")


@contextmanager
def backstop(screen: Session, house: House, run_id: str, confirm_s: float | None) -> Generator[Backstop | None]:
    """Inside, an observer that sets the timer where there can be one; else ``None``, and a warning was given."""
    why_not = _why_not(house) if confirm_s is not None else ""
    if why_not:
        screen.warn(
            f"should this process be killed, nothing takes the run back by itself ({why_not}); then say: lbsync resume"
        )
    if confirm_s is None or why_not:
        yield None
        return
    timer = Backstop(screen, house, run_id, confirm_s)
    try:
        yield timer
    finally:
        timer.stop()


def _why_not(house: House) -> str:
    if not _SYSTEMD.is_dir() or shutil.which("systemd-run") is None:
        return "there is no systemd here"
    if os.geteuid() != 0:
        return "only root may set its timer"
    if "env:" in house.loaded.config.model_dump_json():
        return "secrets come from the environment, which its timer does not have"
    return ""


def _resume(screen: Session, house: House, run_id: str) -> list[str]:
    config = str(Path(house.loaded.file).absolute())
    return [sys.executable, "-m", "lbsync", "resume", run_id, "--config", config, "--state", str(screen.folder)]


def _systemd(program: str, *arguments: str) -> bool:
    """True when the command succeeded; its output is nobody's business."""
    path = shutil.which(program)
    if path is None:
        return False
    done = subprocess.run([path, *arguments], capture_output=True, check=False, timeout=30)  # noqa: S603  # no shell, our own words
    return done.returncode == 0
