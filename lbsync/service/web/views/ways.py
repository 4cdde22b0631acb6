"""The way of a request: client, balancers, servers, and where each service's TLS ends.

Rule of this file: pure; balancers that do the same are one. What is drawn (``picture``) and what the table beside it says come
from the same value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lbsync.model import Mode
from lbsync.service.values import Lamp, ListenerState, ModeState, NamespaceState
from lbsync.service.web.views.words import LAMPS, SERVICES, Sign, joined, mode_words

_ORDER: tuple[Mode | None, ...] = (Mode.BRIDGE, Mode.OFFLOAD, None)


@dataclass(frozen=True, slots=True)
class Lane:
    """Services that go the same way; ``wrong`` are those of them that are wanted in another mode."""

    mode: Mode | None
    services: tuple[str, ...]
    wrong: tuple[str, ...]

    @property
    def css(self) -> str:
        """The line's class."""
        return self.mode.value if self.mode is not None else "none"


@dataclass(frozen=True, slots=True)
class Way:
    """Balancers that do the same for every service. ``sign`` is the worst light of their listeners."""

    balancers: tuple[str, ...]
    sign: Sign
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a service at balancers that do the same."""

    service: str
    balancers: tuple[str, ...]
    mode: str
    css: str
    wanted: str
    right: bool


def ways(state: NamespaceState) -> tuple[Way, ...]:
    """Every way there is, in the balancers' order; none before the first look."""
    by_balancer: dict[str, list[ModeState]] = {}
    for one in state.modes:
        by_balancer.setdefault(one.balancer, []).append(one)
    alike: dict[tuple[tuple[str, Mode | None, Mode], ...], list[str]] = {}
    for name, modes in by_balancer.items():
        alike.setdefault(tuple((one.service.value, one.mode, one.wanted) for one in modes), []).append(name)
    return tuple(
        Way(tuple(names), _worst(state.listeners, names), tuple(_lanes(by_balancer[names[0]])))
        for names in alike.values()
    )


def rows(state: NamespaceState) -> tuple[Row, ...]:
    """The same facts as a table: by service, then by what is done."""
    found: dict[tuple[str, Mode | None, Mode], list[str]] = {}
    for one in sorted(state.modes, key=lambda mode: tuple(SERVICES).index(mode.service)):
        found.setdefault((SERVICES[one.service], one.mode, one.wanted), []).append(one.balancer)
    return tuple(
        Row(
            service,
            tuple(balancers),
            mode_words(mode),
            mode.value if mode is not None else "none",
            wanted.value,
            right=mode is wanted,
        )
        for (service, mode, wanted), balancers in found.items()
    )


def told(state: NamespaceState, found: Iterable[Way]) -> str:
    """The picture in words, for who does not see it."""
    lines = ["Clients speak TLS to every balancer."]
    for way in found:
        for lane in way.lanes:
            what = {
                Mode.BRIDGE: "are encrypted again to the servers",
                Mode.OFFLOAD: "go to the servers as plain HTTP",
                None: "are not published",
            }[lane.mode]
            lines.append(f"At {joined(way.balancers)}: {', '.join(lane.services)} {what}.")
    names = [server.name for server in state.servers]
    return " ".join([*lines, f"Servers: {joined(names)}." if names else ""]).strip()


def _lanes(modes: Iterable[ModeState]) -> Iterable[Lane]:
    by_mode: dict[Mode | None, list[ModeState]] = {}
    for one in modes:
        by_mode.setdefault(one.mode, []).append(one)
    for mode in _ORDER:
        if found := by_mode.get(mode):
            names = tuple(SERVICES[one.service] for one in found)
            wrong = tuple(SERVICES[one.service] for one in found if mode is not None and one.wanted is not mode)
            yield Lane(mode, names, wrong)


def _worst(listeners: Iterable[ListenerState], names: Iterable[str]) -> Sign:
    seen = {listener.light for listener in listeners if listener.balancer in set(names)}
    return next((sign for lamp, sign in LAMPS.items() if lamp in seen), LAMPS[Lamp.UNKNOWN])
