"""``lbsync serve``: the service, for as long as the host runs.

Rule of this file: it reads what the service is told to do, and says where it is; everything else is the service's.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.options import ConfigFile, StateFolder

if TYPE_CHECKING:
    from lbsync.config import ServiceSection
    from lbsync.service.front import Front
    from lbsync.service.namespaces import Namespace


def serve(
    config: ConfigFile = None,
    namespaces: Annotated[
        Path | None,
        typer.Option("--namespaces", metavar="DIR", help="A folder with a configuration file for each farm."),
    ] = None,
    service: Annotated[
        Path | None, typer.Option("--service", metavar="FILE", help="A file with [service]; default: the first farm's.")
    ] = None,
    state: StateFolder = None,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="ADDRESS:PORT", help="In place of [service] listen.")
    ] = None,
) -> None:
    """Watch farms for years: look, propose, rotate in their windows, and show all of it in a browser.

    Every look and every change is a command of its own, with the same plan, ledger and lock; what was approved is what runs.
    """
    with _uncollected(), command(state=state) as screen:
        missing = _missing()
        if missing is not None:
            raise missing
        from lbsync.service.front import front
        from lbsync.service.run import alone

        os.umask(0o077)
        found = _namespaces(config, namespaces, screen.folder)
        section, base = _section(found, service, listen)
        with alone(screen.folder / "serve"):
            _serve(found, section, front(section, base, screen.folder), screen, base, folder=namespaces)


@contextmanager
def _uncollected() -> Generator[None]:
    """Inside, no garbage is looked for before the service is up: there is none, and looking took a tenth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _serve(
    found: tuple[Namespace, ...],
    section: ServiceSection,
    way_in: Front,
    screen: Session,
    base: Path,
    *,
    folder: Path | None,
) -> None:
    import asyncio
    from functools import partial

    from lbsync.secrets import resolve
    from lbsync.service.children import CommandLine
    from lbsync.service.front import listen, server, url
    from lbsync.service.hub import ServiceHub
    from lbsync.service.logs import json_lines
    from lbsync.service.namespaces import look_through
    from lbsync.service.outlets import Outlets
    from lbsync.service.run import serve as run
    from lbsync.service.supervisor import Supervisor

    state, redactor = screen.folder, screen.redactor
    find = partial(look_through, folder, state) if folder is not None else None
    if way_in.access.token is not None:
        redactor.remember("serve.token", way_in.access.token)

    async def all_of_it() -> None:
        hub = ServiceHub(found, section, state / "serve", CommandLine(), find=find)
        outlets = Outlets(
            hub,
            section,
            folder=state / "serve",
            base=base,
            secret=lambda reference: redactor.remember(reference, resolve(reference, base=base)),
        )
        config = server(hub, way_in, outlets)
        with listen(way_in.access) as listening:
            at = url(way_in.access, listening.getsockname()[1])
            outlets.start()

            def up() -> None:
                gc.freeze()  # all that was loaded stays
                gc.enable()
                _say(at, way_in, state)

            try:
                await run(hub, config, listening, Supervisor(), up, own=way_in.own)
            finally:
                await outlets.close()

    with json_lines(redactor):
        asyncio.run(all_of_it())


def _say(at: str, way_in: Front, state: Path) -> None:
    """Where it is. The token goes to a terminal and into no log."""
    token = way_in.access.token
    if token is None:
        typer.echo(f"Serving at {at}")
    elif sys.stdout.isatty():
        typer.echo(f"Serving. Open {at}/login#token={token.get_secret_value()}")
    else:
        typer.echo(f"Serving at {at}; the token to log in with lies in {state / 'serve.token'}")


def _missing() -> Exception | None:
    """Why the service cannot be run at all."""
    from importlib.util import find_spec

    from lbsync.errors import ConfigError

    lacking = [
        name for name in ("fastapi", "uvicorn", "argon2", "multipart", "prometheus_client") if find_spec(name) is None
    ]
    if not lacking:
        return None
    return ConfigError(
        f"lbsync serve needs packages that are not installed: {', '.join(lacking)}",
        where="this installation",
        state="nothing was started",
        remedy="pip install 'lbsync[service]'",
    )


def _namespaces(config: Path | None, folder: Path | None, state: Path) -> tuple[Namespace, ...]:
    """Raises ConfigError."""
    from lbsync.cli.options import config_path
    from lbsync.errors import ConfigError
    from lbsync.service.namespaces import one, several

    if folder is None:
        return one(config_path(config), state)
    if config is not None and "LBSYNC_CONFIG" not in os.environ:
        raise ConfigError(
            "--config names one farm and --namespaces several",
            where="--namespaces",
            state="nothing was started",
            remedy="give one of them",
        )
    return several(folder, state)


def _section(found: tuple[Namespace, ...], service: Path | None, address: str | None) -> tuple[ServiceSection, Path]:
    """``[service]``, and the folder that its paths start from. Raises ConfigError."""
    from lbsync.cli.opening import open_config, read_text
    from lbsync.config import load_service

    if service is not None:
        section, base = load_service(read_text(service), file=str(service)), service.absolute().parent
    else:
        loaded = open_config(found[0].config)
        section, base = loaded.config.service, loaded.base
    if address is not None:
        listens = load_service(f"[service]\nlisten = {json.dumps(address)}\n", file="--listen").listen
        section = section.model_copy(update={"listen": listens})
    return section, base
