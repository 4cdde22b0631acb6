"""Who gets a notice, and when one that could not be sent is tried again.

Rule of this file: pure; a target that is not configured any more gets nothing, and what waited for it is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

from lbsync.config.notices import NoticeSection
from lbsync.service.notices.values import Book, Box, Letter, Notice, NoticeState
from lbsync.watch.items import Level

FIRST: Final = timedelta(minutes=1)
MOST: Final = timedelta(hours=6)
KEPT: Final = 200
"""So many letters wait for one target; of more the oldest are given up, and counted."""
_ORDER: Final = (Level.OK, Level.WARNING, Level.CRITICAL)


def wants(target: NoticeSection, notice: Notice) -> bool:
    """Whether a target is told this."""
    return (
        notice.kind in target.kinds
        and any(fnmatchcase(notice.namespace, pattern) for pattern in target.namespaces)
        and _ORDER.index(notice.level) >= _ORDER.index(Level(target.min_level))
    )


def posted(book: Book, targets: Sequence[NoticeSection], notices: Iterable[Notice], now: datetime) -> Book:
    """The book with a letter for each target that wants each notice; the same notice waits once only."""
    letters = list(book.letters)
    waiting = {(letter.target, letter.notice.id) for letter in letters}
    for notice in notices:
        for target in targets:
            if wants(target, notice) and (target.name, notice.id) not in waiting:
                waiting.add((target.name, notice.id))
                letters.append(Letter(target=target.name, notice=notice, next_try=now))
    boxes = dict(book.boxes)
    kept: list[Letter] = []
    for target in targets:
        own = [letter for letter in letters if letter.target == target.name]
        if len(own) > KEPT:
            box = boxes.get(target.name, Box())
            boxes[target.name] = box.model_copy(update={"dropped": box.dropped + len(own) - KEPT})
        kept += own[-KEPT:]
    names = {target.name for target in targets}
    return book.model_copy(
        update={"letters": tuple(kept), "boxes": {name: box for name, box in boxes.items() if name in names}}
    )


def wait_after(tries: int) -> timedelta:
    """How long until the next try after ``tries`` that failed: a minute, then twice as long each time, six hours at most."""
    return min(FIRST * (1 << min(tries - 1, 20)), MOST)


def after(book: Book, letter: Letter, error: str, now: datetime) -> Book:
    """The book after a try; ``error`` is empty for one that was sent.

    A target that failed is left in peace: whatever else waits for it waits as long. One that works again gets all of it now.
    """
    box = book.boxes.get(letter.target, Box())
    letters: Iterator[Letter]
    if error:
        tried = letter.model_copy(
            update={"tries": letter.tries + 1, "error": error, "next_try": now + wait_after(letter.tries + 1)}
        )
        letters = (_delayed(one, letter, tried) for one in book.letters)
        box = box.model_copy(update={"failures": box.failures + 1, "failed_at": now, "error": error})
    else:
        letters = (
            one.model_copy(update={"next_try": min(one.next_try, now)}) if one.target == letter.target else one
            for one in book.letters
            if (one.target, one.notice.id) != (letter.target, letter.notice.id)
        )
        box = box.model_copy(update={"sent": box.sent + 1, "sent_at": now, "error": ""})
    return book.model_copy(update={"letters": tuple(letters), "boxes": {**book.boxes, letter.target: box}})


def _delayed(one: Letter, letter: Letter, tried: Letter) -> Letter:
    if one.target != letter.target:
        return one
    if one.notice.id == letter.notice.id:
        return tried
    return one.model_copy(update={"next_try": max(one.next_try, tried.next_try)})


def ripe(book: Book, now: datetime) -> Letter | None:
    """The letter to send now: the one that waits longest among those whose time has come."""
    return min((one for one in book.letters if one.next_try <= now), key=lambda one: one.next_try, default=None)


def next_try(book: Book) -> datetime | None:
    """When the next letter is to be sent; ``None`` where none waits."""
    return min((one.next_try for one in book.letters), default=None)


def shown(book: Book, targets: Sequence[NoticeSection]) -> tuple[NoticeState, ...]:
    """Each target as pages and the API show it."""
    return tuple(_shown(target, book.boxes, book.letters) for target in targets)


def _shown(target: NoticeSection, boxes: Mapping[str, Box], letters: Sequence[Letter]) -> NoticeState:
    box = boxes.get(target.name, Box())
    own = [letter for letter in letters if letter.target == target.name]
    return NoticeState(
        name=target.name,
        kinds=target.kinds,
        namespaces=target.namespaces,
        min_level=Level(target.min_level),
        sent=box.sent,
        failures=box.failures,
        dropped=box.dropped,
        pending=len(own),
        sent_at=box.sent_at,
        failed_at=box.failed_at,
        next_try=min((letter.next_try for letter in own), default=None),
        error=box.error,
    )
