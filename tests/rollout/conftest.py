"""One rehearsal per test process."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.rollout.rig import Reference, Rehearsal, rehearse


@pytest.fixture(scope="session")
def running() -> Generator[Rehearsal]:
    """The rehearsal itself; ask for ``rehearsal``."""
    folder = Path(tempfile.mkdtemp(prefix="lbr-"))
    try:
        with rehearse(folder) as found:
            yield found
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def rehearsal(require: Callable[[str], None], request: pytest.FixtureRequest) -> Rehearsal:
    """The rehearsal of this process, in whatever state the test before left it; needs HAProxy."""
    require("haproxy")
    found = request.getfixturevalue("running")
    assert isinstance(found, Rehearsal)
    return found


@pytest.fixture(scope="session")
def undisturbed(running: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """One undisturbed apply and rollback; ask for ``reference``."""
    return Reference.of(running, tmp_path_factory.mktemp("reference"))


@pytest.fixture
def reference(rehearsal: Rehearsal, request: pytest.FixtureRequest) -> Reference:
    """The two states a run may end in, and how many events each way takes."""
    found = request.getfixturevalue("undisturbed")
    assert isinstance(found, Reference)
    return found
