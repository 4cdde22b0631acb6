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

if TYPE_CHECKING:
    from lbsync.cli.command import Session
    from lbsync.cli.house import House

_SYSTEMD = Path("/run/systemd/system")
_MARGIN_S = 3600
"""How long applying itself may take before the timer starts to count; resuming too early waits for the deadline."""


@contextmanager
def backstop(screen: Session, house: House, run_id: str, confirm_s: float | None) -> Generator[None]:
    """Inside, a systemd timer stands by where there can be one, else a warning was given."""
    if confirm_s is None:
        yield
        return
    why_not = _why_not(house)
    if why_not:
        screen.warn(
            f"should this process be killed, nothing takes the run back by itself ({why_not}); then say: lbsync resume"
        )
        yield
        return
    unit = f"lbsync-backstop-{run_id}"
    started = _systemd("systemd-run", *_timer(screen, house, run_id, unit, confirm_s))
    if not started:
        screen.warn("systemd-run failed: should this process be killed, nothing takes the run back by itself")
    try:
        yield
    finally:
        if started:
            _systemd("systemctl", "stop", f"{unit}.timer")


def _why_not(house: House) -> str:
    if not _SYSTEMD.is_dir() or shutil.which("systemd-run") is None:
        return "there is no systemd here"
    if os.geteuid() != 0:
        return "only root may set its timer"
    if "env:" in house.loaded.config.model_dump_json():
        return "secrets come from the environment, which its timer does not have"
    return ""


def _timer(screen: Session, house: House, run_id: str, unit: str, confirm_s: float) -> list[str]:
    config = str(Path(house.loaded.file).absolute())
    resume = [sys.executable, "-m", "lbsync", "resume", run_id, "--config", config, "--state", str(screen.folder)]
    return [f"--unit={unit}", f"--on-active={confirm_s + _MARGIN_S:.0f}", "--collect", "--quiet", *resume]


def _systemd(program: str, *arguments: str) -> bool:
    """True when the command succeeded; its output is nobody's business."""
    path = shutil.which(program)
    if path is None:
        return False
    done = subprocess.run([path, *arguments], capture_output=True, check=False, timeout=30)  # noqa: S603  # no shell, our own words
    return done.returncode == 0
