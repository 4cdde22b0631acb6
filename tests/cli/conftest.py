"""The command line in this process, and farms to point it at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import pytest
import typer
from typer.testing import CliRunner

from lbsync.cli.app import app
from lbsync.lab.configfile import ConfigOptions
from lbsync.lab.farm import LabFarm, LabSpec

pytest.register_assert_rewrite("tests.cli.story")

PASSWORD = "LBSYNC_WINRM_PASSWORD"


@dataclass(frozen=True)
class Told:
    """What a command said, and what it ended with."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON on stdout; the whole of it."""
        return json.loads(self.out)


Lbsync = Callable[..., Told]


@pytest.fixture
def lbsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lbsync:
    """Call a command in this process, in a folder and with a state of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LBSYNC_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("LBSYNC_CONFIG", raising=False)
    runner = CliRunner()

    def call(*words: object) -> Told:
        result = runner.invoke(app, [str(word) for word in words])
        error = result.exception
        assert error is None or isinstance(error, SystemExit | typer.Exit), repr(error)
        assert "Traceback" not in result.output
        return Told(result.exit_code, result.stdout, result.stderr)

    return call


@dataclass
class Rehearsal:
    """A farm and the configuration that leads there."""

    farm: LabFarm
    config: Path

    def rewrite(self, **options: Unpack[ConfigOptions]) -> Path:
        """Write the configuration again, with other options."""
        return self.farm.write_config(self.config, **options)


@pytest.fixture
def rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rehearsal]]:
    """Start a farm without balancer; quiet, small and without faults unless the test says otherwise."""
    with ExitStack() as stack:
        base = LabSpec(servers=2, faults=0.0, oa_lag_s=0.1, gap_s=0.1, data_plane=False, seed=7)

        def start(options: ConfigOptions | None = None, **knobs: Any) -> Rehearsal:
            farm = stack.enter_context(LabFarm(replace(base, **knobs), tmp_path / "farm"))
            monkeypatch.setenv(PASSWORD, farm.password)
            started = Rehearsal(farm, tmp_path / "lbsync.toml")
            wanted: ConfigOptions = {"modes": {"default": "offload"}}
            wanted.update(options or {})
            started.rewrite(**wanted)
            return started

        yield start
