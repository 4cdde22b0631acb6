"""Templates: where they lie, and how values become text in them.

Rule of this file: everything is escaped; times are ``<time>`` in UTC, which app.js says again in the reader's zone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from fastapi import Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from lbsync.service.auth.guard import Known
from lbsync.service.values import Role
from lbsync.service.web.asking import known
from lbsync.service.web.views import words


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The one environment, templates compiled once."""
    made = Environment(
        loader=PackageLoader("lbsync.service.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "moment": moment,
        "ago": ago,
        "short": words.short,
        "joined": words.joined,
        "days_words": words.days_words,
        "days_css": words.days_css,
    }
    shared: dict[str, Any] = {
        "LAMPS": words.LAMPS,
        "LEVELS": words.LEVELS,
        "KINDS": words.KINDS,
        "JOBS": words.JOBS,
        "SERVICES": words.SERVICES,
        "phase_css": words.phase_css,
        "Role": Role,
    }
    made.globals.update(shared)
    return made


def moment(at: datetime) -> Markup:
    """A moment, in UTC without a script."""
    return _time(at, "")


def ago(at: datetime) -> Markup:
    """A moment that app.js says as ``5 min ago``."""
    return _time(at, " data-ago")


def _time(at: datetime, more: str) -> Markup:
    utc = at.astimezone(UTC)
    # Digits and letters of our own making: nothing to escape.
    return Markup(f'<time datetime="{utc:%Y-%m-%dT%H:%M:%SZ}"{more}>{utc:%Y-%m-%d %H:%M} UTC</time>')  # noqa: S704


def render(template: str, found: Known | None, **values: object) -> str:
    """A template's text, for somebody known or for nobody."""
    return (
        environment()
        .get_template(template)
        .render(
            who=found.who if found is not None else None, csrf=(found.csrf or "") if found is not None else "", **values
        )
    )


def page(request: Request, template: str, *, part: str = "", **values: object) -> Response:
    """A page, or only its live part where ``?part=live`` asks for it: then ``part`` names the template of that."""
    only = part and request.query_params.get("part") == "live"
    return HTMLResponse(render(part if only else template, known(request), **values))
