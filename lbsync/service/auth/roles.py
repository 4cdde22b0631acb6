"""The authorisation matrix: what is needed for each method of each path.

Rule of this file: data. A path that is not here does not exist for anybody, whatever a router has; a test walks the routers
so that none is forgotten. Placeholders have one fixed shape each, so that nothing odd in a path reaches a route.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from lbsync.service.values import Role


class Need(Enum):
    """What somebody must be to ask."""

    ANYONE = "anyone"
    """No login: health, the login itself and what its page is made of."""
    METRICS = "metrics"
    """A login, or this very host."""
    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"

    def met_by(self, role: Role | None, *, this_host: bool = False) -> bool:
        """Whether somebody with this role (None: not logged in) may."""
        match self:
            case Need.ANYONE:
                return True
            case Need.METRICS:
                return this_host or role is not None
            case Need.VIEWER | Need.OPERATOR | Need.APPROVER:
                return role is not None and role.may(Role(self.value))


NAMESPACE: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""The name of a namespace."""
ID: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
"""The name of a run, a job or a proposal."""
_SHAPES: Final = {
    "ns": NAMESPACE,
    "run": ID,
    "job": ID,
    "proposal": ID,
    "notice": ID,
    "file": r"[a-z0-9][a-z0-9.-]{0,63}",
}

_API: Final = "/api/v1"
_NS: Final = f"{_API}/namespaces/{{ns}}"
_PAGE: Final = "/n/{ns}"
MATRIX: Final[Mapping[tuple[str, str], Need]] = MappingProxyType(
    {
        ("GET", "/healthz"): Need.ANYONE,
        ("GET", "/readyz"): Need.ANYONE,
        ("GET", "/metrics"): Need.METRICS,
        ("GET", "/static/{file}"): Need.ANYONE,
        # Logging in and out.
        ("GET", "/login"): Need.ANYONE,
        ("POST", "/login"): Need.ANYONE,
        ("GET", "/login/oidc"): Need.ANYONE,
        ("GET", "/login/oidc/callback"): Need.ANYONE,
        ("POST", "/logout"): Need.VIEWER,
        ("POST", f"{_API}/session"): Need.ANYONE,
        ("DELETE", f"{_API}/session"): Need.VIEWER,
        ("GET", f"{_API}/me"): Need.VIEWER,
        # Reading.
        ("GET", f"{_API}/openapi.json"): Need.VIEWER,
        ("GET", f"{_API}/events"): Need.VIEWER,
        ("GET", f"{_API}/namespaces"): Need.VIEWER,
        ("GET", _NS): Need.VIEWER,
        ("GET", f"{_NS}/advice"): Need.VIEWER,
        ("GET", f"{_NS}/ledger"): Need.VIEWER,
        ("GET", f"{_NS}/runs"): Need.VIEWER,
        ("GET", f"{_NS}/runs/{{run}}"): Need.VIEWER,
        ("GET", f"{_API}/jobs/{{job}}"): Need.VIEWER,
        ("GET", f"{_API}/notices"): Need.VIEWER,
        # Looking, proposing, stopping: nothing on a farm is changed by these.
        ("POST", f"{_NS}/look"): Need.OPERATOR,
        ("POST", f"{_NS}/proposals"): Need.OPERATOR,
        ("POST", f"{_API}/jobs/{{job}}/stop"): Need.OPERATOR,
        ("POST", f"{_API}/notices/{{notice}}/test"): Need.OPERATOR,
        # Changing farms.
        ("POST", f"{_NS}/proposals/{{proposal}}/approve"): Need.APPROVER,
        ("POST", f"{_NS}/proposals/{{proposal}}/decline"): Need.APPROVER,
        ("POST", f"{_NS}/runs/{{run}}/rollback"): Need.APPROVER,
        ("POST", f"{_NS}/runs/{{run}}/resume"): Need.APPROVER,
        ("POST", f"{_NS}/runs/{{run}}/confirm"): Need.APPROVER,
        # Pages.
        ("GET", "/"): Need.VIEWER,
        ("GET", "/certificates"): Need.VIEWER,
        ("GET", "/settings/notices"): Need.VIEWER,
        ("POST", "/settings/notices/{notice}/test"): Need.OPERATOR,
        ("GET", _PAGE): Need.VIEWER,
        ("GET", f"{_PAGE}/listeners"): Need.VIEWER,
        ("GET", f"{_PAGE}/advice"): Need.VIEWER,
        ("GET", f"{_PAGE}/ledger"): Need.VIEWER,
        ("GET", f"{_PAGE}/runs"): Need.VIEWER,
        ("GET", f"{_PAGE}/runs/{{run}}"): Need.VIEWER,
        ("GET", f"{_PAGE}/runs/{{run}}/report"): Need.VIEWER,
        ("GET", f"{_PAGE}/jobs/{{job}}"): Need.VIEWER,
        ("GET", f"{_PAGE}/proposals/{{proposal}}"): Need.VIEWER,
        ("POST", f"{_PAGE}/look"): Need.OPERATOR,
        ("POST", f"{_PAGE}/proposals"): Need.OPERATOR,
        ("POST", f"{_PAGE}/jobs/{{job}}/stop"): Need.OPERATOR,
        # What changes farms is asked on a page of its own, then done.
        ("GET", f"{_PAGE}/proposals/{{proposal}}/approve"): Need.APPROVER,
        ("POST", f"{_PAGE}/proposals/{{proposal}}/approve"): Need.APPROVER,
        ("GET", f"{_PAGE}/proposals/{{proposal}}/decline"): Need.APPROVER,
        ("POST", f"{_PAGE}/proposals/{{proposal}}/decline"): Need.APPROVER,
        ("GET", f"{_PAGE}/runs/{{run}}/rollback"): Need.APPROVER,
        ("POST", f"{_PAGE}/runs/{{run}}/rollback"): Need.APPROVER,
        ("GET", f"{_PAGE}/runs/{{run}}/resume"): Need.APPROVER,
        ("POST", f"{_PAGE}/runs/{{run}}/resume"): Need.APPROVER,
        ("POST", f"{_PAGE}/runs/{{run}}/confirm"): Need.APPROVER,
    }
)


@dataclass(frozen=True, slots=True)
class Found:
    """A path of the matrix that was asked for: its template, and what each of its methods needs."""

    template: str
    methods: Mapping[str, Need]


def find(path: str) -> Found | None:
    """The entry for a path as it was sent, decoded once; None for everything that is not there."""
    for pattern, found in _compiled():
        if pattern.fullmatch(path):
            return found
    return None


@lru_cache(maxsize=1)
def _compiled() -> tuple[tuple[re.Pattern[str], Found], ...]:
    methods: dict[str, dict[str, Need]] = {}
    for (method, template), need in MATRIX.items():
        methods.setdefault(template, {})[method] = need
    return tuple((_pattern(template), Found(template, needs)) for template, needs in methods.items())


def _pattern(template: str) -> re.Pattern[str]:
    """``/n/{ns}`` as a regular expression; a placeholder that has no shape is a fault of the matrix (KeyError)."""
    parts = re.split(r"\{(\w+)\}", template)
    texts = [re.escape(part) if index % 2 == 0 else f"(?:{_SHAPES[part]})" for index, part in enumerate(parts)]
    return re.compile("".join(texts), re.ASCII)
