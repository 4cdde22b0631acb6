"""The run as this process knows it, always in step with the ledger.

Rule of this file: an event is checked by the fold, then written, then believed; in this order, under one lock.
"""

from __future__ import annotations

import logging
import threading

from lbsync.engine.port import Journal, Notice, Observer, Recorded
from lbsync.model import StepId
from lbsync.run import Event, Intended, Run, RunPhase, StepStatus

_log = logging.getLogger(__name__)


class Record:
    """A run and its journal. Safe to use from several threads."""

    def __init__(self, run: Run, journal: Journal, observer: Observer | None) -> None:
        self._run = run
        self._journal = journal
        self._observer = observer
        self._lock = threading.RLock()

    @property
    def run(self) -> Run:
        """The run at this moment."""
        with self._lock:
            return self._run

    def status(self, step_id: StepId) -> StepStatus:
        """What is known of a step."""
        return self.run.statuses[step_id]

    def emit(self, event: Event, *, expect: RunPhase | None = None) -> None:
        """Write an event and believe it. Raises IllegalEvent, LedgerError."""
        with self._lock:
            after = self._run.feed(event)
            self._journal.append(after.run_id, event, expect=expect)
            self._run = after
            self.tell(Recorded(event, after))

    def begin(self, intent: Intended, phase: RunPhase) -> bool:
        """Write an intent, unless the run has left ``phase`` in the meantime; true when the effect may happen."""
        with self._lock:
            if self._run.phase is not phase:
                return False
            self.emit(intent)
            return True

    def reload(self) -> None:
        """Learn what other processes wrote (a confirmation)."""
        with self._lock:
            self._run = self._journal.run(self._run.run_id)

    def tell(self, notice: Notice) -> None:
        """Tell the observer. A broken display must not tear a step: it is logged and not told again."""
        with self._lock:
            if self._observer is None:
                return
            try:
                self._observer(notice)
            except Exception as error:  # noqa: BLE001 - any fault of a display is kept away from the run
                self._observer = None
                _log.warning("progress is no longer shown: %s", type(error).__name__)
