"""Ctrl-C and hang-ups while a run is under way.

Rule of this file: no signal ends the process between an intent and its result; the first one asks the engine to stop between
two steps. A run that waits for a confirmation survives the loss of its terminal.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

_inside: list[threading.Event] = []
"""Who is to be told, the outermost first: what stops a run stops the loop that began it, too."""


@contextmanager
def stopping(stop: threading.Event, say: Callable[[str], None], *, ignore_hangup: bool) -> Generator[None]:
    """Inside, Ctrl-C and SIGTERM set ``stop``; SIGHUP too, unless ``ignore_hangup``.

    Outside the main thread, where Python allows no handler, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def asked(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            say("Stopping already: the step under way ends first.")
            return
        for one in _inside:
            one.set()
        say("Stopping after the step under way.")

    _inside.append(stop)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, asked)
    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignore_hangup else asked)
    try:
        yield
    finally:
        _inside.remove(stop)
        for number, handler in before.items():
            signal.signal(number, handler)
