"""Write docs/bigip-assumptions.md from the one list that the simulated BIG-IP has: assumptions.py [PATH]."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from lbsync.lab.bigip.assumption import Assumption
from lbsync.lab.bigip.assumptions import CONTROL
from lbsync.lab.bigip.traffic.assumed import TRAFFIC

PAGE = Path("docs/bigip-assumptions.md")
_HEAD = """# What the simulated BIG-IP assumes

No BIG-IP was at hand when this was written. The rehearsal and the tests run against a simulation, which answers as captured
devices did (11.6 and 14.1.2.1) and does what F5's documentation says. Where neither says anything it assumes what stands below;
each entry is something to look at first on a real device. `lbsync.lab.bigip` holds this list; the page is made from it
(`tools/assumptions.py`).
"""


def page() -> str:
    """The page's text."""
    return "\n".join([_HEAD, "## The REST interface", "", *_rows(CONTROL), "", "## Traffic", "", *_rows(TRAFFIC), ""])


def _rows(assumptions: Iterable[Assumption]) -> Iterable[str]:
    yield "| name | what is assumed |"
    yield "|---|---|"
    for one in assumptions:
        text = one.text.replace("|", "\\|").replace("<", "&lt;")
        yield f"| {one.id} | {text} |"


def main(arguments: list[str]) -> None:
    """Write it."""
    path = Path(arguments[0]) if arguments else PAGE
    path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
