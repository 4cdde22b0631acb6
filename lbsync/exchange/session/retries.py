"""A few bounded, jittered repetitions, by stamina, without its printing.

Rule of this room: it repeats and knows nothing of what. Nothing is printed: what happened is for the debug log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache

import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

_LOG = logging.getLogger(__name__)


def _note(details: RetryDetails) -> None:
    # The exception's text is left out: the caller shows the last one.
    _LOG.debug("again in %.1f s after %s", details.wait_for, type(details.caused_by).__name__)


@cache
def _quiet() -> None:
    set_on_retry_hooks((_note,))


def attempts(
    again: Callable[[Exception], bool], *, count: int, timeout_s: float, first_s: float, longest_s: float
) -> Iterator[AbstractContextManager[object]]:
    """Contexts to try in: at most ``count``, within ``timeout_s``, waiting between ``first_s`` and ``longest_s`` (seconds)."""
    _quiet()
    yield from stamina.retry_context(
        on=again, attempts=count, timeout=timeout_s, wait_initial=first_s, wait_max=longest_s, wait_jitter=first_s
    )
