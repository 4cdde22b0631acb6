"""Warnings of cryptography that say nothing to an administrator, kept off the screen.

Rule of this room: one message at a time, by its words; everything else still shows. The warning filters belong to the whole
process (before Python 3.14), so one thread at a time changes them.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager

_FILTERS = threading.Lock()


@contextmanager
def quietly(message: str) -> Generator[None]:
    """Ignore a UserWarning whose text begins with ``message``."""
    with _FILTERS, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=message, category=UserWarning)
        yield
