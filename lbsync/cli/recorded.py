"""A recording in the place of a farm: what ``--from FILE`` judges, offline.

Rule of this file: it reads the recording and, where one was named on the command line, a configuration; it asks nobody.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lbsync.cli.house import Look
from lbsync.errors import ConfigError
from lbsync.recording import Recording, read

if TYPE_CHECKING:
    from lbsync.desired import Desired
    from lbsync.target import Capabilities

_LARGEST_BYTES = 200_000_000
_NOTHING = "nothing was read and nothing was changed"


class Looking(Protocol):
    """A farm that can be looked at, opened or recorded."""

    @property
    def capabilities(self) -> Mapping[str, Capabilities]:
        """What each balancer can do."""
        ...

    def look(self) -> Look:
        """What is wanted and what was seen."""
        ...


class RecordedFarm:
    """A farm as it was when it was recorded, judged as of then: a certificate that was valid still is."""

    def __init__(self, recording: Recording, wishes: str) -> None:
        """``wishes`` says in words whose they are."""
        self.recording = recording
        self.wishes = wishes

    @property
    def capabilities(self) -> Mapping[str, Capabilities]:
        """See Looking."""
        return self.recording.capabilities

    def look(self) -> Look:
        """See Looking."""
        one = self.recording
        return Look(one.desired, one.facts, one.taken)


def load_recording(path: Path) -> Recording:
    """The recording in a file. Raises ConfigError where it cannot be read, LbsyncError where it is none."""
    if path.is_dir():
        raise ConfigError(
            "this is a folder, not a recording", where=str(path), state=_NOTHING, remedy="name a file in it"
        )
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_LARGEST_BYTES)
    except UnicodeDecodeError:
        text = ""  # which is no JSON either
    except OSError as error:
        raise ConfigError(
            f"the recording cannot be read: {error.strerror}",
            where=str(path),
            state=_NOTHING,
            remedy="look at the file's name and at its rights",
        ) from None
    return read(text, str(path))


def open_recording(path: Path, config: Path | None) -> RecordedFarm:
    """A recording, with the wishes of ``config`` in place of its own where --config names one.

    Raises LbsyncError as ``load_recording`` does, ConfigError.
    """
    recording = load_recording(path)
    if config is None or not _named(config):
        return RecordedFarm(recording, "those in it")
    return RecordedFarm(
        recording.model_copy(update={"desired": _wanted(recording, config)}), f"modes, limits and policy of {config}"
    )


def _named(config: Path) -> bool:
    """True where --config was written: the one that LBSYNC_CONFIG names is of another farm as a rule."""
    return str(config) != os.environ.get("LBSYNC_CONFIG")


def _wanted(recording: Recording, config: Path) -> Desired:
    """Modes, limits and policy of the file; names and certificate as recorded, since pseudonyms may stand there."""
    from lbsync.cli.opening import open_config
    from lbsync.config import Leaf, desired

    own = desired(open_config(config).config, Leaf(recording.desired.leaf))
    changed = {name: getattr(own, name) for name in ("modes", "limits", "trusted_leg", "allow_self_signed")}
    wish = own.outlook_anywhere.model_copy(update={"external_hostname": None, "internal_hostname": None})
    policy = own.policy
    if recording.pseudonyms:  # networks and older servers are those of other names: as recorded
        policy = recording.desired.policy.model_copy(update={"encrypt_inside": own.policy.encrypt_inside})
    return recording.desired.model_copy(update={**changed, "outlook_anywhere": wish, "policy": policy})


def alone(given: Mapping[str, bool]) -> None:
    """``--from`` reads nothing else, so what needs the farm does not go with it. Raises ConfigError."""
    wrong = [option for option, is_given in given.items() if is_given]
    if wrong:
        raise ConfigError(
            f"--from and {wrong[0]} do not go together", where=wrong[0], state=_NOTHING, remedy="give one of them"
        )
