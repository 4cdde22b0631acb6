"""What a person or a machine gets to see: text on a terminal, or one JSON document on stdout.

Rule of this file: results go to stdout, everything else to stderr; colour and width are rich's business (NO_COLOR counts);
text from servers is never read as markup. It knows no room below.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from lbsync.redact import Redactor

_PLAIN_WIDTH = 120
"""Of tables that go into a file or a pipe."""


class Screen:
    """Where a command prints. ``as_json``: one document at the end and nothing else; ``quiet``: results only."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, redactor: Redactor | None = None) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._muted = False
        self._redactor = redactor

    @cached_property
    def out(self) -> Console:
        """Standard output."""
        return self._console(stderr=False)

    @cached_property
    def err(self) -> Console:
        """Standard error."""
        return self._console(stderr=True)

    @property
    def live(self) -> bool:
        """True where lines may be redrawn."""
        return self.out.is_terminal and not (self.as_json or self.quiet or self._muted)

    def result(self, *parts: RenderableType) -> None:
        """What was asked for, for people; nothing in JSON mode."""
        if not self.as_json and not self._muted:
            for part in parts:
                self._print(self.out, part)

    def document(self, value: object) -> None:
        """What was asked for, for machines; nothing in text mode."""
        if self.as_json and not self._muted:
            sys.stdout.write(self._clean(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")
            sys.stdout.flush()

    def note(self, text: str | Text) -> None:
        """What happens meanwhile; silent in quiet and in JSON mode."""
        if not self.as_json and not self.quiet:
            self._print(self.err, text)

    def warn(self, text: str) -> None:
        """What somebody should know whatever the mode."""
        self._styled(self.err, [("Warning: ", "bold yellow"), (text, "")])

    def fail(self, message: str, parts: Iterable[tuple[str, str]]) -> None:
        """An error: its message, then its named parts, each on a line of its own."""
        self._styled(self.err, [("Error: ", "bold red"), (message, "bold")])
        for name, value in parts:
            if value:
                self._styled(self.err, [(f"  {name + ':':<12} ", "dim"), (value, "")])

    @contextmanager
    def muted(self) -> Generator[None]:
        """Inside, nothing goes to stdout: what is done there is told by whoever asked for it."""
        before, self._muted = self._muted, True
        try:
            yield
        finally:
            self._muted = before

    @contextmanager
    def busy(self, text: str) -> Generator[None]:
        """Say what is waited for, with a sign of life on a terminal."""
        if not self.live or not self.err.is_terminal:
            yield
            return
        with self.err.status(text):
            yield

    def ask(self, question: str, expected: str) -> bool:
        """Whether the person at the terminal types ``expected``; never where nobody can be asked."""
        if not sys.stdin.isatty():
            return False
        self._styled(self.err, [(question, "bold"), (" ", "")], end="")
        try:
            return input().strip() == expected
        except EOFError:
            return False

    def _console(self, *, stderr: bool) -> Console:
        from rich.console import Console

        stream = sys.stderr if stderr else sys.stdout
        width = None if stream.isatty() or "COLUMNS" in os.environ else _PLAIN_WIDTH
        return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)

    def _print(self, console: Console, part: RenderableType) -> None:
        from rich.text import Text

        if isinstance(part, str):
            part = Text(self._clean(part))
        console.print(part, soft_wrap=isinstance(part, Text) and not console.is_terminal)

    def _styled(self, console: Console, pieces: Iterable[tuple[str, str]], *, end: str = "\n") -> None:
        from rich.text import Text

        console.print(
            Text.assemble(*((self._clean(text), style) for text, style in pieces)),
            soft_wrap=not console.is_terminal,
            end=end,
        )

    def _clean(self, text: str) -> str:
        return text if self._redactor is None else self._redactor.clean(text)
