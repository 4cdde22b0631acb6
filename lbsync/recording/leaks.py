"""What of the originals is still in a recording that should not be: the last look before it is written.

Rule of this file: it looks at the finished text and trusts nothing that made it.
"""

from __future__ import annotations

import re

from lbsync.recording.pseudonyms import Pseudonyms


def leaks(text: str, names: Pseudonyms) -> tuple[str, ...]:
    """Hosts, addresses and fingerprints of the original that occur in ``text``, whatever their case."""
    lowered = text.lower()
    found = (one for one in names.strict if one in lowered)
    return tuple(sorted(one for one in found if re.search(rf"(?<![\w.-]){re.escape(one)}(?![\w-])", lowered)))
