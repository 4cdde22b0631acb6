"""What is seen from outside while a run is on its way, and after it: the canary and the probes, as evidence for a report.

Rule of this file: it starts and stops what asks, and turns answers into evidence; what they mean, ``verdict`` says.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lbsync.canary import Canary
from lbsync.cli.proofs import proofs_of, summary_of
from lbsync.engine import Notice, Recorded
from lbsync.report import Canary as CanaryNumbers
from lbsync.report import Evidence
from lbsync.run import Direction, Intended

if TYPE_CHECKING:
    from lbsync.canary import CanaryReport
    from lbsync.cli.command import Session
    from lbsync.cli.house import House, Look
    from lbsync.cli.running import Story
    from lbsync.verdict import Evidence as Seen
    from lbsync.verdict import Expected

CANARY_PATHS = (
    "/owa/healthcheck.htm",
    "/ews/healthcheck.htm",
    "/mapi/healthcheck.htm",
    "/autodiscover/healthcheck.htm",
)
_SHOWN_ERRORS = 10


class Watch:
    """A canary at work during a run. An observer of the engine too: it knows when a listener is taken away on purpose."""

    def __init__(self, canary: Canary, balancers: frozenset[str]) -> None:
        self._canary = canary
        self._balancers = balancers

    def __call__(self, notice: Notice) -> None:
        """Taking back what was added to a balancer takes its listener away: the measurement ends there, before it."""
        match notice:
            case Recorded(event=Intended(direction=Direction.UNDO, step=step_id), run=run):
                step = run.step(step_id)
                if step.sign == "+" and step.target in self._balancers:
                    self._canary.stop()
            case _:
                pass


@contextmanager
def watching(screen: Session, house: House, story: Story, title: str, *, wanted: bool) -> Generator[Watch | None]:
    """Inside, a canary asks every listener all the while; what it counted joins the story.

    A question counts from its first good answer on, so that the canary may begin before anything is published. Yields
    ``None`` where none is wanted or there is nothing to ask.
    """
    prober = house.prober
    if not wanted or not prober.listeners:
        yield None
        return
    canary = Canary(
        prober.listeners,
        prober.hosts[0],
        house.client_ca_pem,
        CANARY_PATHS,
        timeout_s=house.config.limits.connect_timeout_s,
    )
    at = datetime.now(UTC)
    canary.start()
    try:
        yield Watch(canary, frozenset(listener.balancer for listener in prober.listeners))
    finally:
        counted = canary.stop()
        story.evidence.append(Evidence(title=title, at=at, canary=_numbers(counted)))
        _say(screen, counted)


def look_from_outside(screen: Session, house: House, look: Look, story: Story) -> Seen:
    """Ask everything once from outside, say it in a line, and keep it for the report."""
    at = datetime.now(UTC)
    with screen.busy("looking from outside"):
        seen = house.prober.probe_all(expected(look))
    story.evidence.append(Evidence(title="Seen from outside", at=at, proofs=proofs_of(seen)))
    screen.result(f"Seen from outside: {summary_of(seen)}.")
    return seen


def expected(look: Look) -> Expected:
    """What must be seen from outside once everything is as wanted."""
    from lbsync.verdict import Expected

    leaf = look.desired.leaf.fingerprint if look.desired.leaf else None
    enabled = look.facts.farm.mrsproxy_of(server.server for server in look.facts.servers)
    return Expected(leaf=leaf, modes=look.desired.modes, mrsproxy_enabled=enabled)


def _numbers(counted: CanaryReport) -> CanaryNumbers:
    return CanaryNumbers(
        armed=counted.armed,
        requests=counted.requests,
        errors=counted.errors,
        connections=counted.connections,
        longest_gap_s=counted.longest_gap_s,
        first_errors=tuple(
            f"{one.at:%H:%M:%S} {one.balancer} {one.path}: {one.text}" for one in counted.examples[:_SHOWN_ERRORS]
        ),
    )


def _say(screen: Session, counted: CanaryReport) -> None:
    if not counted.armed:
        screen.note("Canary: no listener answered, so nothing was measured.")
        return
    screen.result(
        f"Canary: {counted.requests} requests over {counted.connections} connections, {counted.errors} failed, "
        f"longest gap {counted.longest_gap_s:.2f} s."
    )
