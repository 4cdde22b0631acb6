"""The picture of the way: places of boxes, lines and words, once for wide screens and once for phones.

Rule of this file: pure geometry, in the units of the picture's own viewBox; colours and fonts are the style sheet's, so that no
style stands in a page.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lbsync.model import Mode
from lbsync.service.web.views.ways import Lane, Way

_LINE = 18
"""Height of a line of text."""
_WIDTH, _NARROW = 960, 336
_MOST = 6
"""Names in a box before it says how many more."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a title and lines below it."""

    x: int
    y: int
    width: int
    height: int
    title: str
    css: str
    lines: tuple[str, ...] = ()

    @property
    def middle(self) -> int:
        """Half its height."""
        return self.y + self.height // 2

    @property
    def words(self) -> tuple[tuple[int, str], ...]:
        """Each line with the height of its foot."""
        top = self.middle - (len(self.lines) * _LINE) // 2 + 5
        return tuple((top + (index + 1) * _LINE, line) for index, line in enumerate(self.lines))

    @property
    def head(self) -> int:
        """The height of the title's foot."""
        return self.middle - (len(self.lines) * _LINE) // 2 + 5


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text."""

    x: int
    y: int
    text: str
    css: str = ""


@dataclass(frozen=True, slots=True)
class Stroke:
    """A way of requests: a path with an arrow at its end, and a lock where it is encrypted."""

    path: str
    css: str
    lock: tuple[int, int] | None = None


@dataclass(slots=True)
class Picture:
    """Everything that is drawn."""

    id: str
    width: int
    height: int
    boxes: list[Box] = field(default_factory=list[Box])
    strokes: list[Stroke] = field(default_factory=list[Stroke])
    words: list[Words] = field(default_factory=list[Words])


def wide(ways: Sequence[Way], servers: Sequence[str]) -> Picture:
    """From left to right."""
    picture = Picture("wide", _WIDTH, 0)
    top = 8
    middles: list[int] = []
    for way in ways:
        height = max(sum(_lane_height(lane) for lane in way.lanes), 64 + _LINE * len(_few(way.balancers)))
        box = Box(300, top, 150, height, "Load balancer", way.sign.css, _few(way.balancers))
        picture.boxes.append(box)
        middles.append(box.middle)
        at = top + (height - sum(_lane_height(lane) for lane in way.lanes)) // 2
        for lane in way.lanes:
            _lane_across(picture, lane, at)
            at += _lane_height(lane)
        top += height + 20
    picture.height = max(top - 12, 110)
    client = Box(4, picture.height // 2 - 34, 140, 68, "Clients", "plain", ("Outlook, phones",))
    picture.boxes.insert(0, client)
    for middle in middles:
        path = f"M144 {client.middle} H222 V{middle} H292"
        picture.strokes.append(Stroke(path, "bridge", (258, middle)))
    picture.boxes.append(Box(806, 8, 150, picture.height - 16, "Exchange", "plain", _few(servers)))
    return picture


def narrow(ways: Sequence[Way], servers: Sequence[str]) -> Picture:
    """From top to bottom, each way for itself."""
    picture = Picture("narrow", _NARROW, 0)
    picture.boxes.append(Box(68, 2, 200, 40, "Clients", "plain"))
    at = 42
    for way in ways:
        picture.strokes.append(Stroke(f"M168 {at} V{at + 42}", "bridge", (168, at + 20)))
        names = _few(way.balancers)
        box = Box(8, at + 50, 320, 44 + _LINE * len(names), "Load balancer", way.sign.css, names)
        picture.boxes.append(box)
        at = box.y + box.height
        reach = max((len(lane.services) for lane in way.lanes), default=0) * _LINE + 58
        column = 320 // max(len(way.lanes), 1)
        for index, lane in enumerate(way.lanes):
            _lane_down(picture, lane, 8 + index * column, at, reach)
        at += reach + 8
        shown = _few(servers)
        picture.boxes.append(Box(8, at, 320, 44 + _LINE * len(shown), "Exchange", "plain", shown))
        at += 44 + _LINE * len(shown)
    picture.height = at + 4
    return picture


def _lane_height(lane: Lane) -> int:
    return _LINE * len(_wrapped(lane)) + _LINE + 46


def _wrapped(lane: Lane) -> list[str]:
    return textwrap.wrap(", ".join(_marked(lane)), 46, break_long_words=False)


def _marked(lane: Lane) -> Iterable[str]:
    """Services, those wanted in another mode with a sign."""
    return (f"{name}\u00a0(!)" if name in lane.wrong else name for name in lane.services)


def _lane_across(picture: Picture, lane: Lane, top: int) -> None:
    foot = top + 18
    for line in _wrapped(lane):
        picture.words.append(Words(472, foot, line))
        foot += _LINE
    line_at = foot + 2
    if lane.mode is not None:
        lock = (770, line_at) if lane.mode is Mode.BRIDGE else None
        picture.strokes.append(Stroke(f"M450 {line_at} H800", lane.css, lock))
    picture.words.append(Words(472, line_at + 22, _said(lane), "dim"))


def _lane_down(picture: Picture, lane: Lane, left: int, top: int, reach: int) -> None:
    if lane.mode is not None:
        lock = (left + 16, top + reach // 2) if lane.mode is Mode.BRIDGE else None
        picture.strokes.append(Stroke(f"M{left + 16} {top} V{top + reach}", lane.css, lock))
    picture.words.append(Words(left + 34, top + 24, _said(lane, brief=True), "dim"))
    for index, name in enumerate(_marked(lane)):
        picture.words.append(Words(left + 34, top + 24 + _LINE * (index + 1), name))


def _said(lane: Lane, *, brief: bool = False) -> str:
    match lane.mode:
        case Mode.BRIDGE:
            return "bridge" if brief else "bridge: TLS again to the servers"
        case Mode.OFFLOAD:
            return "offload" if brief else "offload: TLS ends here, plain HTTP inside"
        case None:
            return "not published"


def _few(names: Sequence[str]) -> tuple[str, ...]:
    """Names for a box: of many, the first and how many more."""
    if len(names) <= _MOST:
        return tuple(names)
    return (*names[: _MOST - 1], f"and {len(names) - _MOST + 1} more")
