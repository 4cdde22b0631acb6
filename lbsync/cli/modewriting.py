"""``lbsync advise --write``: the modes that are possible, into the configuration file, once they were shown and agreed to.

Rule of this file: the file is replaced whole or not at all, with mode and owner as they were, and only where it still is
what was judged. Servers and balancers stay as they are.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lbsync.cli.exits import ExitCode
from lbsync.errors import ConfigError, PlanRefused, TargetError

if TYPE_CHECKING:
    from lbsync.advice import Advice
    from lbsync.cli.command import Session
    from lbsync.cli.house import House

_UNCHANGED = "nothing was changed"


def write_modes(screen: Session, house: House, *, yes: bool) -> ExitCode:
    """Judge, show the difference, ask and write; returns what to end with: attention where something is refused still.

    Raises ConfigError where the file cannot be written, or not so; PlanRefused where nobody agreed; TargetError.
    """
    from lbsync.advise import advise
    from lbsync.config.rewrite import with_modes

    look, able = house.look(), house.capabilities
    changes = advise(look.desired, look.facts, able, look.now).corrections
    wish = look.desired.model_copy(update={"modes": look.desired.modes | changes})
    then = advise(wish, look.facts, able, look.now)
    file = Path(house.loaded.file)
    diff: list[str] = []
    if changes:
        before = _read(house, file)
        after = with_modes(before, changes, file=str(file))
        diff = _difference(before, after, str(file))
        screen.result(*diff)
        _agree(screen, file, yes=yes)
        _replace(file, before, after)
        told = ", ".join(f'{service.value} = "{mode.value}"' for service, mode in changes.items())
        screen.result(f"Written to {file}: {told}. Nothing else was changed; next: lbsync plan")
    elif then.refusals:
        screen.result("Nothing to write: no other mode would help against what is refused.")
    else:
        screen.result("Nothing to write: every mode wanted is possible.")
    _tell_rest(screen, then)
    screen.document(
        {
            "file": str(file),
            "written": bool(changes),
            "modes": {service.value: mode.value for service, mode in changes.items()},
            "diff": diff,
            "refused": [finding.model_dump(mode="json") for finding in then.refusals],
        }
    )
    return ExitCode.ATTENTION if then.refusals else ExitCode.OK


def _read(house: House, file: Path) -> bytes:
    """The file as it was judged, and one that may be written. Raises ConfigError."""
    from lbsync.config import load

    data = file.read_bytes()
    if load(data.decode("utf-8-sig"), file=str(file)).config != house.config:
        raise _meanwhile(file)
    real = file.resolve()
    # A file that is read-only could be replaced in a folder that is not: whoever made it so meant it.
    for path in (real, real.parent):
        if not os.access(path, os.W_OK):
            raise ConfigError(
                "the configuration file cannot be written: it, or its folder, is not yours to write",
                where=str(path),
                state=_UNCHANGED,
                remedy="run lbsync advise --write with an account that may, or write the modes yourself",
            )
    return data


def _difference(before: bytes, after: bytes, name: str) -> list[str]:
    """As diff -u shows it."""
    old, new = (data.decode("utf-8-sig").splitlines() for data in (before, after))
    return list(difflib.unified_diff(old, new, name, f"{name} (new)", n=2, lineterm=""))


def _agree(screen: Session, file: Path, *, yes: bool) -> None:
    """Raises PlanRefused where nobody did."""
    if yes or screen.ask(f"Write this to {file}? Only yes will do:", "yes"):
        return
    raise PlanRefused(
        "the new modes were not approved",
        where=str(file),
        state=_UNCHANGED,
        remedy="answer yes, or give --yes where nobody can be asked",
    )


def _replace(file: Path, before: bytes, after: bytes) -> None:
    """Put the new text in the place of the old one; behind a symbolic link, in that of what it leads to. Raises ConfigError."""
    from lbsync.kit.host_local import LocalHost

    real = file.resolve()
    if real.read_bytes() != before:
        raise _meanwhile(file)
    try:
        LocalHost().write_file(str(real), after, mode=None)
    except TargetError as error:
        raise ConfigError(
            error.message,
            where=str(real),
            state=_UNCHANGED,
            remedy=error.remedy or "see that there is room on the disk, then try again",
            code=error.code,
        ) from error


def _meanwhile(file: Path) -> ConfigError:
    return ConfigError(
        "the configuration file was changed while the farm was being judged",
        where=str(file),
        state="the file is as somebody else left it; nothing was written",
        remedy="look at it, then run lbsync advise --write again",
    )


def _tell_rest(screen: Session, then: Advice) -> None:
    """What stays refused, in the adviser's words."""
    from lbsync.cli.adviceview import findings_view

    if then.refusals:
        screen.result("Refused still:", *findings_view(then.refusals))
