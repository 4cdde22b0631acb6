"""What ``nginx -T`` prints: every file NGINX would load, as a tree of directives.

Rule of this room: pure, and read-only: the administrator's text is understood, never written, and none of it is quoted in a
message or a fact, since it may hold secrets. crossplane splits the text into words; which file stands where is followed here,
since crossplane itself reads includes from the local disk and these files may be another host's.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import posixpath
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_FILE = re.compile(r"^# configuration file (/[^\n]*):$", re.MULTILINE)
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive; ``block`` is ``None`` for one without. Includes are replaced by what they include."""

    name: str
    args: tuple[str, ...]
    where: str
    block: tuple[Directive, ...] | None = None


@dataclass(frozen=True, slots=True)
class Include:
    """An include as it is written: the pattern made absolute, and the blocks it stands in, outermost first."""

    pattern: str
    within: tuple[str, ...]

    def covers(self, path: str) -> bool:
        """Whether a file at ``path`` would be included, there or not; as glob(3) has it."""
        wanted, given = path.split("/"), self.pattern.split("/")
        return len(wanted) == len(given) and all(
            fnmatch.fnmatchcase(name, mask) and (not name.startswith(".") or mask.startswith("."))
            for name, mask in zip(wanted, given, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Dump:
    """All files by path, the main one first."""

    files: Mapping[str, str]
    main: str

    def digest(self, ours: Iterable[str]) -> str:
        """SHA-256 over every file but ``ours``: what the administrator has on the disk now."""
        own = frozenset(ours)
        parts = sorted((path, text) for path, text in self.files.items() if path not in own)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def parse_dump(text: str, main: str) -> Dump:
    """The files in what ``nginx -T`` printed; ``main`` is the one it was given."""
    marks = list(_FILE.finditer(text))
    files: dict[str, str] = {}
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=True) if marks else ():
        files.setdefault(mark[1], text[mark.end() + 1 : end].removesuffix("\n"))
    return Dump(files, main if main in files else next(iter(files), main))


def tree_of(dump: Dump) -> tuple[tuple[Directive, ...], tuple[Include, ...]]:
    """Every directive with includes followed, and the includes themselves. Raises ValueError for what is no configuration."""
    includes: list[Include] = []
    reader = _Reader(dump, includes)
    return tuple(reader.file(dump.main, (), 0)), tuple(includes)


class _Reader:
    def __init__(self, dump: Dump, includes: list[Include]) -> None:
        self._dump = dump
        self._includes = includes

    def file(self, path: str, within: tuple[str, ...], depth: int) -> Iterator[Directive]:
        if depth > _DEEPEST:
            raise ValueError(f"{path}: includes go in a circle")
        yield from self._block(_words(self._dump.files.get(path, ""), path), path, within, depth)

    def _block(
        self, words: Iterator[tuple[str, int, bool]], path: str, within: tuple[str, ...], depth: int
    ) -> Iterator[Directive]:
        for name, line, quoted in words:
            if name == "}" and not quoted:
                return
            args: list[str] = []
            end = ""
            for word, _, in_quotes in words:
                if word in {";", "{", "}"} and not in_quotes:
                    end = word
                    break
                args.append(word)
            if name == "include" and args:
                yield from self._included(args[0], within, depth)
                continue
            inner = tuple(self._block(words, path, (*within, name), depth)) if end == "{" else None
            yield Directive(name, tuple(args), f"{path} line {line}", inner)

    def _included(self, pattern: str, within: tuple[str, ...], depth: int) -> Iterator[Directive]:
        absolute = posixpath.normpath(posixpath.join(posixpath.dirname(self._dump.main), pattern))
        include = Include(absolute, within)
        self._includes.append(include)
        for path in sorted(self._dump.files):
            if include.covers(path):
                yield from self.file(path, within, depth + 1)


def _words(text: str, path: str) -> Iterator[tuple[str, int, bool]]:
    """Words with their lines; quoted ones are told, comments left out. Raises ValueError."""
    import crossplane
    from crossplane.errors import NgxParserBaseException

    with (
        tempfile.TemporaryFile() as file
    ):  # it has no name: crossplane opens files only, and takes a descriptor for one
        file.write(text.encode())
        file.seek(0)
        try:
            found = list(crossplane.lex(os.dup(file.fileno())))
        except NgxParserBaseException as error:
            raise ValueError(f"{path}: {error.strerror}") from error
    return iter([word for word in found if word[2] or not word[0].startswith("#")])
