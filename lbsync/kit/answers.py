"""Answering checks: one look, one line for a person; what every balancer's provider does alike.

Rule of this room: a balancer that cannot be reached is no error but a "not yet": the engine asks again until the deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import JsonValue

from lbsync.errors import Unreachable
from lbsync.model import Check, CheckResult

D = TypeVar("D")


def answer(verbs: Mapping[str, Callable[[D, Check], CheckResult]], device: D, check: Check) -> CheckResult:
    """One check, answered by the verb's own function. Raises TargetError where it cannot be asked, ValueError for no verb."""
    asked = verbs.get(check.verb)
    if asked is None:
        raise ValueError(f"no such check: {check.verb}")
    try:
        return asked(device, check)
    except Unreachable as error:
        return CheckResult(passed=False, detail=str(error))


def gone(place: str, *, there: bool) -> CheckResult:
    """Whether a certificate is gone from ``place``, its file or object."""
    return CheckResult(passed=not there, detail=f"{place} is {'still there' if there else 'gone'}")


def number(value: JsonValue, default: int) -> int:
    """An argument that is a whole number."""
    return value if isinstance(value, int) else default


def seconds(value: JsonValue) -> float:
    """An argument that is a time; anything else is none."""
    return float(value) if isinstance(value, int | float) else 0.0


def short(digest: JsonValue) -> str:
    """The beginning of a digest, for a person."""
    return str(digest)[:12] if digest else "nothing"
