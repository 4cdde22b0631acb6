"""What is seen from outside while a run is on its way, and after it: the canary and the probes, as evidence for a report.

Rule of this file: it starts and stops what asks, and turns answers into evidence; what they mean, ``verdict`` says.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lbsync.cli.proofs import proofs_of, summary_of
from lbsync.report import Evidence

if TYPE_CHECKING:
    from lbsync.cli.command import Session
    from lbsync.cli.house import House
    from lbsync.cli.running import Story
    from lbsync.desired import Desired
    from lbsync.verdict import Evidence as Seen


class Watch:
    """A canary at work, or none."""

    def words(self) -> str:
        """What it counts, for the progress line."""
        return ""


@contextmanager
def watching(screen: Session, house: House, story: Story, title: str, *, wanted: bool) -> Generator[Watch]:
    """Inside, a canary sends requests to the listeners that answer; what it counted joins the story."""
    del screen, house, story, title, wanted
    yield Watch()


def look_from_outside(screen: Session, house: House, desired: Desired, story: Story) -> Seen:
    """Ask everything once from outside, say it in a line, and keep it for the report."""
    from lbsync.verdict import Expected

    at = datetime.now(UTC)
    with screen.busy("looking from outside"):
        leaf = desired.leaf.fingerprint if desired.leaf else None
        seen = house.prober.probe_all(Expected(leaf=leaf, modes=desired.modes))
    story.evidence.append(Evidence(title="Seen from outside", at=at, proofs=proofs_of(seen)))
    screen.result(f"Seen from outside: {summary_of(seen)}.")
    return seen
