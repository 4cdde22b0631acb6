"""The command line of each kind of job: fixed words, and values that cannot be taken for options.

Rule of this file: pure. No shell ever reads these, no secret stands in them, and whatever a person typed is of a narrow shape.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from lbsync.errors import LbsyncError
from lbsync.service.values import JobKind, Kind, Options

_THUMBPRINT = re.compile(r"[0-9A-Fa-f]{40}")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_BASIS = re.compile(r"[0-9a-f]{64}")


def command(
    kind: JobKind,
    config: Path,
    state: Path,
    *,
    options: Options | None = None,
    proposed: Kind | None = None,
    basis: str | None = None,
    run_id: str | None = None,
) -> tuple[str, ...]:
    """What stands behind ``python -m lbsync``. ``proposed`` is what a ``plan`` is made of; ``basis`` what was approved.

    ``rotate`` without a basis is the watch's own: it looks, rotates what is due, and remembers what failed. Raises LbsyncError
    for a value of another shape.
    """
    chosen = options or Options()
    folder = ("--state", str(state), "--json")
    at = ("--config", str(config), *folder)
    words: tuple[str, ...]
    match kind:
        case "look":
            words = ("watch", "--once", "--look-only", *at)
        case "drift" | "advise":
            words = (kind, *at)
        case "plan":
            words = (*_plan(proposed or "apply", chosen), *at)
        case "rotate" if basis is None:
            words = ("watch", "--once", *at)
        case "rotate" | "apply" | "prune":
            words = (kind, "--yes", f"--basis={_shaped(_BASIS, basis or '', 'a basis')}", *_chosen(kind, chosen), *at)
        case "rollback" | "resume":
            words = (kind, *at, _shaped(_RUN, run_id or "", "a run"))
        case "confirm":
            words = (kind, *folder, _shaped(_RUN, run_id or "", "a run"))
        case _:
            assert_never(kind)
    return words


def _plan(kind: Kind, options: Options) -> Sequence[str]:
    first = ("plan",) if kind == "apply" else (kind, "--dry-run")
    return (*first, *_chosen(kind, options))


def _chosen(kind: Kind, options: Options) -> tuple[str, ...]:
    if kind == "apply":
        return tuple(f"--mode={service.value}={mode.value}" for service, mode in sorted(options.modes.items()))
    if options.thumbprint is None:
        return ()
    return (f"--thumbprint={_shaped(_THUMBPRINT, options.thumbprint, 'a thumbprint')}",)


def _shaped(shape: re.Pattern[str], text: str, what: str) -> str:
    if shape.fullmatch(text) is None:
        raise LbsyncError(
            f"this is not {what}",
            where="the request",
            state="nothing was begun",
            remedy=f"take {what} as the service shows it",
            code="bad-request",
        )
    return text
