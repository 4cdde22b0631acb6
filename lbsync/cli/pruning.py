"""``lbsync prune``: certificates of before a rotation, removed for good once nobody needs them.

Rule of this file: what may go is decided by ``rotation.retiring``; here it is gathered what that takes to know, and the plan is
applied by the same engine as any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, Basis, ConfigFile, Quiet, StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from lbsync.cli.house import House, Look
    from lbsync.model import Plan
    from lbsync.rotation.ground import Ground
    from lbsync_certs import CertificateInfo, Fingerprint


def prune(  # noqa: PLR0917  # typer calls it by keyword
    thumbprint: Annotated[
        str | None, typer.Option("--thumbprint", help="Which one; default: every one that nothing speaks against.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Remove the one named before its grace period is over; never while it is used."),
    ] = False,
    config: ConfigFile = None,
    state: StateFolder = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show which may go and which not, and the plan; and end.")
    ] = False,
    basis: Basis = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Remove certificates that are no longer served from servers and balancers, for good.

    Each is left alone for [certificate] keep_days after it ceased to be served, and as long as anything uses it: an IIS binding,
    an Exchange service, a connector, AuthConfig, a federation trust, a balancer, the configuration.
    """
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.cli.applying import agreed, carry_out, refuse_another
        from lbsync.cli.listing import left_unfinished
        from lbsync.cli.planview import plan_view
        from lbsync.cli.pruneview import candidates_document, candidates_view
        from lbsync.cli.wiring import open_house
        from lbsync.rotation.retiring import candidates

        _refuse_force_alone(thumbprint, force=force)
        hindrance = left_unfinished(screen)
        if hindrance is not None:
            raise hindrance
        with open_house(config, screen) as house:
            look, ground = _looked(screen, house)
            found = candidates(ground)
            screen.result(*candidates_view(ground.current, found))
            plan = _planned(house, look, ground, thumbprint, force=force)
            refuse_another(plan, basis)
            if dry_run or not plan.steps:
                screen.result(*(plan_view(plan) if plan.steps else ["Nothing to remove now."]))
                screen.document(plan.model_dump(mode="json") | {"certificates": candidates_document(found)})
                screen.end(ExitCode.ATTENTION if plan.steps else ExitCode.OK)
            agreed(screen, plan, yes=yes)
            if not yes:
                _refuse_stale(plan, _planned(house, *_looked(screen, house), thumbprint, force=force))
            screen.end(carry_out(screen, house, look, plan, None, canary=False))


def _planned(house: House, look: Look, ground: Ground, thumbprint: str | None, *, force: bool) -> Plan:
    """The plan. Raises UnsafeChange where the one named must stay, or nothing may be changed here."""
    from lbsync.plan import build_retirement
    from lbsync.rotation.retiring import choose

    return build_retirement(look.desired, ground, choose(ground, named=thumbprint, force=force), house.targets)


def _refuse_stale(approved: Plan, fresh: Plan) -> None:
    """Raises StalePlan: nothing here can be taken back, so what changed while somebody read the plan stops it."""
    from lbsync.errors import StalePlan

    if approved.basis != fresh.basis:
        raise StalePlan(
            "servers, balancers, or what uses the certificates changed while the plan was read",
            state="nothing was changed",
            remedy="look at it anew: lbsync prune",
        )


def _refuse_force_alone(thumbprint: str | None, *, force: bool) -> None:
    """Raises ConfigError: a grace period is overruled for one certificate, by its name."""
    from lbsync.errors import ConfigError

    if force and thumbprint is None:
        raise ConfigError(
            "--force overrules the grace period of one certificate: it goes with --thumbprint only",
            where="--force",
            state="nothing was changed",
            remedy="name the certificate: lbsync prune --thumbprint THUMBPRINT --force",
        )


def _looked(screen: Session, house: House) -> tuple[Look, Ground]:
    """One look at everything that may speak against a removal, with what is served for what is wanted.

    Raises UnsafeChange where nothing is served yet, TargetError, CertificateError, SecretError, LedgerError.
    """
    from datetime import timedelta

    from lbsync.cli.renewing import served
    from lbsync.rotation.ground import Ground

    look = house.look()
    current = served(house, look.facts.balancers, look.facts.servers)
    section = house.config.certificate
    ground = Ground(
        facts=look.facts,
        uses=house.certificate_uses(),
        current=current,
        hosts=house.config.publish.hosts,
        keep=timedelta(days=section.keep_days),
        now=look.now,
        configured=_configured(house),
        files=_files(screen, house),
    )
    return _as_it_is(look, current), _with_ends(screen, ground)


def _with_ends(screen: Session, ground: Ground) -> Ground:
    """With what the ledger knows of each: until when it was served."""
    from dataclasses import replace

    from lbsync.cli.listing import recorded
    from lbsync.rotation.history import effects, served_until

    seen = effects(recorded(screen))
    ends: dict[Fingerprint, datetime] = {}
    for one in ground.everything():
        until = served_until(seen, one.fingerprint, one.thumbprint)
        if until is not None:
            ends[one.fingerprint] = until
    return replace(ground, until=ends)


def _configured(house: House) -> dict[str, str]:
    """What the configuration names, by thumbprint or SHA-256: with the key that does."""
    section = house.config.certificate
    named = {section.thumbprint: "[certificate] thumbprint"} if section.thumbprint is not None else {}
    published = house.file_fingerprint
    return named | ({str(published): f"[certificate] file, {section.file}"} if published is not None else {})


def _files(screen: Session, house: House) -> dict[Fingerprint, tuple[CertificateInfo, tuple[str, ...]]]:
    """What the files hold where renewals are looked for, by leaf; one that cannot be read is told."""
    found: dict[Fingerprint, tuple[CertificateInfo, tuple[str, ...]]] = {}
    for one in house.dropped.look() if house.config.certificate.renewals else ():
        if one.bundle is None:
            screen.warn(f"{one.path}: {one.problem}")
            continue
        info = one.bundle.info
        _, before = found.get(info.fingerprint, (info, ()))
        found[info.fingerprint] = info, (*before, one.path)
    return found


def _as_it_is(look: Look, current: CertificateInfo) -> Look:
    """The same look, with what is served for what is wanted: a removal changes neither leaf nor modes."""
    from dataclasses import replace

    live = next((dict(seen.modes) for seen in look.facts.balancers if seen.published), {})
    desired = look.desired.model_copy(update={"leaf": current, "modes": {**look.desired.modes, **live}})
    return replace(look, desired=desired)


def pruned_since(screen: Session, run_id: str) -> Iterable[str]:
    """Where the way back of a run would need a certificate that was removed for good, a line each; see ``history``."""
    from lbsync.cli.listing import existing, recorded
    from lbsync.rotation.history import effects, out_of_reach, removed

    ledger = existing(screen)
    if ledger is None:
        return ()
    with ledger:
        run = ledger.run(run_id)
    return out_of_reach(run, removed(effects(recorded(screen)), run.plan.farm))
