"""Programs of the bench that run beside it, so that what they do costs what is measured nothing but CPU."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from bench.measure import ProgramFailed


class Child:
    """``python -m bench.MODULE``, which says one line of JSON when it is up, and another when its stdin ends."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.up = self._line()

    def end(self) -> Any:
        """Have it end; what it says in the end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        return self._line()

    def _line(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise ProgramFailed(f"{self._process.args!r} ended too early")
        return json.loads(line)


@contextmanager
def child(module: str, *arguments: str) -> Generator[Child]:
    """A program that is up, and ends with the block. Raises ProgramFailed where it ends before."""
    command = [sys.executable, "-m", f"bench.{module}", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Child(process)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            if process.stdout is not None:
                process.stdout.read()  # what nobody asked for in the end


def say(value: object) -> None:
    """One line to whoever started this program."""
    print(json.dumps(value), flush=True)


def stopping() -> threading.Event:
    """Set when stdin ends: when whoever started this program wants its end."""
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return ended
