"""One thing that the simulated BIG-IP does and nobody has seen a real one do.

Rule of this room: a value; the lists of them stand where they are made.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Assumption:
    """``text`` says what the simulation does, in a sentence; ``id`` names it for a test on a real device."""

    id: str
    text: str
