"""Reports on disk: ``<run>.json`` with everything, ``<run>.html`` for people.

Rule of this file: a report is replaced whole or not at all, and is its owner's alone: it names servers and accounts.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from lbsync.report.model import Report
from lbsync.report.page import page


def save(report: Report, folder: Path) -> Path:
    """Write both files; the page's path. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _replace(folder / f"{report.run_id}.json", report.model_dump_json(indent=2) + "\n")
    html = folder / f"{report.run_id}.html"
    _replace(html, page(report))
    return html


def load(run_id: str, folder: Path) -> Report | None:
    """The report of a run as it was saved last; ``None`` where there is none that can be read."""
    try:
        return Report.model_validate_json((folder / f"{run_id}.json").read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
