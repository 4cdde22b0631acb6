"""A balancer's sealed text files as plans carry them: read from an image or an action, and compared for the eye.

Rule of this room: pure; ``None`` stands for a file that is absent.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from lbsync.kit.seal import body_of

_DIFF_LINES = 40


def texts_of(files: JsonValue, names: Iterable[str]) -> dict[str, str | None]:
    """The texts of these files from a table of an image or an action. Raises TypeError where it is no table."""
    if not isinstance(files, Mapping):
        raise TypeError("files must be a table: this was not read or lowered by this provider")
    return {name: text if isinstance(text := files.get(name), str) else None for name in names}


def differences(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> tuple[str, ...]:
    """What changes, line by line without the seals, in the order of ``after``; a long list is cut.

    Only the files that ``after`` names are looked at; a new or a removed one is one line.
    """
    lines: list[str] = []
    for name, new in after.items():
        old = before.get(name)
        if old is None or new is None:
            lines += [f"{sign} {name} ({_length(text)} lines)" for sign, text in (("-", old), ("+", new)) if text]
        elif body_of(old) != body_of(new):
            lines += difflib.unified_diff(
                body_of(old).splitlines(), body_of(new).splitlines(), name, name, "", "", 0, ""
            )
    if len(lines) > _DIFF_LINES:
        return (*lines[:_DIFF_LINES], f"… and {len(lines) - _DIFF_LINES} lines more")
    return tuple(lines)


def _length(text: str) -> int:
    return len(body_of(text).splitlines())
