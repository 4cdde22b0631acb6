"""``lbsync record``: what was read from a farm, into one file, to show it to somebody or to rehearse on it.

Rule of this file: nothing is written that holds a secret, a private key or, under pseudonyms, a name; it looks at the finished
text before it writes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.options import AsJson, ConfigFile, Quiet, StateFolder
from lbsync.errors import ConfigError, LbsyncError

if TYPE_CHECKING:
    from lbsync.recording.pseudonyms import Pseudonyms

_STDOUT = Path("-")
_NOTHING = "nothing was written and nothing was changed"


def record(  # noqa: PLR0917  # typer calls it by keyword
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; - for standard output.")],
    config: ConfigFile = None,
    state: StateFolder = None,
    pseudonyms: Annotated[
        bool, typer.Option("--pseudonyms", help="Other names for servers, hosts, addresses, accounts, certificates.")
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", help="With --pseudonyms: what stands for what, for yourself; never send it."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Store what is read from the farm, facts and wishes only, never secrets. Reads once, changes nothing."""
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        if key is not None and not pseudonyms:
            raise ConfigError(
                "--key goes with --pseudonyms only",
                where="--key",
                state=_NOTHING,
                remedy="leave it out, or add --pseudonyms",
            )
        for path in (file, key):
            _free(path, force=force)
        from importlib.metadata import version

        from lbsync.cli.wiring import open_house
        from lbsync.recording import disguise, render, taken

        with open_house(config, screen) as house:
            look = house.look()
            recording = taken(look.desired, look.facts, house.capabilities, look.now, version=version("lbsync"))
        names: Pseudonyms | None = None
        if pseudonyms:
            recording, names = disguise(recording)
        text = render(recording)
        look_again(screen, text, names)
        if key is not None and names is not None:
            write_recording(
                key, json.dumps({told: original for original, told in names.table.items()}, indent=1) + "\n"
            )
        if file == _STDOUT:
            typer.echo(text, nl=False)
            return
        write_recording(file, text)
        servers, balancers = len(recording.facts.servers), len(recording.facts.balancers)
        how = "under pseudonyms" if pseudonyms else "with their names; --pseudonyms hides these"
        screen.result(f"{file}: {servers} server(s) and {balancers} balancer(s), {how}. Left out:")
        for left in recording.left_out:
            screen.result(f"  {left}")
        screen.note(f"Look at it before you send it. To judge it: lbsync advise --from {file}")
        screen.document({
            "file": str(file), "servers": servers, "balancers": balancers, "pseudonyms": pseudonyms,
            "left_out": list(recording.left_out),
        })  # fmt: skip


def _free(path: Path | None, *, force: bool) -> None:
    """Refuse before anything is read. Raises ConfigError."""
    if path is None or path == _STDOUT:
        return
    if path.is_dir():
        raise ConfigError("this is a folder", where=str(path), state=_NOTHING, remedy="name a file in it")
    if path.exists() and not force:
        raise ConfigError(
            "this file exists already",
            where=str(path),
            state=_NOTHING,
            remedy="name another, or add --force to replace it",
        )


def look_again(screen: Session, text: str, names: Pseudonyms | None) -> None:
    """The last look at what will be written; ``names`` are its pseudonyms, if any. Raises LbsyncError."""
    from lbsync.recording import leaks

    held = screen.redactor.found_in(text)
    if held is None and screen.redactor.clean(text) != text:
        held = "a private key"
    left = leaks(text, names) if names is not None else ()
    if held is None and not left:
        return
    raise LbsyncError(
        f"the recording would hold {held}" if held is not None else f"the recording would still hold {', '.join(left)}",
        where="lbsync record",
        state=_NOTHING,
        remedy="this is a mistake of lbsync: tell its authors, without the names",
        code="recording-unsafe",
    )


def write_recording(path: Path, text: str) -> None:
    """Write it whole, for its owner alone. Raises LbsyncError."""
    from lbsync.private import write_private

    try:
        write_private(path, text)
    except OSError as error:
        raise LbsyncError(
            f"the file cannot be written: {error.strerror}",
            where=str(path),
            state="nothing was changed on servers and balancers",
            remedy="name a file in a folder that exists and is yours to write, with room on its disk",
            code=f"errno-{error.errno}",
        ) from None
