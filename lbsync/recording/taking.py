"""From what was seen to a recording: what goes in, and what stays out.

Rule of this file: an image of a balancer may hold the text of somebody's files, so it is never recorded; whatever is left
out is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lbsync.desired import Desired, FactSet
from lbsync.recording.document import Recording
from lbsync.target import Capabilities

RAW = "raw answers of servers and balancers: they hold names in free text, and were read into the facts"
IMAGES = (
    "texts of files and objects on the balancers: they may hold anything, so only what was concluded from them is here"
)


def taken(
    desired: Desired, facts: FactSet, capabilities: Mapping[str, Capabilities], now: datetime, *, version: str
) -> Recording:
    """A recording of one look, ``now`` aware; ``version`` is this lbsync's."""
    bare = tuple(one.model_copy(update={"image": {}}) for one in facts.balancers)
    imaged = any(one.image for one in facts.balancers)
    return Recording(
        lbsync=version,
        taken=now,
        desired=desired,
        facts=facts.model_copy(update={"balancers": bare}),
        capabilities=dict(capabilities),
        left_out=(RAW, IMAGES) if imaged else (RAW,),
    )
