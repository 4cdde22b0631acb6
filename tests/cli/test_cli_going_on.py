"""A rotation that goes on without a balancer: several runs of one process, for one order."""

from __future__ import annotations

from typing import Any

import pytest

from lbsync.cli import going_on
from lbsync.cli.exits import ExitCode


class Anything:
    """Whatever is asked of it is there, and nothing happens."""

    as_json = False

    def __getattr__(self, name: str) -> Anything:
        """Itself."""
        return self

    def __call__(self, *_: object, **__: object) -> Anything:
        """Itself."""
        return self


def test_only_the_first_run_may_be_refused_as_begun_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is for the same order, and the first of it stands in the ledger."""
    codes, told = [ExitCode.TAKEN_BACK, ExitCode.ERROR], list[bool]()
    anything: Any = Anything()

    def carried_out(*_: object, again: bool, **__: object) -> ExitCode:
        told.append(again)
        return codes[len(told) - 1]

    monkeypatch.setattr(going_on, "carry_out", carried_out)

    def silent(*_: object) -> dict[str, str]:
        return {"lb2": "it does not answer"}

    def looked(*_: object) -> tuple[object, dict[str, str]]:
        return anything, silent()

    monkeypatch.setattr(going_on, "culprits", silent)
    monkeypatch.setattr(going_on, "looked", looked)
    monkeypatch.setattr("lbsync.cli.runview.run_document", silent)
    for name in ("opened", "rotation", "_last"):
        monkeypatch.setattr(going_on, name, anything)
    anything.capabilities = ("lb1", "lb2")
    assert going_on.go_on(anything, anything, anything, anything, {}, canary=False) is ExitCode.ERROR
    assert told == [False, True]
