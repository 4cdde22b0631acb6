"""What the step says and asks that enables a certificate for more than IIS."""

from __future__ import annotations

from lbsync.changes import AlsoEnable, EnableCertificate
from lbsync.exchange.actions import EnableArgs, EnabledCheck, ServiceCertificate, args_of
from lbsync.exchange.holders import holds, strangers
from lbsync.exchange.lowering import lower
from lbsync.facts import ExchangeCertificate
from lbsync.model import Check, Step
from lbsync.services import MailService
from lbsync.testing.farm_facts import server_facts
from lbsync_certs import Thumbprint

OLD, OWN, NEW = (Thumbprint(letter * 40) for letter in "ABC")
SMTP, IMAP, POP = MailService


def step(*also: AlsoEnable, before: Thumbprint | None = OLD) -> Step:
    """The step that binds NEW where ``before`` was."""
    (found,) = lower(EnableCertificate(before=before, after=NEW, also=also), server_facts("EX01"))
    return found


def pairs(found: Step, *, undo: bool = False) -> list[tuple[str, Thumbprint]]:
    """What is enabled besides IIS, in order."""
    action = found.undo if undo else found.do
    assert action is not None
    return [(one.service.value, one.thumbprint) for one in args_of(EnableArgs, action).also]


def asked(checks: tuple[Check, ...]) -> list[EnabledCheck]:
    """What Exchange is asked afterwards."""
    return [args_of(EnabledCheck, check) for check in checks if check.verb == "certificate-enabled"]


def test_without_others_the_step_is_about_iis_alone() -> None:
    """No word and no question of anything else."""
    found = step()
    assert found.summary == f"IIS 443 serves {NEW}; recycle 2 app pool(s)"
    assert found.details[0] == f"~ IIS certificate: {OLD} → {NEW}"
    assert pairs(found) == pairs(found, undo=True) == []
    assert asked((*found.until, *found.undo_until)) == []
    assert not any("SMTP" in line or "IMAP" in line or "going back" in line for line in found.details)


def test_each_service_is_told_with_before_and_after_and_goes_back_to_its_own() -> None:
    """SMTP keeps what it has and what servers use between them; IMAP goes back to another one than IIS."""
    found = step(
        AlsoEnable(service=SMTP, before=(OLD, OWN), back=OWN, stays=True),
        AlsoEnable(service=IMAP, before=(OWN,), back=OWN),
    )
    assert found.summary.startswith(f"IIS 443, SMTP, IMAP serve {NEW}; ")
    assert found.details[1:6] == (
        f"~ SMTP certificates: {OLD}, {OWN} → {OLD}, {OWN}, {NEW}",
        f"between servers SMTP goes on with {OWN}",
        f"going back leaves SMTP on {NEW} too: Exchange takes no service from a certificate",
        f"~ IMAP certificate: {OWN} → {NEW}",
        "restart MSExchangeIMAP4 and MSExchangeIMAP4BE where they run; IMAP clients connect again",
    )
    assert pairs(found) == [("SMTP", NEW), ("SMTP", OWN), ("IMAP", NEW)]
    assert pairs(found, undo=True) == [("SMTP", OWN), ("IMAP", OWN)]
    assert [one.internal_transport for one in asked((*found.until, *found.undo_until))] == [OWN, OWN]


def test_what_cannot_be_taken_back_is_said() -> None:
    """A service that had none, one that had it already, SMTP of which nobody knows more, and IIS without any before."""
    found = step(
        AlsoEnable(service=SMTP, before=(OLD, OWN)),
        AlsoEnable(service=IMAP),
        AlsoEnable(service=POP, before=(NEW,)),
    )
    told = "\n".join(found.details)
    assert f"between servers SMTP uses {NEW} from then on" in told
    assert "nor is it known what servers used between them before" in told
    assert f"~ IMAP certificate: (none) → {NEW}" in told
    assert "IMAP had none before: going back leaves it there" in told
    assert "POP had it already: going back leaves it there" in told
    assert pairs(found, undo=True) == []
    assert asked(found.undo_until) == []
    last = step(AlsoEnable(service=SMTP, before=(OLD,), back=OLD), before=None)
    assert last.undo is None
    assert "IIS had no certificate before: nothing of this step is taken back" in last.details


def test_where_iis_has_it_already_nothing_is_recycled() -> None:
    """Only the others are given it."""
    found = step(AlsoEnable(service=POP, before=(OWN,), back=OWN), before=NEW)
    assert found.details[0] == f"IIS has {NEW} already"
    assert "recycle 0" in found.summary
    assert not any("sign in" in line for line in found.details)


def told(thumbprint: Thumbprint, *services: str, internal: bool | None = None) -> ExchangeCertificate:
    """What Exchange says of one certificate."""
    return ExchangeCertificate(server="EX01", thumbprint=thumbprint, services=services, internal_transport=internal)


def test_a_service_that_has_it_not_fails_the_check() -> None:
    """Each is named with what it has; what servers use between them counts where Exchange says it."""
    wanted = EnabledCheck(
        also=(ServiceCertificate(service=SMTP, thumbprint=NEW), ServiceCertificate(service=IMAP, thumbprint=NEW)),
        internal_transport=OWN,
    )
    good = [told(NEW, "IIS", "SMTP", "IMAP", internal=False), told(OWN, "SMTP", internal=True)]
    assert holds(wanted, good).passed
    assert holds(wanted, [told(NEW, "SMTP", "IMAP")]).passed
    found = holds(wanted, [told(NEW, "SMTP", internal=True), told(OLD, "IMAP", internal=False)])
    assert not found.passed
    assert found.detail == f"IMAP has {OLD}, not {NEW}; between servers SMTP uses {NEW}, not {OWN}"
    assert found.evidence == {"SMTP": [NEW], "IMAP": [OLD]}
    silent = ExchangeCertificate(server="EX01", thumbprint=NEW)
    assert "SMTP has no certificate" in holds(wanted, [silent]).detail


def test_only_somebody_elses_change_is_seen_before_going_back() -> None:
    """Old and new may both show IMAP; a third one is foreign. SMTP may have any, and what has no way back is not compared."""
    also = [
        ServiceCertificate(service=SMTP, thumbprint=NEW, back=OLD),
        ServiceCertificate(service=IMAP, thumbprint=NEW, back=OLD),
        ServiceCertificate(service=POP, thumbprint=NEW),
    ]
    assert strangers(also, [told(NEW, "IMAP", "SMTP", "POP"), told(OLD, "IMAP")]) == {"IMAP": []}
    assert strangers(also, [told(NEW, "SMTP"), told(OWN, "IMAP", "SMTP", "POP")]) == {"IMAP": [OWN]}
