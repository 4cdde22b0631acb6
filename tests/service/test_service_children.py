"""Children: where their code comes from, and what is left of them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from lbsync.service import children
from lbsync.service.children import CommandLine
from tests.service.rig import play

_STARTS_ANOTHER = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, getattr(signal, sys.argv[2]))
held = os.open(sys.argv[1], os.O_WRONLY)
own = f"import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write({held}, b'x'); signal.pause()"
subprocess.run([sys.executable, "-I", "-S", "-c", own], pass_fds=(held,))
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize(("when_asked", "code"), [("SIG_IGN", -9), ("SIG_DFL", -15)])
def test_a_child_that_hangs_takes_along_what_it_started(
    when_asked: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as an ssh that hangs: nothing is left holding the pipe, and why it was ended is told."""
    monkeypatch.setattr(children, "_GRACE_S", 0.01)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    async def said() -> bytes | None:
        await asyncio.sleep(0)
        try:
            return os.read(end, 1)
        except BlockingIOError:
            return None

    async def scene() -> None:
        child = await CommandLine((sys.executable, "-I", "-S", "-c", _STARTS_ANOTHER))(
            [str(pipe), when_asked], "anna", 0.01, ""
        )
        while await said() != b"x":
            pass
        ended = await child.wait(lambda _line: None)
        assert (ended.code, ended.late, (ended.error or {}).get("code")) == (code, True, "late")
        while await said() != b"":
            pass

    try:
        play(scene)
    finally:
        os.close(end)


def test_no_module_comes_from_the_folder_that_it_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write there would have the service's rights."""
    (tmp_path / "lbsync").mkdir()
    (tmp_path / "lbsync" / "__init__.py").touch()
    (tmp_path / "lbsync" / "__main__.py").write_text("print('{\"mine\": 1}')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    async def scene() -> None:
        child = await CommandLine()(["--version"], "anna", 60, "")
        ended = await child.wait(lambda _line: None)
        assert (ended.code, ended.document) == (0, None)

    play(scene)
