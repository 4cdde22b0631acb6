"""Exit codes: what a script may rely on.

Rule of this file: a code is never given a second meaning. `plan` keeps Terraform's convention (0 nothing to do, 1 error,
2 changes), so 2 is never an error, not even of the command line.
"""

from __future__ import annotations

from enum import IntEnum

from lbsync.errors import ForeignChange, Interrupted, LbsyncError, PlanRefused, RollbackIncomplete, VerifyFailed


class ExitCode(IntEnum):
    """What the process ends with."""

    OK = 0
    """Done, or nothing to do."""
    ERROR = 1
    """It could not be done; the message says what state things are in."""
    ATTENTION = 2
    """plan: there are changes. check: problems were found. advise: something wanted is refused. prepare: something is open.
    watch: something is to be looked at by day. drift: something differs."""
    REFUSED = 3
    """Unsafe, unsupported or stale: nothing was changed."""
    NOT_PROVEN = 4
    """verify: what clients see is not what was wanted."""
    TAKEN_BACK = 5
    """apply failed, or was not confirmed, and everything is as before."""
    UNFINISHED = 6
    """A run stands half-way: `lbsync resume` or `lbsync rollback`."""
    NOT_TAKEN_BACK = 7
    """A way back stopped at a foreign change or could not be finished; the message lists what is left."""
    CRITICAL = 8
    """watch: clients fail, or will within days."""
    INTERRUPTED = 130
    """Ctrl-C while nothing was being changed."""


def code_of(error: LbsyncError) -> ExitCode:
    """The exit code of an error; branches on its class only."""
    match error:
        case PlanRefused():
            return ExitCode.REFUSED
        case VerifyFailed():
            return ExitCode.NOT_PROVEN
        case Interrupted():
            return ExitCode.UNFINISHED
        case ForeignChange() | RollbackIncomplete():
            return ExitCode.NOT_TAKEN_BACK
        case _:
            return ExitCode.ERROR
