"""What every command runs inside of: a screen, and one place where errors become messages and exit codes.

Rule of this file: no traceback reaches a person. An error lbsync knows is told in its four parts; any other is one line
and the path of the log that has the rest.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer

from lbsync.cli.exits import ExitCode, code_of
from lbsync.cli.options import state_folder
from lbsync.cli.screen import Screen
from lbsync.errors import LbsyncError


class Session(Screen):
    """A screen with the folder this command keeps its things in."""

    def __init__(self, *, as_json: bool, quiet: bool, state: Path | None) -> None:
        from lbsync.redact import Redactor

        self.redactor = Redactor()
        super().__init__(as_json=as_json, quiet=quiet, redactor=self.redactor)
        self.folder = state_folder(state)

    @property
    def ledger_path(self) -> Path:
        """The ledger's file."""
        return self.folder / "ledger.db"

    @property
    def reports(self) -> Path:
        """The folder of reports."""
        return self.folder / "reports"

    def end(self, code: ExitCode) -> NoReturn:
        """End the command with this exit code."""
        raise typer.Exit(int(code))


@contextmanager
def command(*, as_json: bool = False, quiet: bool = False, state: Path | None = None) -> Generator[Session]:
    """Run a command's body; every way out of it is an exit code."""
    session = Session(as_json=as_json, quiet=quiet, state=state)
    try:
        yield session
    except LbsyncError as error:
        tell(session, error)
        raise typer.Exit(int(code_of(error))) from None
    except KeyboardInterrupt:
        session.fail("interrupted", [("State now", "nothing was being changed")])
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
    except BrokenPipeError:
        raise typer.Exit(int(ExitCode.ERROR)) from None
    except OSError as error:
        _tell_disk(session, error)
        raise typer.Exit(int(ExitCode.ERROR)) from None
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:  # noqa: BLE001  # the last place before a person: told in a line, kept in the log
        _tell_unexpected(session, error)
        raise typer.Exit(int(ExitCode.ERROR)) from None


def tell(session: Session, error: LbsyncError) -> None:
    """An error in its parts; one that has several faults or reasons lists each."""
    problems: tuple[LbsyncError, ...] = getattr(error, "problems", ())
    reasons: tuple[str, ...] = getattr(error, "reasons", ())
    if session.as_json:
        listed = [parts_of(problem) for problem in problems]
        session.document({"error": {**parts_of(error), "problems": listed, "reasons": list(reasons)}})
    if len(problems) > 1:
        for problem in problems:
            session.fail(problem.message, [("Where", problem.where), ("What to do", problem.remedy)])
        session.fail(f"{len(problems)} faults in the configuration", [("State now", error.state)])
        return
    parts = [("Where", error.where), *(("Because", reason) for reason in reasons)]
    session.fail(error.message, [*parts, ("State now", error.state), ("What to do", error.remedy)])


def parts_of(error: LbsyncError) -> dict[str, str]:
    """An error as JSON."""
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "where": error.where,
        "state": error.state,
        "remedy": error.remedy,
        "code": error.code,
    }


def _tell_disk(session: Session, error: OSError) -> None:
    """The file system said no: a full disk, a folder that is not ours."""
    where = str(error.filename or session.folder)
    wrapped = LbsyncError(
        error.strerror or type(error).__name__,
        where=where,
        state="what was done so far stands in the ledger; `lbsync runs` shows it",
        remedy="free space or mend the rights there, then try again",
        code=f"errno-{error.errno}",
    )
    tell(session, wrapped)


def _tell_unexpected(session: Session, error: Exception) -> None:
    import traceback

    from lbsync.cli.logs import keep_traceback

    kept = keep_traceback(session.folder, session.redactor, "".join(traceback.format_exception(error)))
    wrapped = LbsyncError(
        f"lbsync met something it does not know ({type(error).__name__}); this is a bug",
        state="what was done so far stands in the ledger; `lbsync runs` shows it",
        remedy=f"report it with {kept}" if kept else "report it; its log could not be written",
        code="unexpected",
    )
    tell(session, wrapped)
