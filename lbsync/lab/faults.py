"""What goes wrong on the management side, by chance: seeded, at a low rate, never on the data path.

Rule of this room: the same seed gives the same faults for the same requests to a server in the same order.
"""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Generic, TypeVar


class Fault(StrEnum):
    """One mishap of one management request."""

    DROP_BEFORE = "drop-before"
    """The connection dies and nothing was done."""
    DROP_AFTER = "drop-after"
    """The connection dies after it was done: the caller cannot know."""
    WSMAN = "wsman-fault"
    """A WSMan fault, nothing done."""
    SLOW = "slow"
    """The answer takes its time."""


SLOW_S = (0.1, 0.6)
F = TypeVar("F", bound=StrEnum)


class Chance(Generic[F]):
    """Draws the fault of each request of one server or device; a derived class names the ``kinds`` there are."""

    kinds: tuple[F, ...]

    def __init__(self, rate: float, seed: int, name: str) -> None:
        """``rate`` is the share of requests (0 to 1) that meet a fault."""
        self.rate = rate
        self._random = random.Random(f"{seed}/{name}")
        self._next: list[F | None] = []

    def script(self, *faults: F | None) -> None:
        """Let the next requests meet exactly these (``None``: nothing), then chance again: for tests of one mishap."""
        self._next.extend(faults)

    def forget(self) -> None:
        """What is scripted and was not met yet is met no more."""
        self._next.clear()

    def draw(self) -> F | None:
        """The fault of the next request, ``None`` for nearly all."""
        if self._next:
            return self._next.pop(0)
        return self.by_chance()

    def by_chance(self) -> F | None:
        """What chance alone would have."""
        if self.rate <= 0 or self._random.random() >= self.rate:
            return None
        return self._random.choice(self.kinds)

    def pause_s(self) -> float:
        """How long a slow answer takes."""
        return self._random.uniform(*SLOW_S)


class Faults(Chance[Fault]):
    """Draws the fault of each request of one server."""

    kinds = tuple(Fault)
