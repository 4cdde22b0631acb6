"""The services that get the certificate besides IIS: which may be named, what they have, what the way back gives them."""

from __future__ import annotations

import pytest

from lbsync.changes import AlsoEnable
from lbsync.desired import FactSet
from lbsync.errors import ConfigError, UnsafeChange
from lbsync.facts import BalancerFacts, ServerFacts, StoredCertificate, TokenChecking
from lbsync.model import Mode, Plan
from lbsync.plan import build_rotation
from lbsync.rotation.also import also_enable, lacking, named, refuse_unable
from lbsync.services import MailService
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import (
    NOW,
    Lowering,
    all_modes,
    balancer_facts,
    desired,
    fact_set,
    leaf_info,
    server_facts,
)
from lbsync_certs import CertificateInfo

OLD, OWN, OTHER, NEW = (leaf_info(number) for number in (1, 2, 3, 5))
SMTP, IMAP, POP = MailService
ALL = (SMTP, IMAP, POP)
Held = tuple[CertificateInfo, tuple[str, ...] | None]


def server(
    name: str, *held: Held, internal: CertificateInfo | None = None, bound: CertificateInfo = OLD
) -> ServerFacts:
    """A server whose store has these certificates for these services, ``bound`` on IIS."""
    stored = tuple(
        StoredCertificate(
            info=info,
            has_private_key=True,
            exportable=True,
            services=services,
            internal_transport=None if internal is None else info == internal,
        )
        for info, services in held
    )
    return server_facts(name, bound).model_copy(update={"certificates": stored})


def usual(name: str) -> ServerFacts:
    """One certificate for everything, and the one that set-up made, for SMTP between servers."""
    return server(name, (OLD, ("IMAP", "POP", "IIS", "SMTP")), (OWN, ("SMTP",)), internal=OWN)


def rotate(facts: FactSet, also: tuple[MailService, ...] = ALL, *, maintenance: bool = False) -> Plan:
    """A plan that takes certificate 5 everywhere, to these services too."""
    names = [*(s.server for s in facts.servers), *(b.balancer for b in facts.balancers)]
    able = {b.balancer: Capabilities(switches_sides=True, resumes_sessions=False) for b in facts.balancers}
    targets = {name: Lowering(name) for name in names}
    return build_rotation(desired(leaf=NEW), facts, targets, able, NOW, maintenance=maintenance, also=also)


def farm(*servers: ServerFacts, leaf: int = 1) -> FactSet:
    """Servers behind a published balancer that serves certificate ``leaf``."""
    balancers: tuple[BalancerFacts, ...] = (balancer_facts(modes=all_modes(Mode.BRIDGE), leaf=leaf),)
    return fact_set(balancers=balancers).model_copy(update={"servers": servers})


def enabled(plan: Plan) -> dict[str, list[str]]:
    """By server: the services besides IIS that its enabling step names."""
    found: dict[str, list[str]] = {}
    for step in plan.steps:
        if step.do is not None and step.do.verb == "enable-certificate":
            change = step.do.args["change"]
            assert isinstance(change, dict)
            also = change["also"]
            assert isinstance(also, list)
            found[step.target] = [str(one["service"]) for one in also if isinstance(one, dict)]
    return found


@pytest.mark.parametrize(
    ("text", "services"),
    [(None, ()), ("smtp", (SMTP,)), ("pop, IMAP,smtp,imap", ALL), (" imap ", (IMAP,))],
    ids=["none", "one", "all in any order", "blanks"],
)
def test_services_are_named_by_their_words(text: str | None, services: tuple[MailService, ...]) -> None:
    """Separated by commas, in any case and order, each once."""
    assert named(text) == services


@pytest.mark.parametrize(
    ("text", "told"), [("iis", "'iis'"), ("smtp,um", "'um'"), ("", "''"), ("smtp;imap", "'smtp;imap'")]
)
def test_another_word_is_an_error_that_lists_the_right_ones(text: str, told: str) -> None:
    """What was wrong, what would be right, and that nothing was changed."""
    with pytest.raises(ConfigError) as caught:
        named(text)
    assert caught.value.message == f"--also takes smtp, imap and pop, separated by commas, and was given {told}"
    assert (caught.value.where, caught.value.state) == ("--also", "nothing was changed")
    assert "--also smtp,imap" in caught.value.remedy


SHORT = {"OLD": OLD.thumbprint, "OWN": OWN.thumbprint, "OTHER": OTHER.thumbprint, "NEW": NEW.thumbprint}


@pytest.mark.parametrize(
    ("service", "held", "internal", "before", "goes_back"),
    [
        (SMTP, [(OLD, ("IIS", "SMTP")), (OWN, ("SMTP",))], OWN, "OLD OWN", ("OWN", True)),
        (SMTP, [(OLD, ("IIS", "SMTP")), (OWN, ("SMTP",))], OLD, "OLD OWN", ("OLD", False)),
        (SMTP, [(OLD, ("IIS",)), (OWN, ("SMTP",))], None, "OWN", ("OWN", False)),
        (SMTP, [(OLD, ("IIS", "SMTP")), (OWN, ("SMTP",))], None, "OLD OWN", ("", False)),
        (SMTP, [(OLD, ("IIS",)), (NEW, ("SMTP",))], None, "NEW", ("", False)),
        (SMTP, [(OLD, ("IIS", "SMTP")), (NEW, ("SMTP",))], NEW, "OLD NEW", ("", False)),
        (SMTP, [(OLD, ("IIS",))], None, "", ("", False)),
        (IMAP, [(OLD, ("IIS", "IMAP"))], OLD, "OLD", ("OLD", False)),
        (IMAP, [(OLD, ("IIS",)), (OTHER, ("IMAP",))], None, "OTHER", ("OTHER", False)),
        (IMAP, [(OTHER, ("IMAP",)), (OLD, ("IIS", "IMAP"))], None, "OTHER OLD", ("OLD", False)),
        (POP, [(OLD, ("IIS", "POP")), (NEW, ("POP",))], None, "OLD NEW", ("OLD", False)),
        (POP, [(OLD, ("IIS",)), (NEW, ("POP",))], None, "NEW", ("", False)),
        (POP, [(OLD, ("IIS",)), (OTHER, None)], None, "", ("", False)),
    ],
    ids=[
        "smtp, another one between servers",
        "smtp, the renewed one between servers",
        "smtp, one and nobody says more",
        "smtp, several and nobody says which",
        "smtp, has it and nobody says more",
        "smtp, has it between servers",
        "smtp, none",
        "imap, as IIS",
        "imap, another one",
        "imap, two of one name",
        "pop, has it beside the one before",
        "pop, has it",
        "pop, none",
    ],
)
def test_what_a_service_goes_back_to(
    service: MailService, held: list[Held], internal: CertificateInfo | None, before: str, goes_back: tuple[str, bool]
) -> None:
    """The one it had, whichever IIS has; none where there was none or nobody can tell."""
    seen, (back, stays) = server("EX01", *held, internal=internal), goes_back
    assert also_enable(seen, [service], NEW.thumbprint) == (
        AlsoEnable(
            service=service,
            before=tuple(SHORT[word] for word in before.split()),
            back=SHORT[back] if back else None,
            stays=stays,
        ),
    )
    assert lacking(seen, [service], NEW.thumbprint) == (() if "NEW" in before else (service,))


def test_a_server_without_a_certificate_on_iis_has_a_way_back_for_imap() -> None:
    """Nothing is IIS's then: the one that is shown is taken."""
    seen = server("EX01", (OTHER, ("IMAP",))).model_copy(update={"bindings": ()})
    assert also_enable(seen, [IMAP], NEW.thumbprint)[0].back == OTHER.thumbprint


def test_every_server_gives_it_to_the_services_named() -> None:
    """One by one, half by half, and all at once: each enabling has them; without --also none has."""
    names = ("EX01", "EX02")
    every = {name: ["SMTP", "IMAP", "POP"] for name in names}
    facts = farm(*(usual(name) for name in names))
    assert enabled(rotate(facts)) == every
    assert enabled(rotate(facts, maintenance=True)) == every
    assert enabled(rotate(facts, (IMAP,))) == {name: ["IMAP"] for name in names}
    assert enabled(rotate(facts, ())) == {name: [] for name in names}
    guarded = [
        one.model_copy(
            update={"vdirs": tuple(v.model_copy(update={"token_checking": TokenChecking.REQUIRE}) for v in one.vdirs)}
        )
        for one in facts.servers
    ]
    assert enabled(rotate(farm(*guarded))) == every


def test_a_server_whose_iis_has_it_gives_it_to_the_others() -> None:
    """Asked for later, too: only where a service lacks it, and nothing where all have it."""
    half = server("EX01", (NEW, ("IIS", "SMTP")), (OLD, ("IMAP",)), bound=NEW)
    done = server("EX02", (NEW, ("IIS", "SMTP", "IMAP")), bound=NEW)
    plan = rotate(farm(half, done, leaf=5), (SMTP, IMAP))
    assert enabled(plan) == {"EX01": ["SMTP", "IMAP"]}
    assert not [step for step in plan.steps if "import" in step.id or "switch" in step.id]
    assert rotate(farm(done, leaf=5), (SMTP, IMAP)).steps == ()


def of(subject: str, *names: str) -> CertificateInfo:
    """A certificate of this subject and these names."""
    return NEW.model_copy(update={"subject": subject, "names": names})


@pytest.mark.parametrize(
    ("leaf", "also", "refused"),
    [
        (of("CN=*.contoso.test,O=Contoso", "*.contoso.test"), (IMAP,), True),
        (of("O=Contoso, CN=*.contoso.test", "mail.contoso.test"), (POP, SMTP), True),
        (of("", "*.contoso.test", "contoso.test"), (IMAP,), True),
        (of("CN=mail.contoso.test", "*.contoso.test"), (IMAP, POP), False),
        (of("CN=*.contoso.test", "*.contoso.test"), (SMTP,), False),
        (of("", "mail.contoso.test"), (IMAP,), False),
        (of("O=Contoso"), (IMAP,), False),
    ],
    ids=["subject", "subject in any order", "first name", "further name", "smtp", "no subject", "no name at all"],
)
def test_a_wildcard_is_nothing_for_imap_and_pop(
    leaf: CertificateInfo, also: tuple[MailService, ...], refused: bool
) -> None:
    """Exchange enables none for them; the way out is told. SMTP takes it."""
    if not refused:
        refuse_unable([usual("EX01")], also, leaf)
        return
    with pytest.raises(UnsafeChange, match="is refused") as caught:
        refuse_unable([usual("EX01")], also, leaf)
    assert "-X509CertificateName" in caught.value.reasons[0]


def test_services_that_nobody_knows_are_refused() -> None:
    """Without Exchange's cmdlets nothing could be taken back: every such server is named. Without --also it is no matter."""
    silent = [server_facts("EX01"), usual("EX02"), server_facts("EX03")]
    with pytest.raises(UnsafeChange) as caught:
        rotate(farm(*silent), (SMTP, POP))
    assert caught.value.message == "--also smtp,pop is refused."
    assert caught.value.reasons[0].startswith("EX01, EX03: ")
    assert "farm.exchange" in caught.value.reasons[0]
    assert caught.value.remedy
    assert enabled(rotate(farm(*silent), ()))
    refuse_unable(silent, ALL, None)
