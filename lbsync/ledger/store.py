"""The ledger: every event of every run, appended and never changed, in one SQLite file.

Rule of this file: an event is on the disk (WAL, synchronous=FULL) before ``append`` returns, and no event holds a secret.
Each row carries the hash of the row before it, so that a change to any row but the last ones cut off shows; note the head
(``verify_chain``) elsewhere to see a cut as well. It never learns what an event means beyond the phase of its run.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import JsonValue

from lbsync.errors import LedgerError
from lbsync.ledger.lock import RunLock
from lbsync.ledger.trouble import create_private, told_as_ledger_errors
from lbsync.run import Entry, Event, Head, IllegalEvent, Run, RunPhase, RunStarted, RunSummary, advance, load_event

APPLICATION_ID = 0x4C425359
"""``LBSY``: how the file says that it is a ledger of lbsync."""
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 10.0
GENESIS = "0" * 64

_SCHEMA = (
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY, run TEXT NOT NULL, kind TEXT NOT NULL, phase TEXT NOT NULL, at TEXT NOT NULL,
        payload TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL UNIQUE) STRICT""",
    "CREATE INDEX events_of_run ON events (run, seq)",
    "CREATE TRIGGER no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
    "CREATE TRIGGER no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")


class SecretRefused(LedgerError):
    """An event held a secret and was not written: a bug in lbsync or in a provider."""


class PhaseChanged(LedgerError):
    """Another process moved the run on in the meantime; nothing was written."""


def private_key_in(text: str) -> str | None:
    """What secret a text holds, by its PEM marker; ``None`` for none."""
    return "a PEM private key" if _PRIVATE_KEY.search(text) else None


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """An open ledger. Safe to use from several threads and processes.

    ``forbidden`` names the secret in a text, or ``None``; it is asked about every text of an event, besides the search for
    PEM private keys. ``now`` stamps events. Raises LedgerError from every method: the file cannot be opened, written or read,
    or is none of ours.
    """

    def __init__(
        self,
        path: Path,
        *,
        forbidden: Callable[[str], str | None] | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.path = path
        self._forbidden = forbidden
        self._now = now
        self._lock = threading.RLock()
        with told_as_ledger_errors(path):
            create_private(path)
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            with told_as_ledger_errors(path):
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def lock(self, run_id: str) -> RunLock:
        """The lock to hold, as a context manager, while ``run_id`` works; see RunLock."""
        return RunLock(self.path, run_id)

    def append(self, run_id: str, event: Event, *, expect: RunPhase | None = None) -> RunPhase:
        """Write an event and return the phase its run is in afterwards; on the disk when this returns.

        With ``expect``, only if the run is in that phase still: PhaseChanged otherwise, so that two processes cannot both
        decide. Raises IllegalEvent for an event the run's phase does not allow, SecretRefused for one with a secret.
        """
        content: JsonValue = event.model_dump(mode="json")
        self._refuse_secrets("\n".join(_strings(content)))
        payload = _canonical(content)
        with self._transaction("BEGIN IMMEDIATE"):
            before = self._phase(run_id)
            if expect is not None and before is not expect:
                found = before.value if before else "unknown"
                raise PhaseChanged(f"run {run_id} is {found}", where=str(self.path), code="phase-changed")
            phase = self._advance(run_id, before, event)
            seq, prev = self._db.execute(
                "SELECT coalesce(max(seq), 0), coalesce((SELECT hash FROM events ORDER BY seq DESC LIMIT 1), ?) FROM events",
                (GENESIS,),
            ).fetchone()
            row = (seq + 1, run_id, event.kind, phase.value, self._now().astimezone(UTC).isoformat(), payload, prev)
            self._db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, _digest(row)))
        return phase

    def events(self, run_id: str) -> tuple[Entry, ...]:
        """Everything that happened to a run, oldest first. Raises LedgerError for an unknown run."""
        with self._transaction("BEGIN"):
            rows = self._db.execute(
                "SELECT seq, at, payload, hash FROM events WHERE run = ? ORDER BY seq", (run_id,)
            ).fetchall()
        if not rows:
            raise self._unknown(run_id)
        try:
            return tuple(Entry(seq, datetime.fromisoformat(at), load_event(text), mark) for seq, at, text, mark in rows)
        except ValueError as error:
            raise self._damaged(f"an event of run {run_id} cannot be read") from error

    def run(self, run_id: str) -> Run:
        """The run, folded from its events. Raises LedgerError for an unknown run."""
        return Run.replay(entry.event for entry in self.events(run_id))

    def phase(self, run_id: str) -> RunPhase:
        """The phase of a run, without reading its events: cheap enough to poll. Raises LedgerError for an unknown run."""
        with self._transaction("BEGIN"):
            phase = self._phase(run_id)
        if phase is None:
            raise self._unknown(run_id)
        return phase

    def runs(self) -> tuple[RunSummary, ...]:
        """Every run at a glance, the newest first."""
        with self._transaction("BEGIN"):
            rows = self._db.execute(
                """SELECT first.run, first.payload ->> '$.plan.farm', first.payload ->> '$.actor',
                    first.payload ->> '$.host', first.payload ->> '$.started', last.at, last.phase, last.kind,
                    first.payload ->> '$.order'
                FROM (SELECT min(seq) AS born, max(seq) AS newest FROM events GROUP BY run) AS ends
                JOIN events AS first ON first.seq = ends.born JOIN events AS last ON last.seq = ends.newest
                ORDER BY born DESC"""
            ).fetchall()
        try:
            return tuple(
                RunSummary(
                    run_id=run_id,
                    farm=farm,
                    actor=actor,
                    host=host,
                    started=datetime.fromisoformat(started),
                    last=datetime.fromisoformat(last),
                    phase=RunPhase(phase),
                    interrupted=kind == "interrupted",
                    order=order,
                )
                for run_id, farm, actor, host, started, last, phase, kind, order in rows
            )
        except (ValueError, TypeError) as error:
            raise self._damaged("a run cannot be read") from error

    def latest_unfinished(self) -> str | None:
        """The newest run that a process should be working on; ``None`` when all came to rest."""
        return next((found.run_id for found in self.runs() if found.phase.unfinished), None)

    def resolve(self, text: str = "latest") -> str:
        """The id of the one run whose id starts with ``text``; ``latest`` is the newest. Raises LedgerError."""
        runs = [found.run_id for found in self.runs()]
        found = runs[:1] if text == "latest" else [run for run in runs if run.startswith(text)]
        if text in found:
            return text
        if len(found) == 1:
            return found[0]
        raise LedgerError(
            f"{len(found)} runs start with {text}" if found else "there is no such run",
            where=str(self.path),
            state="the runs are: " + ", ".join(runs[:5]) if runs else "the ledger is empty",
            remedy="`lbsync runs` lists them",
            code="unknown-run",
        )

    def verify_chain(self) -> Head:
        """Recompute every hash; the head of the chain, to be noted elsewhere. Raises LedgerError at the first bad row."""
        prev, count = GENESIS, 0
        with self._transaction("BEGIN"):
            for row in self._db.execute(
                "SELECT seq, run, kind, phase, at, payload, prev, hash FROM events ORDER BY seq"
            ):
                count += 1
                if row[0] != count or row[6] != prev or row[7] != _digest(row[:7]):
                    raise LedgerError(
                        f"event {count} is not what was written",
                        where=str(self.path),
                        state="the ledger was changed by something else than lbsync, or is damaged",
                        remedy="do not roll back from it; compare it with a backup of the file",
                        code="chain-broken",
                    )
                prev = row[7]
        return Head(count, prev)

    def _prepare(self) -> None:
        """Settings of the connection; the schema in a file that is empty."""
        self._db.execute("PRAGMA trusted_schema = OFF")
        # In this order: the process that creates it commits tables and id together, and may do so between two readings.
        (objects,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (ours,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if ours != APPLICATION_ID and objects:
            raise self._not_ours("the file is a database, but no ledger", "name another file")
        if version > SCHEMA_VERSION:
            raise self._not_ours("the ledger was written by a newer lbsync", "use that version, or a newer one")
        (journal,) = self._db.execute("PRAGMA journal_mode = WAL").fetchone()
        if journal != "wal":
            raise self._not_ours("the file system cannot hold a ledger", "move it to a local disk")
        self._db.execute("PRAGMA synchronous = FULL")
        if not objects:
            with self._transaction("BEGIN IMMEDIATE"):
                # Another process may have been quicker.
                if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    for statement in _SCHEMA:
                        self._db.execute(statement)

    @contextmanager
    def _transaction(self, begin: str) -> Generator[None]:
        with self._lock, told_as_ledger_errors(self.path):
            self._db.execute(begin)
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # SQLite rolls back by itself on some errors (a full disk among them).
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _phase(self, run_id: str) -> RunPhase | None:
        row = self._db.execute("SELECT phase FROM events WHERE run = ? ORDER BY seq DESC LIMIT 1", (run_id,)).fetchone()
        return None if row is None else RunPhase(row[0])

    def _advance(self, run_id: str, phase: RunPhase | None, event: Event) -> RunPhase:
        if phase is not None:
            return advance(phase, event)
        if not isinstance(event, RunStarted):
            raise self._unknown(run_id)
        if event.run_id != run_id:
            raise IllegalEvent(f"run {event.run_id} cannot start as {run_id}", code="illegal-event")
        return RunPhase.APPLYING

    def _refuse_secrets(self, text: str) -> None:
        found = private_key_in(text) or (self._forbidden(text) if self._forbidden else None)
        if found is not None:
            raise SecretRefused(
                f"an event held {found} and was not written",
                where=str(self.path),
                remedy="this is a bug in lbsync or in a provider: report it",
                code="secret",
            )

    def _unknown(self, run_id: str) -> LedgerError:
        return LedgerError(
            f"there is no run {run_id}", where=str(self.path), remedy="`lbsync runs` lists them", code="unknown-run"
        )

    def _damaged(self, message: str) -> LedgerError:
        return LedgerError(
            message, where=str(self.path), remedy="keep the file and restore it from a backup", code="corrupt"
        )

    def _not_ours(self, message: str, remedy: str) -> LedgerError:
        return LedgerError(
            message, where=str(self.path), state="it was left as it is", remedy=remedy, code="not-a-ledger"
        )


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _strings(value: JsonValue) -> Iterator[str]:
    """Every text in a value, as it was before JSON escaped it: keys, values and list items."""
    match value:
        case str():
            yield value
        case dict():
            for name, item in value.items():
                yield name
                yield from _strings(item)
        case list():
            for item in value:
                yield from _strings(item)
        case _:
            pass


def _digest(row: tuple[object, ...]) -> str:
    return hashlib.sha256(_canonical(row).encode()).hexdigest()
