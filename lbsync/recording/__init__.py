"""A recording: what was read from a farm and what is wanted of it, as one document to show to somebody or to rehearse on.

Rule of this room: pure; facts and wishes only. No secret, no key and no raw answer is ever in a recording, and what a
pseudonym stands for is in none either.
"""

from __future__ import annotations

from lbsync.recording.disguise import disguise
from lbsync.recording.document import FORMAT, Recording, read, render
from lbsync.recording.leaks import leaks
from lbsync.recording.taking import taken

__all__ = ["FORMAT", "Recording", "disguise", "leaks", "read", "render", "taken"]
