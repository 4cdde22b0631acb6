"""``lbsync advise``: which mode each service may have, and why; what would change if; and to write the modes that may be.

Rule of this file: with ``--write`` the configuration file changes, once it was shown and agreed to, and nothing else ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, ConfigFile, Quiet, StateFolder
from lbsync.errors import ConfigError
from lbsync.services import Service

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lbsync.advice import Advice, Finding
    from lbsync.cli.house import Look
    from lbsync.model import Mode
    from lbsync.target import Capabilities

_IF = (
    "What would change, repeatable: ep=on|off, version=2013|2016|2019|2019CU14|SE, mrsproxy=on|off, oauth=on|off, "
    "balancer=haproxy|nginx|nginx-http|nginx-stream|bigip, trusted_leg=true|false, "
    "encrypt_inside=true|false."
)


def advise(  # noqa: PLR0917  # typer calls it by keyword
    config: ConfigFile = None,
    state: StateFolder = None,
    explain: Annotated[
        Service | None,
        typer.Option("--explain", help="One service as a tree: each mode, its verdict, every rule behind it."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="SERVER", help="Judge these servers or groups by themselves; repeatable."),
    ] = None,
    what_if: Annotated[list[str] | None, typer.Option("--if", metavar="KEY=VALUE", help=_IF)] = None,
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Put a possible mode into the configuration file for each service that is refused."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --write: do not ask.")] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Measure what the second TLS leg costs: a few handshakes with each server.")
    ] = False,
    recorded: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Judge a recording instead; asks nobody. Its wishes, or --config's."
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Judge each service: offload or bridge, with reasons. Only --write changes anything, and only the configuration file."""
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.advise.what_if import supposition
        from lbsync.cli.choosing import with_chosen
        from lbsync.cli.costing import tell_costs
        from lbsync.cli.modewriting import write_modes
        from lbsync.cli.supposing import tell_what_if
        from lbsync.cli.wiring import open_house
        from lbsync.config.taken import taken_servers

        supposed = supposition(what_if or ())
        _alone({"--explain": explain is not None, "--if": bool(supposed), "--write": write, "--cost": cost})
        _alone({"--only": bool(only), "--if": bool(supposed), "--write": write, "--cost": cost})
        if yes and not write:
            raise _only_with_write()
        if recorded is not None:
            from lbsync.cli.recorded import alone, open_recording

            alone({"--write": write, "--cost": cost, "--only": bool(only)})
            farm = open_recording(recorded, config)
            screen.note(f"{recorded}: as it was {farm.recording.taken:%Y-%m-%d %H:%M} UTC; wishes: {farm.wishes}")
            if supposed:
                screen.end(tell_what_if(screen, farm, supposed))
            screen.end(_tell(screen, farm.look(), farm.capabilities, explain))
        with open_house(config, screen) as house:
            if supposed:
                screen.end(tell_what_if(screen, house, supposed))
            if write:
                screen.end(write_modes(screen, house, yes=yes))
            if cost:
                screen.end(tell_costs(screen, house))
            taken = taken_servers(house.config, only or ())
            code = _tell(screen, with_chosen(house.look(), {}, taken), house.capabilities, explain)
        screen.end(code)


def _tell(screen: Session, look: Look, capabilities: Mapping[str, Capabilities], explain: Service | None) -> ExitCode:
    """Show the verdicts; returns what to end with."""
    from lbsync.advise import advise as judge
    from lbsync.advise import reasons
    from lbsync.advise.parts import judged_in_part
    from lbsync.parts import narrowed

    judged = (look.desired, narrowed(look.desired, look.facts), capabilities, look.now)
    in_part = (look.desired, look.facts, capabilities, look.now)
    advice = judged_in_part(*in_part)[0] if look.desired.only else judge(*judged)
    why = {} if explain is None else _of(explain, reasons(*judged))
    screen.result(*_view(advice, explain, why))
    told = {mode.value: [finding.model_dump(mode="json") for finding in found] for mode, found in why.items()}
    screen.document(advice.model_dump(mode="json") | ({"explained": told} if told else {}))
    return ExitCode.ATTENTION if advice.refusals else ExitCode.OK


def _alone(given: dict[str, bool]) -> None:
    """Each of these is a question of its own. Raises ConfigError where two are asked at once."""
    asked = [option for option, is_given in given.items() if is_given]
    if len(asked) > 1:
        raise ConfigError(
            f"{' and '.join(asked)} do not go together",
            where=asked[-1],
            state="nothing was read and nothing was changed",
            remedy="give one of them",
        )


def _only_with_write() -> ConfigError:
    return ConfigError(
        "--yes goes with --write only",
        where="--yes",
        state="nothing was read and nothing was changed",
        remedy="leave it out, or add --write",
    )


def _of(
    service: Service, reasons: Mapping[tuple[Service, Mode], tuple[Finding, ...]]
) -> dict[Mode, tuple[Finding, ...]]:
    """What speaks of one service, by mode."""
    return {mode: found for (asked, mode), found in reasons.items() if asked is service}


def _view(advice: Advice, explain: Service | None, why: Mapping[Mode, tuple[Finding, ...]]) -> list[RenderableType]:
    from lbsync.cli.adviceview import advice_view, verdict_view

    if explain is None:
        return advice_view(advice)
    verdict = next(verdict for verdict in advice.services if verdict.service is explain)
    return verdict_view(verdict, advice.farm, why)
