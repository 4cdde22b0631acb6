"""Durations as people write them: 90s, 10m, 2h."""

from __future__ import annotations

import re

import typer

_UNITS = {"s": 1, "m": 60, "h": 3600}
_LONGEST_S = 24 * 3600


def seconds(text: str) -> float:
    """``10m`` as seconds; a bare number is seconds. Raises typer.BadParameter."""
    match = re.fullmatch(r"(\d+)\s*([smh]?)", text.strip().lower())
    value = int(match[1]) * _UNITS[match[2] or "s"] if match else 0
    if not 0 < value <= _LONGEST_S:
        raise typer.BadParameter(f"{text} is no duration: write 90s, 10m or 2h, one day at most")
    return float(value)
