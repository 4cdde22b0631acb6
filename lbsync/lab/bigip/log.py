"""The log of a device's requests: what tests and pages read of them.

Rule of this room: no secret is logged: not the body of a login or an upload, not a password or passphrase.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from lbsync.lab.bigip.errors import Refusal
from lbsync.lab.bigip.faults import Fault
from lbsync.lab.bigip.names import Json
from lbsync.lab.bigip.rest import LOGIN, Call

_SECRETS = ("password", "passphrase")


@dataclass(slots=True)
class Seen:
    """One request of the log. ``status`` is 0 while it is not answered, or never will be."""

    method: str
    path: str
    query: str
    connection: int
    content_type: str
    transaction: str
    body: Json = field(repr=False)
    status: int = 0
    fault: Fault | None = None


def loggable(call: Call) -> Json:
    """The body of a request as it may be remembered."""
    if call.path == LOGIN or "file-transfer" in call.path:
        return {}
    try:
        body = call.json()
    except Refusal:
        return {}
    return cast("Json", _masked(body))


def _masked(value: object) -> object:
    if isinstance(value, dict):
        pairs = cast("Json", value).items()
        return {name: "***" if name in _SECRETS else _masked(inner) for name, inner in pairs}
    if isinstance(value, list):
        return [_masked(inner) for inner in cast("list[object]", value)]
    return value
