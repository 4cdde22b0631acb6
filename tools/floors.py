"""Hold floors 0 to 2 to full branch coverage: floors.py COVERAGE.json.

Decisions are pure and their tests are data, so nothing excuses a branch that no test takes. Rooms with effects are shown,
not judged.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOTS = ("certs/lbsync_certs/", "lbsync/")
EFFECTS = frozenset(
    {
        "kit", "exchange", "ledger", "registry", "probe", "canary", "secrets", "materials", "report", "engine", "cli",
        "private", "service", "testing", "lab", "__main__",
    }
)  # fmt: skip
"""Rooms of lbsync, files or folders, that touch the world. A new file is held until it is named here."""


class Gap(NamedTuple):
    """A file with something untested: lines never run, and branches (from line, to line) never taken."""

    path: str
    lines: tuple[int, ...]
    branches: tuple[tuple[int, int], ...]


def is_held(path: str) -> bool:
    """True for a file on floors 0 to 2, given as its path below the repository, that must be covered in full."""
    first, _, rest = path.partition("lbsync/")
    room = rest.partition("/")[0].removesuffix(".py")
    return path.startswith(ROOTS) and (bool(first) or room not in EFFECTS)


def gaps(files: Mapping[str, Mapping[str, object]]) -> tuple[Gap, ...]:
    """The gaps among held files, from the ``files`` object of coverage's JSON report."""
    found: list[Gap] = []
    for path, report in sorted(files.items()):
        if not is_held(path):
            continue
        lines, branches = report["missing_lines"], report.get("missing_branches", [])
        if not isinstance(lines, list) or not isinstance(branches, list):
            raise TypeError(f"{path}: not a report with branches")
        if lines or branches:
            found.append(Gap(path, tuple(lines), tuple((start, end) for start, end in branches)))
    return tuple(found)


def main(arguments: list[str]) -> int:
    """Print the verdict; 1 when a held file has a gap or none was measured."""
    report = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    held = [path for path in report["files"] if is_held(path)]
    found = gaps(report["files"])
    for gap in found:
        print(f"{gap.path}: lines {list(gap.lines)} never run, branches {list(gap.branches)} never taken")
    whole = report["totals"]["percent_covered"]
    print(
        f"Coverage with branches: {len(held) - len(found)} of {len(held)} files on floors 0-2 full, all rooms {whole:.1f} %"
    )
    return 1 if found or not held else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
