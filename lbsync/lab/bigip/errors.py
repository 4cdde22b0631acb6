"""What the device refuses, in its own words and its own envelope.

Rule of this room: every message names where its wording comes from, or the id of the assumption it rests on.
"""

from __future__ import annotations

from lbsync.lab.bigip.names import Json

_MCPD = 3
"""``apiError`` of what the configuration daemon refused; 1 and 26214401 are the REST layer's own."""
REST = 26214401


class Refusal(Exception):
    """A request that is answered with an error; nothing was changed."""

    def __init__(self, status: int, message: str, api_error: int = _MCPD) -> None:
        """``status`` is HTTP's, repeated as ``code``."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.api_error = api_error

    def body(self) -> Json:
        """The envelope of errors.json."""
        return {"code": self.status, "message": self.message, "errorStack": [], "apiError": self.api_error}

    def in_transaction(self) -> Refusal:
        """The same as the answer to a commit (errors.json: prefix and apiError 2)."""
        return Refusal(400, f"transaction failed:{self.message}", 2)


def not_found(title: str, path: str) -> Refusal:
    """errors.json; status 404 also where another object names the missing one (F5's own logs of AS3)."""
    return Refusal(404, f"01020036:3: The requested {title} ({path}) was not found.")


def no_child(path: str) -> Refusal:
    """A missing pool member, profile of a virtual, rule (electric-cloud/EC-F5's recorded answers)."""
    return Refusal(404, f"Object not found - {path}", 1)


def exists(title: str, path: str) -> Refusal:
    """Recorded by openshift/origin and others."""
    partition = path.strip("/").split("/", maxsplit=1)[0]
    return Refusal(409, f"01020066:3: The requested {title} ({path}) already exists in partition {partition}.")


def in_use(title: str, path: str, by: str, by_path: str) -> Refusal:
    """``01070265`` for pools is matched by OpenStack's driver; for other types: assumption ``in-use``."""
    return Refusal(
        400, f"01070265:3: The {title} ({path}) cannot be deleted because it is in use by a {by} ({by_path})."
    )


def nothing_given(detail: str = "") -> Refusal:
    """A change without a property the device knows (f5-sdk's tests); with one it does not: assumption ``unknown``."""
    return Refusal(400, f"one or more properties must be specified{f': {detail}' if detail else ''}", REST)


def configuration(message: str) -> Refusal:
    """``Configuration error`` of the configuration daemon."""
    return Refusal(400, f"01070734:3: Configuration error: {message}")
