"""Ask many servers at once: bounded threads, answers in order, one rejected login ends it.

Rule of this room: it counts and collects, and knows nothing of what is asked; no answer is kept longer than the caller does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from lbsync.errors import Denied, Rejected, TargetError, Unreachable

T = TypeVar("T")
R = TypeVar("R")

_TOLD = 8
"""So many failures are told one by one; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T, R]):
    """What came of one item: ``answer``, or ``error``; both ``None`` when it was not asked any more."""

    item: T
    answer: R | None = None
    error: TargetError | None = None


def fan_out(items: Sequence[T], work: Callable[[T], R], *, parallel: int) -> tuple[Outcome[T, R], ...]:
    """Do ``work`` for every item on at most ``parallel`` threads; outcomes in the order of the items.

    After a Denied no further item is begun. Errors other than TargetError are raised as they are.
    """
    denied = threading.Event()

    def one(item: T) -> Outcome[T, R]:
        if denied.is_set():
            return Outcome(item)
        try:
            return Outcome(item, answer=work(item))
        except Denied as error:
            denied.set()
            return Outcome(item, error=error)
        except TargetError as error:
            return Outcome(item, error=error)

    if not items:
        return ()
    with ThreadPoolExecutor(max_workers=min(parallel, len(items)), thread_name_prefix="lbsync-ask") as threads:
        return tuple(threads.map(one, items))


def answers(outcomes: Sequence[Outcome[T, R]]) -> list[R]:
    """Every answer, or one error that tells all failures together.

    Raises Denied where one was denied (it comes first), Unreachable where all failures were, else Rejected.
    """
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not failed:
        return [outcome.answer for outcome in outcomes if outcome.answer is not None]
    denied = next((error for error in failed if isinstance(error, Denied)), None)
    if denied is not None:
        raise denied
    if len(failed) == 1:
        raise failed[0]
    kind = Unreachable if all(isinstance(error, Unreachable) for error in failed) else Rejected
    raise kind(
        f"{len(failed)} of {len(outcomes)} could not be asked: {'; '.join(_told(failed))}",
        state="nothing was changed",
        remedy=failed[0].remedy,
        code=failed[0].code,
    )


def _told(failed: Sequence[TargetError]) -> Iterator[str]:
    for error in failed[:_TOLD]:
        yield f"{error.where}: {error.message}" if error.where else error.message
    if len(failed) > _TOLD:
        yield f"and {len(failed) - _TOLD} more"
