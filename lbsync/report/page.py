"""The report as one HTML page: no script, no picture, no font from elsewhere; it opens from a ticket's attachment.

Rule of this file: every value goes through jinja2's autoescape; the template writes no attribute from a value but those of
closed lists.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Final

from lbsync.report.model import Report, StepReport

GLYPHS: Final = {
    "waiting": "·",
    "running": "▸",
    "checking": "▸",
    "done": "✓",
    "failed": "✗",
    "undoing": "◂",
    "undone": "↺",
    "skipped": "-",
}


def page(report: Report) -> str:
    """The whole page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("lbsync.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _moment
    environment.filters["clock"] = _clock
    environment.filters["duration"] = _duration
    longest = max((step.seconds or 0.0 for step in report.steps), default=0.0)
    return environment.get_template("report.html").render(
        report=report,
        glyphs=GLYPHS,
        total_s=(report.ended - report.started).total_seconds(),
        share=partial(_share, longest),
        lights=_lights(report),
        canaries=[evidence.canary for evidence in report.evidence if evidence.canary and evidence.canary.armed],
    )


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}"


def _duration(seconds: float | None) -> str:
    """Seconds as a person says them."""
    if seconds is None:
        return ""
    if seconds < 60:  # noqa: PLR2004  # a minute
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _share(longest: float, step: StepReport) -> int:
    """How long a step took, as a percentage of the longest one; at least 2, so that it shows."""
    return max(2, round(100 * (step.seconds or 0.0) / longest)) if longest else 0


def _lights(report: Report) -> dict[str, int]:
    """How many green, yellow and red answers the last look from outside gave."""
    last = next((evidence.proofs for evidence in reversed(report.evidence) if evidence.proofs), ())
    return {light: sum(proof.light == light for proof in last) for light in ("green", "yellow", "red")}
