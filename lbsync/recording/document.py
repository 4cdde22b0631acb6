"""The document itself: its shape, its text, and what is said of a text that is none.

Rule of this file: a text is read whole or refused with one sentence; nothing is guessed, nothing repaired.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import cast

from pydantic import AwareDatetime, Field, ValidationError

from lbsync.desired import Desired, FactSet
from lbsync.errors import LbsyncError
from lbsync.model import Value
from lbsync.target import Capabilities
from lbsync_certs import CertificateInfo

FORMAT = 1
_MARK = "lbsync_recording"
_VERSION = re.compile(r"\d+(\.\d+){1,3}")


class Recording(Value):
    """One look at a farm. ``lbsync`` is the version that looked, ``taken`` when.

    ``capabilities`` is by balancer name; ``left_out`` says in words what was seen and is not here.
    """

    lbsync: str
    taken: AwareDatetime
    pseudonyms: bool = False
    desired: Desired
    facts: FactSet
    capabilities: dict[str, Capabilities] = Field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def render(recording: Recording) -> str:
    """The text of a recording: JSON, names as they are written, so that a search finds what is in it."""
    return json.dumps({_MARK: FORMAT} | recording.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def read(text: str, where: str) -> Recording:
    """The recording in a text; ``where`` names it in messages. Raises LbsyncError: what is wrong with it, in one sentence."""
    try:
        document: object = json.loads(text)
    except RecursionError:
        raise _refused(where, "this is no recording of lbsync", "not-a-recording") from None
    except ValueError as error:
        cut_off = (
            text.lstrip().startswith("{")
            and _MARK in text
            and getattr(error, "pos", 0) >= len(text.rstrip()) - len("false")
        )
        if cut_off or (isinstance(error, json.JSONDecodeError) and error.msg.startswith("Unterminated")):
            raise _refused(where, "the recording ends half-way: the file was cut off", "truncated") from None
        raise _refused(where, "this is not JSON, so it is no recording", "not-json") from None
    content = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    number = content.pop(_MARK, None)
    if not isinstance(number, int) or number < 1:
        raise _refused(where, "this is no recording of lbsync", "not-a-recording")
    if number > FORMAT:
        raise LbsyncError(
            f"the recording is of format {number}, made by a newer lbsync; this one reads format {FORMAT}",
            where=where,
            state="nothing was read and nothing was changed",
            remedy="install the version of lbsync that made it, or a later one",
            code="newer-format",
        )
    try:
        recording = Recording.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise _refused(where, f"the recording was changed or damaged at {at}", "damaged") from None
    fault = next(_faults(recording), None)
    if fault is not None:
        raise _refused(where, f"the recording was changed or damaged: {fault}", "damaged")
    return recording


def certificates(recording: Recording) -> Iterator[CertificateInfo]:
    """Every certificate in it, as often as it is held."""
    if recording.desired.leaf is not None:
        yield recording.desired.leaf
    for server in recording.facts.servers:
        for stored in server.certificates:
            yield stored.info


def _faults(recording: Recording) -> Iterator[str]:
    """What a rule would stumble over."""
    servers = recording.facts.servers
    if not servers:
        yield "it has no servers"
    if len({server.server.lower() for server in servers}) < len(servers):
        yield "a server is in it twice"
    for server in servers:
        if not (_VERSION.fullmatch(server.version) and _VERSION.fullmatch(server.build)):
            yield f"the version of {server.server} is none"
    if any(not (info.not_before.tzinfo and info.not_after.tzinfo) for info in certificates(recording)):
        yield "a certificate's date has no time zone"


def _refused(where: str, message: str, code: str) -> LbsyncError:
    return LbsyncError(
        message,
        where=where,
        state="nothing was read and nothing was changed",
        remedy="name a file that lbsync record wrote, whole and as it was; or record anew: lbsync record FILE",
        code=code,
    )
