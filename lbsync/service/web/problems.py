"""Errors as an API tells them: RFC 9457, with the four parts of every error of lbsync.

Rule of this file: nothing that was sent comes back in an error, and nothing about the inside of this program.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from starlette.responses import JSONResponse

from lbsync.errors import (
    ConfigError,
    ForeignChange,
    LbsyncError,
    LedgerError,
    PlanRefused,
    RollbackIncomplete,
    TargetError,
)
from lbsync.service.auth.guard import LoginFailed, TooMany
from lbsync.service.port import Busy, Gone, NotFound

MEDIA: Final = "application/problem+json"


class Problem(BaseModel):
    """What went wrong, where, what state things are in, and what to do; programs branch on ``code``."""

    title: str
    status: int
    message: str
    where: str = ""
    state: str = ""
    remedy: str = ""
    code: str = ""
    fields: list[str] = []
    """Of what was sent: the places that are not as they should be."""


_BY_CLASS: Final[tuple[tuple[type[LbsyncError], int], ...]] = (
    (NotFound, HTTPStatus.NOT_FOUND),
    (TooMany, HTTPStatus.TOO_MANY_REQUESTS),
    (LoginFailed, HTTPStatus.UNAUTHORIZED),
    (Gone, HTTPStatus.GONE),
    (Busy, HTTPStatus.CONFLICT),
    (PlanRefused, HTTPStatus.CONFLICT),
    (ForeignChange, HTTPStatus.CONFLICT),
    (RollbackIncomplete, HTTPStatus.CONFLICT),
    (TargetError, HTTPStatus.BAD_GATEWAY),
    (LedgerError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ConfigError, HTTPStatus.SERVICE_UNAVAILABLE),
)
_BY_CODE: Final = {"login-failed": HTTPStatus.UNAUTHORIZED, "no-role": HTTPStatus.FORBIDDEN}


def status_of(error: LbsyncError) -> HTTPStatus:
    """The HTTP status of an error; branches on its class and code only."""
    by_class = next((status for kind, status in _BY_CLASS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    return _BY_CODE.get(error.code, HTTPStatus(by_class))


def told(error: LbsyncError) -> JSONResponse:
    """An error of lbsync as an answer."""
    headers = {"Retry-After": str(error.wait_s)} if isinstance(error, TooMany) else None
    return problem(
        status_of(error), error.message, where=error.where, state=error.state, remedy=error.remedy, code=error.code,
        headers=headers,
    )  # fmt: skip


def problem(
    status: HTTPStatus,
    message: str,
    *,
    where: str = "",
    state: str = "",
    remedy: str = "",
    code: str = "",
    fields: Sequence[str] = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem as an answer."""
    body = Problem(
        title=status.phrase, status=status, message=message, where=where, state=state, remedy=remedy, code=code,
        fields=list(fields),
    )  # fmt: skip
    return JSONResponse(body.model_dump(), status_code=status, media_type=MEDIA, headers=headers)


def not_as_asked(errors: Sequence[Any]) -> JSONResponse:
    """Input that does not fit: which places, by what rule; never what was sent."""
    broken = any(error.get("type") == "json_invalid" for error in errors)
    if broken:
        return problem(HTTPStatus.BAD_REQUEST, "this is no JSON", where="the request's body", code="no-json")
    fields = sorted({_place(error) for error in errors})
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "what was sent does not fit", where=", ".join(fields), fields=fields,
        remedy="compare it with /api/v1/openapi.json", code="invalid",
    )  # fmt: skip


def _place(error: dict[str, Any]) -> str:
    """``body.modes: enum``. Keys that a caller made up are input too, so of them only the rule is told."""
    kind = str(error.get("type", "invalid"))
    place = error.get("loc", ())
    known = place[:-1] if kind == "extra_forbidden" else place[:2]
    return f"{'.'.join(str(part) for part in known)}: {kind}"


def unexpected() -> JSONResponse:
    """Something nobody thought of; the log has it."""
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong inside lbsync", where="the service",
        state="the service goes on", remedy="look into the service's log", code="unexpected",
    )  # fmt: skip
