"""``lbsync rotate``: a renewed certificate to every balancer and server, and nobody notices.

Rule of this file: which certificate and in which order is decided by ``rotation``; here it is found, opened once to be sure, and
applied by the same engine as any plan.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.durations import seconds
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, Basis, ConfigFile, Quiet, StateFolder

if TYPE_CHECKING:
    from lbsync.cli.house import House
    from lbsync.rotation.candidates import Candidate
    from lbsync_certs import CertificateInfo


def rotate(  # noqa: PLR0917  # typer calls it by keyword
    thumbprint: Annotated[
        str | None, typer.Option("--thumbprint", help="Which one; default: the only renewed one there is.")
    ] = None,
    response: Annotated[
        Path | None,
        typer.Option("--response", help="The CA's answer to a request of lbsync csr: complete it, then rotate."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Take the one named though it ends no later, or its key is weaker.")
    ] = False,
    maintenance: Annotated[
        bool, typer.Option("--maintenance", help="Change all at once and drain nobody: some requests fail meanwhile.")
    ] = False,
    keep_going: Annotated[
        bool,
        typer.Option("--keep-going", help="Leave out a balancer that cannot be switched, instead of all going back."),
    ] = False,
    also: Annotated[
        str | None,
        typer.Option("--also", metavar="smtp,imap,pop", help="Services that get it besides IIS; default: none."),
    ] = None,
    config: ConfigFile = None,
    state: StateFolder = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the certificate and the plan, and end.")] = False,
    confirm_within: Annotated[
        str | None,
        typer.Option("--confirm-within", metavar="10m", help="Go back by itself unless lbsync confirm comes in time."),
    ] = None,
    basis: Basis = None,
    canary: Annotated[bool, typer.Option(help="Send requests all the while and count failures.")] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take a renewed certificate to every balancer and server, without a failed request.

    It is looked for on the servers and where [certificate] renewals says. Unless every listener serves it and every service
    answers, seen from outside, all of it goes back by itself.
    """
    confirm_s = seconds(confirm_within) if confirm_within is not None else None
    if keep_going and (confirm_s is not None or maintenance):
        raise typer.BadParameter("--keep-going goes neither with --confirm-within nor with --maintenance")
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.cli.applying import agreed, carry_out, refuse_another
        from lbsync.cli.going_on import go_on, looked
        from lbsync.cli.listing import left_unfinished
        from lbsync.cli.planview import plan_view
        from lbsync.cli.renewing import candidates, chosen, opened, rotation, served
        from lbsync.cli.wiring import open_house
        from lbsync.rotation.also import named

        services = named(also)
        hindrance = left_unfinished(screen)
        if hindrance is not None:
            raise hindrance
        with open_house(config, screen) as house:
            if response is not None:
                thumbprint = _completed(screen, house, response, thumbprint, dry_run=dry_run)
            look, left_out = looked(screen, house, {} if keep_going else None)
            current = served(house, look.facts.balancers, look.facts.servers)
            found, unreadable = candidates(house, look.facts.servers)
            for one in unreadable:
                screen.warn(f"{one.path}: {one.problem}")
            candidate = chosen(house, look, current, found, thumbprint, force=force).candidate
            wanted = opened(house, look, candidate.info)
            plan = rotation(house, wanted, maintenance=maintenance, also=services, left_out=left_out)
            refuse_another(plan, basis)
            _say(screen, house, current, candidate)
            if dry_run or not plan.steps:
                screen.result(*plan_view(plan))
                screen.document(plan.model_dump(mode="json") | {"left_out": left_out})
                if not plan.steps and left_out:
                    screen.end(ExitCode.NOT_PROVEN)
                screen.end(ExitCode.ATTENTION if plan.steps else ExitCode.OK)
            agreed(screen, plan, yes=yes)
            if keep_going:
                screen.end(go_on(screen, house, wanted, plan, left_out, also=services, canary=canary))
            screen.end(carry_out(screen, house, wanted, plan, confirm_s, canary=canary))


def _completed(screen: Session, house: House, response: Path, thumbprint: str | None, *, dry_run: bool) -> str:
    """The thumbprint of what the answer made of a pending request. Raises ConfigError, CertificateError, TargetError."""
    from lbsync.errors import ConfigError

    if dry_run or thumbprint is not None:
        raise ConfigError(
            "--response completes a request and names the certificate: it goes neither with --dry-run nor with --thumbprint",
            where="--response",
            state="nothing was changed",
            remedy="give --response alone; the plan is shown before anything else changes",
        )
    try:
        answer = response.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the answer cannot be read: {error.strerror or error}",
            where=str(response),
            state="nothing was changed",
            remedy="look at the path and at its rights",
        ) from None
    server, completed, already = house.complete(answer)
    words = "was completed there before" if already else "is completed: its certificate is in the store there"
    screen.note(f"The request on {server} {words}, {completed}.")
    return completed


def _say(screen: Session, house: House, current: CertificateInfo, chosen: Candidate) -> None:
    """From which to which, and what the configuration would undo at the next apply."""
    screen.result(
        f"From {current.thumbprint} (until {current.not_after:%Y-%m-%d}) to {chosen.info.thumbprint} "
        f"(until {chosen.info.not_after:%Y-%m-%d}), found at {', '.join(chosen.places)}."
    )
    section = house.config.certificate
    if section.source == "server" and section.thumbprint not in {None, chosen.info.thumbprint}:
        screen.warn(
            f"{house.loaded.file} names the certificate by thumbprint: change it to {chosen.info.thumbprint} afterwards, or the "
            "next apply goes back to the one before"
        )
    elif section.source == "file" and house.file_fingerprint != chosen.info.fingerprint:
        screen.warn(
            f"{house.loaded.file} publishes the certificate of {section.file}, which is another one: replace that file "
            "afterwards, or the next apply goes back to the one before"
        )
