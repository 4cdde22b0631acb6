"""What only the longer run has (``make longer``): variants whose sibling every run has, told as skipped and why."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

IS_LONGER = bool(os.environ.get("LBSYNC_LONGER"))
LONGER = pytest.mark.skipif(not IS_LONGER, reason="in the longer run only: LBSYNC_LONGER=1")


def one_now(values: Iterable[object], now: int = 1) -> list[Any]:
    """Values for ``parametrize``: the first ``now`` of them for every run, the rest for the longer one."""
    return [
        value if number < now else pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=LONGER)
        for number, value in enumerate(values)
    ]
