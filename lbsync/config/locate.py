"""Where a key stands in a TOML text: the line to point at when its value is wrong.

Rule of this room: it reads text that ``tomllib`` has accepted already, so it judges nothing; it only remembers lines.
``tomllib`` drops positions and tomlkit keeps them to itself, hence this small reader of TOML 1.0's shapes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

Path = tuple[str | int, ...]
"""Keys and list positions from the root, as pydantic's ``loc`` has them."""

_GAP: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")
_BLANK: Final = re.compile(r"[ \t]*")
_KEY: Final = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|[A-Za-z0-9_-]+')
_STRING: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")|\'\'\'.*?\'{3,5}(?!\')|"(?:\\.|[^"\\])*"|\'[^\']*\'',
    re.DOTALL,
)
_BARE: Final = re.compile(r"[^,\]}#\n]+")


def lines(text: str) -> Mapping[Path, int]:
    """Each key's and each list item's line (from 1) in ``text``, which must be valid TOML."""
    reader = _Reader(text)
    reader.document()
    return reader.found


def line_of(found: Mapping[Path, int], path: Path) -> int:
    """The line of ``path``, or of the nearest table around it that is written down; 1 where there is none."""
    while path and path not in found:
        path = path[:-1]
    return found.get(path, 1)


@dataclass
class _Reader:
    text: str
    at: int = 0
    found: dict[Path, int] = field(default_factory=dict[Path, int])
    arrays: dict[Path, int] = field(default_factory=dict[Path, int])
    """Arrays of tables seen so far, each with the index of its newest table."""

    def document(self) -> None:
        table: Path = ()
        self._skip(_GAP)
        while self.at < len(self.text):
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_GAP)

    def _header(self) -> Path:
        """``[a.b]`` opens a table; ``[[a.b]]`` the next one of an array."""
        start, double = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if double else 1
        *outer, last = self._keys()
        self.at += 2 if double else 1
        path: Path = ()
        for key in outer:
            path = self._newest((*path, key))
        path = (*path, last)
        if not double:
            path = self._newest(path)
            self._note(path, start)
            return path
        self._note(path, start)
        self.arrays[path] = self.arrays.get(path, -1) + 1
        path = self._newest(path)
        self._note(path, start)
        return path

    def _newest(self, path: Path) -> Path:
        return (*path, self.arrays[path]) if path in self.arrays else path

    def _pair(self, table: Path) -> None:
        start = self.at
        path = table
        for key in self._keys():
            path = (*path, key)
            self._note(path, start)
        self.at += 1  # the equals sign
        self._value(path)

    def _keys(self) -> list[str]:
        """A dotted key; stops at what follows it."""
        keys: list[str] = []
        while True:
            self._skip(_BLANK)
            raw = self._take(_KEY)
            keys.append(next(iter(tomllib.loads(f"{raw} = 0"))))
            self._skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def _value(self, path: Path) -> None:
        self._skip(_BLANK)
        if self.text.startswith("[", self.at):
            self._items(path, "]")
        elif self.text.startswith("{", self.at):
            self._items(path, "}")
        elif self.text[self.at] in "\"'":
            self._take(_STRING)
        else:
            self._take(_BARE)

    def _items(self, path: Path, end: str) -> None:
        """The items of a list, or the pairs of an inline table."""
        self.at += 1
        index = 0
        self._skip(_GAP)
        while not self.text.startswith(end, self.at):
            if end == "}":
                self._pair(path)
            else:
                self._note((*path, index), self.at)
                self._value((*path, index))
            index += 1
            self._skip(_GAP)
            if self.text.startswith(",", self.at):
                self.at += 1
                self._skip(_GAP)
        self.at += 1

    def _skip(self, what: re.Pattern[str]) -> None:
        if match := what.match(self.text, self.at):
            self.at = match.end()

    def _take(self, what: re.Pattern[str]) -> str:
        match = what.match(self.text, self.at)
        assert match is not None, "tomllib accepted what this reader does not know"  # noqa: S101  # a bug of ours, tested by properties
        self.at = match.end()
        return match.group()

    def _note(self, path: Path, at: int) -> None:
        self.found.setdefault(path, self.text.count("\n", 0, at) + 1)
