"""``lbsync watch``: look at certificates again and again, tell, and rotate where that is allowed.

Rule of this file: it looks, acts, remembers and waits; what a look means and what is due, ``lbsync.watch`` says.
"""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command, tell
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, ConfigFile, Quiet, StateFolder
from lbsync.errors import Denied, LbsyncError

if TYPE_CHECKING:
    from lbsync.cli.watchround import Round


def watch(  # noqa: PLR0917  # typer calls it by keyword
    once: Annotated[bool, typer.Option("--once", help="Look once and end: for cron, timers and monitors.")] = False,
    monitor: Annotated[
        bool,
        typer.Option("--monitor", help="Once, told as a monitoring plugin does: Nagios, Icinga, Checkmk, Zabbix."),
    ] = False,
    look_only: Annotated[
        bool, typer.Option("--look-only", help="With --once: never rotate, whatever [watch] rotate says.")
    ] = False,
    config: ConfigFile = None,
    state: StateFolder = None,
    canary: Annotated[bool, typer.Option(help="While it rotates, send requests and count failures.")] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Watch certificates: when they end, whether clients get what is stored, whether a renewed one has appeared.

    Where [watch] rotate = true it rotates, inside the windows given there; what failed is tried again, later each time.
    """
    if monitor and as_json:
        raise typer.BadParameter("--monitor and --json are two ways of telling: choose one")
    if look_only and not (once or monitor):
        raise typer.BadParameter("--look-only goes with --once or --monitor")
    with command(as_json=as_json, quiet=quiet or monitor, state=state) as screen:
        if monitor:
            raise typer.Exit(_plugin(screen, config, canary=canary, look_only=look_only))
        if not once:
            screen.end(_loop(screen, config, canary=canary))
        from lbsync.cli.watchview import next_line, watch_document, watch_view

        done = _look(screen, config, threading.Event(), canary=canary, look_only=look_only)
        screen.result(*watch_view(done.items, next_line(done.outlook, done.now)))
        screen.document(watch_document(done))
        screen.end(done.code)


def _look(
    screen: Session, config: Path | None, stop: threading.Event, *, canary: bool, look_only: bool = False
) -> Round:
    """One look, and the rotation that is due. Raises LbsyncError where nothing can be said at all."""
    from lbsync.cli.watchround import go_round
    from lbsync.cli.wiring import open_house

    with open_house(config, screen) as house:
        return go_round(screen, house, stop, canary=canary, look_only=look_only)


def _plugin(screen: Session, config: Path | None, *, canary: bool, look_only: bool) -> int:
    """One line for a monitor, whatever happens; returns the plugin's exit code."""
    import traceback

    from lbsync.cli.logs import keep_traceback
    from lbsync.cli.watchview import MONITOR_CODES, monitor_text, next_line
    from lbsync.watch.items import Level, worst

    try:
        with screen.muted():
            done = _look(screen, config, threading.Event(), canary=canary, look_only=look_only)
    except LbsyncError as error:
        where = f"{error.where}: " if error.where else ""
        screen.result(f"LBSYNC UNKNOWN - {where}{error.message}")
        return MONITOR_CODES[Level.UNKNOWN]
    except OSError as error:
        screen.result(f"LBSYNC UNKNOWN - {error.filename or screen.folder}: {error.strerror or error}")
        return MONITOR_CODES[Level.UNKNOWN]
    except typer.Exit:
        screen.result(
            "LBSYNC CRITICAL - a rotation stands half-way, since the ledger could not be written: lbsync runs"
        )
        return MONITOR_CODES[Level.CRITICAL]
    except Exception:  # noqa: BLE001  a monitor is told in its own way whatever happens
        screen.result("LBSYNC UNKNOWN - lbsync met something it does not know; its log has the rest")
        keep_traceback(screen.folder, screen.redactor, traceback.format_exc())
        return MONITOR_CODES[Level.UNKNOWN]
    screen.result(monitor_text(done.items, done.thresholds, next_line(done.outlook, done.now)))
    return MONITOR_CODES[worst(done.items)]


def _loop(screen: Session, config: Path | None, *, canary: bool) -> ExitCode:
    """Look until a signal comes, or going on would do harm; returns what the command is to end with.

    A look that fails as a whole is told and tried again, but for the first one, where the configuration is at fault, and for
    a refused log-on, which repeated would lock the account.
    """
    from lbsync.cli.signals import stopping
    from lbsync.cli.watchview import next_line, watch_document, watch_view

    stop, first, told, wait_s = threading.Event(), True, "", 0.0
    usual_s = 0.0
    with stopping(stop, _silent, ignore_hangup=False):
        while not stop.wait(wait_s):
            try:
                done = _look(screen, config, stop, canary=canary)
            except Denied:
                raise
            except (LbsyncError, OSError) as error:
                if first:
                    raise
                tell(screen, error) if isinstance(error, LbsyncError) else screen.warn(str(error))
                wait_s = usual_s
                continue
            if done.code is ExitCode.UNFINISHED:
                return done.code
            line = next_line(done.outlook, done.now)
            seen = "\n".join((*map(str, done.items), line))
            if seen != told:
                screen.result(f"{done.now.astimezone():%Y-%m-%d %H:%M:%S %Z}", *watch_view(done.items, line))
                screen.document(watch_document(done))
            first, told, usual_s = False, seen, done.section.every_s
            wait_s = done.wait_s(datetime.now(UTC), random.random())  # noqa: S311  it spreads looks, it hides nothing
    return ExitCode.OK


def _silent(_words: str) -> None:
    """A loop that waits ends at once: nothing needs saying."""
