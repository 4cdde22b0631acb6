"""``tmOptions`` of the SSL profiles, and the one among them that came with TLS 1.3.

Rule of this room: one spelling, a list of words, for what versions write in two ways.
"""

from __future__ import annotations

from typing import cast

NO_TLS13 = "no-tlsv1.3"
_TLS13_SINCE = 14


def knows_tls13(version: str) -> bool:
    """TLS 1.3, and the option to do without it, came with 14.0."""
    return int(version.partition(".")[0]) >= _TLS13_SINCE


def option_words(value: object) -> list[str]:
    """``tmOptions`` as a list, however it was written."""
    if isinstance(value, str):
        return [word for word in value.strip("{} ").split() if word != "none"]
    return [str(word) for word in cast("list[object]", value or [])]
