"""The post office: takes notices, keeps them on the disk, sends them one after another in a thread of its own.

Rule of this file: a notice leaves the disk when it was sent. What cannot be written to the disk is still sent. (The waits
between tries outlive the process and end at once when it stops, which is why they are kept here and not by stamina.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from pydantic import SecretStr, ValidationError

from lbsync.config.notices import NoticeSection
from lbsync.errors import SecretError
from lbsync.private import write_private
from lbsync.service.notices.due import due
from lbsync.service.notices.routing import after, next_try, posted, ripe, shown
from lbsync.service.notices.sending import Sender, send
from lbsync.service.notices.texts import Text, text_of
from lbsync.service.notices.values import Book, Letter, NoticeState, Told
from lbsync.service.port import NotFound
from lbsync.service.values import NamespaceState
from lbsync.watch.items import Level

NAME: Final = "notices.json"
_LARGEST_BYTES: Final = 50_000_000
_ASLEEP_S: Final = 3600.0
_LOG = structlog.stdlib.get_logger("lbsync.service.notices")


class Post:
    """The notices of one service. ``folder`` keeps ``notices.json``; ``secret`` resolves a reference, or raises SecretError."""

    def __init__(
        self,
        targets: Sequence[NoticeSection],
        folder: Path,
        secret: Callable[[str], SecretStr],
        *,
        expiry_days: Sequence[int] = (30, 14, 7, 1),
        templates: Path | None = None,
        sender: Sender = send,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._targets = {target.name: target for target in targets}
        self._path = folder / NAME
        self._secret, self._days, self._templates = secret, tuple(expiry_days), templates
        self._sender, self._now = sender, now
        self.testing: set[str] = set()
        """Targets that a test is on its way to: kept by who asks for one."""
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._book = posted(self._load(), tuple(targets), (), now())

    def start(self) -> None:
        """Begin to send, what waited on the disk first."""
        if self._targets and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lbsync-notices", daemon=True)
            self._thread.start()

    def close(self, within_s: float = 1.0) -> None:
        """End after the notice that is being sent, or sooner; what waits is on the disk, and may be sent twice."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(within_s)

    def tell(self, state: NamespaceState) -> None:
        """Post what is due of a namespace. Cheap where nothing is."""
        if not self._targets:
            return
        with self._changed:
            told = self._book.told.get(state.name, Told())
            found = due(state, told, self._days, self._now())
            if found.told == told and not found.notices:
                return
            book = self._book.model_copy(update={"told": {**self._book.told, state.name: found.told}})
            self._keep(posted(book, tuple(self._targets.values()), found.notices, self._now()))
            self._changed.notify_all()

    def states(self) -> tuple[NoticeState, ...]:
        """How it stands with each target. From memory: a book is replaced and never changed, so nobody waits for a slow disk."""
        return shown(self._book, tuple(self._targets.values()))

    def test(self, name: str) -> str:
        """Send a test to one target now; returns why it failed, or an empty text. Raises NotFound."""
        return self._send(_named(tuple(self._targets.values()), name), TEST, Level.OK)

    def work(self) -> datetime | None:
        """Send what is ripe; when to come back, ``None`` where nothing waits."""
        while not self._stopping:
            with self._changed:
                letter = ripe(self._book, self._now())
                if letter is None:
                    return next_try(self._book)
            try:
                error = self._deliver(letter)
            except Exception as fault:  # noqa: BLE001  # any: see below
                # One letter that cannot be told must not end the thread that tells all others.
                _LOG.exception("notice not made", target=letter.target, notice=letter.notice.id)
                error = f"it could not be made: {type(fault).__name__}"
            with self._changed:
                self._keep(after(self._book, letter, error, self._now()))
            if error:
                _LOG.warning("notice not sent", target=letter.target, notice=letter.notice.id, error=error)
            else:
                _LOG.info("notice sent", target=letter.target, notice=letter.notice.id)
        return None

    def _run(self) -> None:
        while not self._stopping:
            back = self.work()
            with self._changed:
                if self._stopping or ripe(self._book, self._now()) is not None:
                    continue
                waits = _ASLEEP_S if back is None else (back - self._now()).total_seconds()
                self._changed.wait(min(max(waits, 0.1), _ASLEEP_S))

    def _deliver(self, letter: Letter) -> str:
        text = text_of(letter.notice, self._templates)
        late = (
            f"\n\n(Tried {letter.tries + 1} times since {letter.notice.at:%Y-%m-%d %H:%M} UTC.)" if letter.tries else ""
        )
        target = self._targets[letter.target]
        return self._send(target, Text(text.title, text.body + late), letter.notice.level)

    def _send(self, target: NoticeSection, text: Text, level: Level) -> str:
        """Why it failed, for whoever may see a page: where an address lies, and why it cannot be read, is for the log."""
        try:
            return _sent(target, text, level, self._secret, self._sender)
        except SecretError as error:
            _LOG.warning("the address of a target cannot be read", target=target.name, error=str(error))
            return f"the address of {target.name} cannot be read: the log of the service says why"

    def _keep(self, book: Book) -> None:
        self._book = book
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(self._path, book.model_dump_json() + "\n")
        except OSError as error:
            _LOG.warning("what was told is not kept", file=str(self._path), error=error.strerror)

    def _load(self) -> Book:
        """What is remembered. A file that cannot be read is put aside: what was told may then be told once more."""
        try:
            with self._path.open("rb") as file:
                return Book.model_validate_json(file.read(_LARGEST_BYTES))
        except FileNotFoundError:
            return Book()
        except OSError as error:
            reason = error.strerror
        except ValidationError:
            reason = "damaged, or of another version"
            self._path.replace(self._path.with_suffix(".damaged"))
        _LOG.warning("notices are remembered anew", file=str(self._path), error=reason)
        return Book()


TEST: Final = Text("lbsync: a test", "If you read this, notices of lbsync arrive here. Nothing has happened.")


def send_test(
    targets: Sequence[NoticeSection], name: str, secret: Callable[[str], SecretStr], sender: Sender = send
) -> str:
    """Send a test to one target now; returns why it failed, for who has the configuration, or an empty text. Raises NotFound."""
    try:
        return _sent(_named(targets, name), TEST, Level.OK, secret, sender)
    except SecretError as error:
        return str(error)


def _named(targets: Sequence[NoticeSection], name: str) -> NoticeSection:
    found = next((target for target in targets if target.name == name), None)
    if found is None:
        names = ", ".join(target.name for target in targets)
        raise NotFound(
            "there is no such target of notices",
            where=name,
            state="nothing was sent",
            remedy=f"one of: {names}" if names else "add a table [[service.notices]]",
            code="unknown-notice",
        )
    return found


def _sent(target: NoticeSection, text: Text, level: Level, secret: Callable[[str], SecretStr], sender: Sender) -> str:
    return sender(secret(target.url), text, level)
