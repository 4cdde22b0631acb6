"""The seal that tells a file of ours from an edited one.

Rule of this room: pure. Each text file begins with a line that names lbsync and holds the SHA-256 of the rest: whoever edits it
breaks the seal, and lbsync then refuses to overwrite what somebody wrote.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Literal

from lbsync.errors import Rejected

Seal = Literal["absent", "intact", "edited", "foreign"]

_HEADER = "# Owned by lbsync: do not edit, an edited file is not overwritten. sha256:"
_SEALED = re.compile(re.escape(_HEADER) + r"([0-9a-f]{64})\n")


def seal(body: str) -> str:
    """A file's text with its header, a comment in every product's configuration."""
    return f"{_HEADER}{_digest(body)}\n{body}"


def body_of(text: str) -> str:
    """A sealed file's text without its header; a text without one as it is."""
    found = _SEALED.match(text)
    return text[found.end() :] if found else text


def seal_of(text: str | None) -> Seal:
    """Whether a file is ours and as we wrote it."""
    if text is None:
        return "absent"
    found = _SEALED.match(text)
    if not found:
        return "foreign"
    return "intact" if found.group(1) == _digest(text[found.end() :]) else "edited"


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def refuse_edited(texts: Mapping[str, str | None]) -> None:
    """``texts`` is by path. Raises Rejected where somebody wrote or edited one."""
    for path, text in texts.items():
        if seal_of(text) in {"edited", "foreign"}:
            raise Rejected(
                "the file was written or edited by somebody else, and is not overwritten",
                where=path,
                state="nothing was changed",
                remedy="take the edit out again; or, where no run is to be taken back, remove the file and plan again",
                code="edited",
            )
