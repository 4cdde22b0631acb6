"""One rehearsal per balancer, module and test process, and a new one where a test left it otherwise than it was."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.rollout.fronts import HAPROXY, Kind
from tests.rollout.rig import Reference, Rehearsal, Snapshot, rehearse


class Stage:
    """Keeps a rehearsal for many tests; a failed one must not make the next ones fail."""

    def __init__(self, folders: pytest.TempPathFactory, kind: Kind) -> None:
        self._folders = folders
        self._kind = kind
        self._open = ExitStack()
        self._kept: tuple[Rehearsal, Snapshot] | None = None
        self._reference: Reference | None = None

    def rehearsal(self) -> Rehearsal:
        """The rehearsal, untouched."""
        if self._kept is None or self._kept[0].snapshot() != self._kept[1]:
            self.close()
            folder = Path(tempfile.mkdtemp(prefix="lbr-"))
            self._open.callback(shutil.rmtree, folder)
            new = self._open.enter_context(rehearse(folder, self._kind))
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


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Generator[Callable[[Kind], Stage]]:
    """Where rehearsals happen: one stage for each balancer."""
    with ExitStack() as ends:
        found: dict[Kind, Stage] = {}

        def stage(kind: Kind) -> Stage:
            if kind not in found:
                found[kind] = Stage(tmp_path_factory, kind)
                ends.callback(found[kind].close)
            return found[kind]

        yield stage


@pytest.fixture
def kind() -> Kind:
    """Which balancer; a test's own parameter of this name comes first."""
    return HAPROXY


@pytest.fixture
def stage(require: Callable[[str], None], stages: Callable[[Kind], Stage], kind: Kind) -> Stage:
    """The stage of this balancer; needs its programs."""
    for program in kind.programs:
        require(program)
    return stages(kind)


@pytest.fixture
def rehearsal(stage: Stage) -> Rehearsal:
    """An untouched rehearsal."""
    return stage.rehearsal()


@pytest.fixture
def reference(rehearsal: Rehearsal, stage: Stage) -> Reference:
    """The two states a run of the rehearsal may end in, and how many events each way takes."""
    return stage.reference()
