"""``lbsync rotate --keep-going``: on without the balancers that cannot be switched.

Rule of this file: who is left out, and whether that may be, ``rotation.partial`` says; each attempt is a run of its own, taken
back whole where it fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lbsync.cli.applying import carry_out
from lbsync.cli.command import Session, tell
from lbsync.cli.exits import ExitCode
from lbsync.cli.house import House, Look
from lbsync.cli.listing import existing
from lbsync.cli.renewing import opened, rotation
from lbsync.errors import UnsafeChange
from lbsync.model import Plan
from lbsync.rotation.partial import culprits, refuse_under_protection, unpublished
from lbsync.run import Run
from lbsync.services import MailService
from lbsync_certs import CertificateInfo


def looked(screen: Session, house: House, left_out: Mapping[str, str] | None) -> tuple[Look, dict[str, str]]:
    """A look, and the balancers to leave out: those of before, who does not answer and who publishes nothing, with the reason.

    With ``left_out`` ``None`` nobody may be. Raises TargetError where anybody else does not answer, UnsafeChange where nobody
    can be left out.
    """
    if left_out is None:
        return house.look(), {}
    seen = house.see()
    if len(seen.errors) != len(seen.silent):
        return house.judged(seen), {}  # which raises
    silent = {name: error.message for name, error in seen.silent.items()}
    look = house.judged(replace(seen, errors=()))
    refuse_under_protection(look.facts)
    more = {name: why for name, why in {**silent, **unpublished(look.facts)}.items() if name not in left_out}
    _say(screen, more)
    return look, {**left_out, **more}


def go_on(
    screen: Session,
    house: House,
    wanted: Look,
    plan: Plan,
    left_out: dict[str, str],
    *,
    also: Sequence[MailService] = (),
    canary: bool,
) -> ExitCode:
    """Carry a rotation out, again without whoever made it go back, until it holds or nobody is left.

    ``also`` is what servers give the certificate to besides IIS: as IIS, not before nobody is left out.
    """
    leaf = wanted.desired.leaf
    assert leaf is not None  # noqa: S101  there is one in every rotation
    again = False
    while True:
        code = _attempt(screen, house, wanted, plan, canary=canary, again=again)
        again = True
        run = _last(screen)
        more = culprits(run, set(house.capabilities) - set(left_out)) if code is ExitCode.TAKEN_BACK else {}
        if not more:
            return _end(screen, run, code, left_out, leaf, also=also)
        _say(screen, more)
        try:
            look, left_out = looked(screen, house, {**left_out, **more})
            wanted = opened(house, look, leaf)
            plan = rotation(house, wanted, left_out=left_out)
        except UnsafeChange as error:
            tell(screen, error)
            return code


def _attempt(screen: Session, house: House, wanted: Look, plan: Plan, *, canary: bool, again: bool) -> ExitCode:
    """In JSON mode without a word: one document is printed, that of the last."""
    if not screen.as_json:
        return carry_out(screen, house, wanted, plan, None, canary=canary, again=again)
    with screen.muted():
        return carry_out(screen, house, wanted, plan, None, canary=canary, again=again)


def _end(
    screen: Session,
    run: Run,
    code: ExitCode,
    left_out: dict[str, str],
    leaf: CertificateInfo,
    *,
    also: Sequence[MailService],
) -> ExitCode:
    from lbsync.cli.runview import run_document

    screen.document(run_document(run) | {"left_out": left_out})
    if code is not ExitCode.OK or not left_out:
        return code
    for name, reason in left_out.items():
        screen.warn(f"{name} keeps the certificate of before, and the servers with it: {reason}")
    services = f" --also {','.join(also).lower()}" if also else ""
    screen.result(f"Once that is mended: lbsync rotate --thumbprint {leaf.thumbprint}{services}")
    return ExitCode.NOT_PROVEN


def _say(screen: Session, left_out: Mapping[str, str]) -> None:
    for name, reason in left_out.items():
        screen.warn(f"going on without {name}: {reason}")


def _last(screen: Session) -> Run:
    """The run that was just carried out."""
    ledger = existing(screen)
    assert ledger is not None  # noqa: S101  a run has just been written to it
    with ledger:
        return ledger.run(ledger.runs()[0].run_id)
