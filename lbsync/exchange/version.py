"""Exchange versions as three sources write them, brought to one form.

Rule of this room: pure text; it knows no product history.
"""

from __future__ import annotations

import re

from lbsync.errors import Rejected

_DISPLAY = re.compile(r"(?:Version\s+)?(\d+)\.(\d+)\s*\(Build\s+(\d+)\.(\d+)\)", re.IGNORECASE)
_DOTTED = re.compile(r"(\d+)\.(\d+)\.(\d+)\.(\d+)")


def normal_version(text: str) -> str:
    """``15.2.986.29`` from ``Version 15.2 (Build 986.29)`` (AdminDisplayVersion) or ``15.02.0986.029`` (ExSetup.exe).

    Raises Rejected ``bad_version`` for anything else.
    """
    found = _DISPLAY.fullmatch(text.strip()) or _DOTTED.fullmatch(text.strip())
    if found is None:
        raise Rejected(
            f"{text!r} is not an Exchange version; expected one like 15.2.986.5 or 15.02.0986.029.", code="bad_version"
        )
    return ".".join(str(int(part)) for part in found.groups())
