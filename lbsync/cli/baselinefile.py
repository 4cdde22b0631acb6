"""The baseline on the disk: one file a farm in the state folder, private, written whole or not at all.

Rule of this file: a run that ended well stays so whatever becomes of its baseline: what could not be read or written is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lbsync.errors import LbsyncError

if TYPE_CHECKING:
    from lbsync.cli.command import Session
    from lbsync.cli.house import House, Seen
    from lbsync.drift.baseline import Baseline, Sighted

_LARGEST_BYTES = 200_000_000
_ADOPT = "lbsync drift --adopt takes what is there then"


def baseline_path(screen: Session, house: House) -> Path:
    """Where this farm's is kept."""
    from urllib.parse import quote

    return screen.folder / f"baseline-{quote(house.config.farm.name, safe='')}.json"


def load_baseline(path: Path) -> Baseline | None:
    """What was kept; ``None`` where there is no file. Raises LbsyncError."""
    from pydantic import ValidationError

    from lbsync.drift.baseline import Baseline

    try:
        with path.open("rb") as file:
            return Baseline.model_validate_json(file.read(_LARGEST_BYTES))
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = error.strerror or str(error)
    except ValidationError:
        reason = "it is damaged, or of another version of lbsync"
    raise LbsyncError(
        f"the baseline cannot be read: {reason}",
        where=str(path),
        state="nothing was changed",
        remedy="mend its rights, or move it away and take a new one: lbsync drift --adopt",
        code="baseline",
    ) from None


def save_baseline(screen: Session, path: Path, baseline: Baseline) -> None:
    """Keep it. Raises OSError, LbsyncError where a secret of this process is in it, which nothing explains."""
    from lbsync.private import write_private

    text = baseline.model_dump_json(indent=1) + "\n"
    secret = screen.redactor.found_in(text)
    if secret is not None:
        raise LbsyncError(f"what was seen holds {secret}", where=str(path), state="it was not written", code="secret")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, text)


def sight(house: House, seen: Seen) -> Sighted:
    """What was seen as drift sees it."""
    from lbsync.desired import FactSet
    from lbsync.drift.baseline import sighted

    facts = FactSet(servers=seen.servers, farm=seen.farm, balancers=seen.balancers)
    errors = [(error.where, error.message) for error in seen.errors]
    return sighted(facts, names(house), (*errors, *((name, error.message) for name, error in seen.silent.items())))


def names(house: House) -> Iterable[str]:
    """Servers and balancers by name, as configured."""
    return (*(one.name for one in house.config.servers), *(one.name for one in house.config.balancers))


def taken(
    house: House, today: Sighted, origin: Literal["applied", "rolled back", "adopted"], run: str | None
) -> Baseline:
    """A baseline of what is there today."""
    from importlib.metadata import version

    from lbsync.cli.running import actor
    from lbsync.drift.baseline import Baseline

    return Baseline(
        farm=house.config.farm.name,
        taken=datetime.now(UTC),
        origin=origin,
        run=run,
        actor=actor(),
        lbsync=version("lbsync"),
        facts=today.facts,
        missing=today.silent,
    )


def remember(screen: Session, house: House, origin: Literal["applied", "rolled back"], run: str) -> None:
    """Look once more and keep what holds after this run. Raises nothing that lbsync knows: a run is not failed by its memory."""
    from lbsync.cli.house import DIRECTORY, Seen
    from lbsync.facts import FarmFacts

    path = baseline_path(screen, house)
    try:
        seen = house.see()
    except LbsyncError as error:
        told = dict.fromkeys((*names(house), DIRECTORY), error)
        seen = Seen(servers=(), farm=FarmFacts(read=False), balancers=(), errors=(error,), silent=told)
    baseline = taken(house, sight(house, seen), origin, run)
    try:
        save_baseline(screen, path, baseline)
    except (LbsyncError, OSError) as error:
        reason = error.message if isinstance(error, LbsyncError) else error.strerror
        screen.warn(f"no baseline was kept for lbsync drift in {path}: {reason}; {_ADOPT}")
        return
    if seen.errors:
        listed = "; ".join(f"{name}: {why}" for name, why in baseline.missing.items())
        screen.warn(f"no baseline for lbsync drift of {listed}; {_ADOPT}")
