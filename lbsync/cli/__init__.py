"""The command line: the only room that prints.

Rule of this room: a command reads options, asks the rooms below, shows what they answer and ends with an exit code; it
decides nothing about farms. Everything heavy is imported inside the command that needs it.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


_INTERRUPTED = 130


def main() -> None:
    """The ``lbsync`` command."""
    try:
        code = _call()
    except KeyboardInterrupt:  # while Python still imports: nothing has been looked at yet
        code = _INTERRUPTED
    sys.exit(code)


def _call() -> int:
    # Looking for plugins of pydantic costs a tenth of the start-up; lbsync has none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    import typer

    from lbsync.cli.app import app

    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        code = _INTERRUPTED
    except typer.TyperException as error:
        code = _usage(error)
    return code if isinstance(code, int) else 0


def _usage(error: Exception) -> int:
    """A wrong command line is an error (1), as in Terraform: 2 says that a plan has changes."""
    show = getattr(error, "show", None)
    if callable(show):
        show()
    else:
        sys.stderr.write(f"Error: {error}\n")
    return 1
