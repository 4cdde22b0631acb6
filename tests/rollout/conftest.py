"""One rehearsal per test process, and a new one where a test left it otherwise than it was."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.rollout.rig import Reference, Rehearsal, Snapshot, rehearse


class Stage:
    """Keeps a rehearsal for many tests; a failed one must not make the next ones fail."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._open = ExitStack()
        self._kept: tuple[Rehearsal, Snapshot] | None = None
        self._reference: Reference | None = None

    def rehearsal(self) -> Rehearsal:
        """The rehearsal, untouched."""
        if self._kept is None or self._kept[0].snapshot() != self._kept[1]:
            self.close()
            folder = Path(tempfile.mkdtemp(prefix="lbr-"))
            self._open.callback(shutil.rmtree, folder)
            new = self._open.enter_context(rehearse(folder))
            self._kept = (new, new.snapshot())
        return self._kept[0]

    def reference(self) -> Reference:
        """What an undisturbed apply and rollback of it were like."""
        rehearsal = self.rehearsal()
        if self._reference is None:
            self._reference = Reference.of(rehearsal, self._folders.mktemp("reference"))
        return self._reference

    def close(self) -> None:
        """Take it down."""
        self._kept = self._reference = None
        self._open.close()


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    """Where rehearsals happen."""
    found = Stage(tmp_path_factory)
    yield found
    found.close()


@pytest.fixture
def rehearsal(require: Callable[[str], None], stage: Stage) -> Rehearsal:
    """An untouched rehearsal; needs HAProxy."""
    require("haproxy")
    return stage.rehearsal()


@pytest.fixture
def reference(rehearsal: Rehearsal, stage: Stage) -> Reference:
    """The two states a run of the rehearsal may end in, and how many events each way takes."""
    return stage.reference()
