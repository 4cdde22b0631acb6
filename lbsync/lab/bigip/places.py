"""Where in the object store a path of a URL points to.

Rule of this room: it parses; whether anything is there is for whoever looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lbsync.lab.bigip import errors
from lbsync.lab.bigip.kinds import KINDS, Kind, Sub
from lbsync.lab.bigip.names import absolute, untilde


@dataclass(frozen=True, slots=True)
class Place:
    """A collection (``path`` empty), an object, or something below it.

    ``steps`` end with an empty name for a sub-collection; ``stats`` asks for the numbers of whatever it is.
    """

    kind: Kind
    path: str = ""
    steps: tuple[tuple[Sub, str], ...] = ()
    stats: bool = False

    @property
    def collection(self) -> bool:
        """True where many objects lie."""
        return not self.path or bool(self.steps and not self.steps[-1][1])


def locate(segments: Sequence[str]) -> Place | None:
    """The place of segments below ``/mgmt/tm``; ``None`` where the store has no such collection. Raises Refusal."""
    for length in (3, 2):
        kind = KINDS.get("/".join(segments[:length]))
        if kind is not None and len(segments) >= length:
            return _inside(kind, segments[length:])
    return None


def _inside(kind: Kind, rest: Sequence[str]) -> Place:
    if not rest:
        return Place(kind)
    if rest == ["stats"]:
        return Place(kind, stats=True)
    name = untilde(rest[0])
    path = name if kind.bare else absolute(name)
    rest = rest[1:]
    stats = bool(rest) and rest[-1] == "stats"
    rest = rest[:-1] if stats else rest
    steps: list[tuple[Sub, str]] = []
    subs = kind.subs
    while rest:
        sub = next((one for one in subs if one.name == rest[0]), None)
        if sub is None:
            raise errors.Refusal(
                404, f"Found unexpected path element {rest[0]!r}", errors.REST
            )  # Assumption ``wording``.
        name = untilde(rest[1]) if len(rest) > 1 else ""
        steps.append((sub, name))
        subs, rest = sub.subs, rest[2:]
    return Place(kind, path, tuple(steps), stats)
