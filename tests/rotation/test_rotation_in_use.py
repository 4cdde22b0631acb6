"""Every use of a certificate forbids its removal, and is told by name; a name that others answer to is no use of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lbsync.facts import StoredCertificate
from lbsync.rotation.ground import Ground
from lbsync.rotation.in_use import released, uses_of
from lbsync.testing.farm_facts import NOW, leaf_info
from lbsync.uses import CertificateUses, Enabled, Holding, Naming
from lbsync_certs import Thumbprint
from tests.rotation.ground import NAME, NEW, OLD, balancer, bind, enabled, found, ground, server, uses

ELSEWHERE = Thumbprint("AB" * 20)
OTHER_NAME = "<I>CN=another CA<S>CN=mail.contoso.test"


def forbidden(where: Ground) -> tuple[str, ...]:
    """What forbids removing the old certificate."""
    return uses_of(found(where), where)


def rows(old: tuple[str, ...] | None, new: tuple[str, ...] = ("IIS",), *, name: str = NAME) -> tuple[Enabled, ...]:
    """Both servers' certificates: services of the old and of the new one; ``name`` is the new one's."""
    return tuple(
        row
        for where in ("EX01", "EX02")
        for row in (
            enabled(where, NEW, *new, called=name),
            Enabled(server=where, thumbprint=OLD.thumbprint, name=NAME, services=old),
        )
    )


def named(kind: str, name: str = NAME, server_name: str | None = None) -> Naming:
    """Something that names an issuer and a subject."""
    return Naming.model_validate({"kind": kind, "identity": "To the world", "name": name, "server": server_name})


def test_nothing_forbids_what_nobody_uses() -> None:
    """After a rotation with everything assigned anew the old certificate is free."""
    assert forbidden(ground()) == ()


CASES: dict[str, tuple[Ground, str]] = {
    "a balancer": (
        ground(balancers=(balancer(), balancer("lb2", leaf=1))),
        "lb2 serves it",
    ),
    "a balancer that does not say": (
        ground(balancers=(balancer().model_copy(update={"leaf": None}),)),
        "lb1 does not tell for sure which certificate it serves",
    ),
    "a balancer that is stopped": (
        ground(balancers=(balancer().model_copy(update={"published": False, "leaf": None}),)),
        "lb1 does not tell for sure which certificate it serves",
    ),
    "a balancer whose memory and disk differ": (
        ground(
            balancers=(
                balancer().model_copy(
                    update={"published": False, "leaf": None, "structure": None, "problems": ("They differ.",)}
                ),
            )
        ),
        "lb1 does not tell for sure which certificate it serves",
    ),
    "the Back End's binding": (
        ground(bind(server("EX01", OLD), OLD), server("EX02", OLD)),
        "IIS on EX01 binds it: Exchange Back End, *:444",
    ),
    "a binding of a server that does not list it": (
        ground(server("EX01", OLD), bind(server("EX02"), OLD, host="old.contoso.test")),
        "IIS on EX02 binds it: Exchange Back End, *:444:old.contoso.test",
    ),
    "the configuration's thumbprint": (
        ground(configured={OLD.thumbprint: "[certificate] thumbprint"}),
        "the configuration names it ([certificate] thumbprint)",
    ),
    "the configuration's file": (
        ground(configured={OLD.fingerprint: "[certificate] file, mail.pfx"}),
        "the configuration names it ([certificate] file, mail.pfx)",
    ),
    "no Exchange tier": (ground(told=CertificateUses(read=False)), "the Exchange tier is not configured"),
    "no right to ask": (
        ground(told=uses(missing=("Get-SendConnector", "Get-AuthConfig"))),
        "what Get-SendConnector, Get-AuthConfig would tell or do is not open to this account: give the account",
    ),
    "services that are not told": (ground(told=uses(rows=rows(None))), "Exchange on EX01 does not tell which"),
    "a store that Exchange does not list": (ground(told=uses(rows=())), "Exchange on EX02 does not tell which"),
    "SMTP": (
        ground(told=uses(rows=rows(("SMTP", "POP"), ("IIS", "POP")))),
        f"has taken that over: Enable-ExchangeCertificate -Thumbprint {NEW.thumbprint} -Server EX01 -Services SMTP",
    ),
    "IIS and Federation": (
        ground(told=uses(rows=rows(("IIS", "Federation"), ("IIS", "Federation")))),
        "Exchange on EX02 uses it for IIS, Federation",
    ),
    "AuthConfig": (
        ground(told=uses(Holding(what="AuthConfig (NextCertificateThumbprint)", thumbprint=OLD.thumbprint))),
        "AuthConfig (NextCertificateThumbprint) names it",
    ),
    "the internal transport": (
        ground(told=uses(Holding(what="the internal transport", thumbprint=OLD.thumbprint, server="EX02"))),
        "the internal transport of EX02 names it",
    ),
    "WinRM": (
        ground(told=uses(Holding(what="the TLS listener 0.0.0.0:5986", thumbprint=OLD.thumbprint, server="ex01"))),
        "the TLS listener 0.0.0.0:5986 of ex01 names it",
    ),
    "a federation trust that cannot be read": (
        ground(told=uses(Holding(what="the federation trust Gateway (OrgPrevCertificate)", thumbprint=None))),
        "the federation trust Gateway (OrgPrevCertificate) names a certificate, and which one could not be read",
    ),
    "a receive connector nobody else answers to": (
        ground(told=uses(named("receive connector", server_name="EX01"), rows=rows((), name=OTHER_NAME))),
        "the receive connector To the world names its issuer and subject, and no other certificate on EX01",
    ),
    "the hybrid configuration": (
        ground(told=uses(named("hybrid configuration"), rows=rows((), name=OTHER_NAME))),
        "the hybrid configuration To the world names its issuer and subject, and no other certificate on EX02",
    ),
    "a send connector nobody else answers to": (
        ground(told=uses(named("send connector"), rows=rows((), name=OTHER_NAME))),
        "the send connector To the world names its issuer and subject, and no other certificate on EX01",
    ),
    "a send connector that a renewed one answers to, too": (
        ground(told=uses(named("send connector", "<i>cn=LBSYNC test CA<s>CN=mail.contoso.test"))),
        "Exchange on EX01 removes no certificate whose issuer and subject a send connector names",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_use_forbids(case: str) -> None:
    """Each by itself, told by name."""
    where, words = CASES[case]
    reasons = forbidden(where)
    assert reasons
    assert any(words in reason for reason in reasons), reasons
    assert len(set(reasons)) == len(reasons)


FREE: dict[str, Ground] = {
    "another thumbprint in AuthConfig": ground(told=uses(Holding(what="AuthConfig", thumbprint=ELSEWHERE))),
    "a binding without certificate": ground(bind(server("EX01", OLD), NEW), server("EX02", OLD)),
    "services that another one has taken over": ground(
        told=uses(
            rows=rows(("SMTP", "IMAP", "POP", "UM", "UMCallRouter"), ("SMTP", "IMAP", "POP", "UM", "UMCallRouter"))
        )
    ),
    "a receive connector that the renewed one answers to": ground(
        told=uses(named("receive connector", server_name="EX01"))
    ),
    "the hybrid configuration that the renewed one answers to": ground(told=uses(named("hybrid configuration"))),
    "a connector of another name": ground(told=uses(named("send connector", OTHER_NAME))),
    "a receive connector of a server that does not hold it": ground(
        server("EX01", OLD),
        server("EX02"),
        told=uses(named("receive connector", server_name="EX02"), rows=rows((), name=OTHER_NAME)),
    ),
    "the internal transport of a server that does not hold it": ground(
        told=uses(Holding(what="the internal transport", thumbprint=OLD.thumbprint, server="EDGE01"))
    ),
    "only a balancer holds it": ground(
        server("EX01"),
        server("EX02"),
        told=uses(Holding(what="AuthConfig", thumbprint=None), missing=("Get-AuthConfig",)),
    ),
    "a balancer that was never published": ground(
        balancers=(balancer().model_copy(update={"published": False, "leaf": None, "structure": None}),)
    ),
}


@pytest.mark.parametrize("case", FREE)
def test_what_is_no_use_does_not(case: str) -> None:
    """Another thumbprint, a name that others answer to, what concerns other places."""
    assert forbidden(FREE[case]) == ()


HEIRS = {
    "it ends sooner": leaf_info(7, days_left=10),
    "it ends on the same day": leaf_info(7, days_left=20),
    "it is not valid yet": leaf_info(7, days_left=300).model_copy(update={"not_before": NOW + timedelta(days=1)}),
    "it has ended": leaf_info(7, days_left=-1),
}


@pytest.mark.parametrize("case", HEIRS)
def test_who_takes_over_is_valid_and_ends_later(case: str) -> None:
    """Neither a name nor a service passes to a certificate that does not outlive this one."""
    heir = HEIRS[case]
    holding = rows(("SMTP",), name=OTHER_NAME)
    told = uses(
        named("receive connector", server_name="EX01"), rows=(*holding, enabled("EX01", heir, "SMTP", called=NAME))
    )
    reasons = forbidden(ground(server("EX01", OLD, heir), server("EX02", OLD), told=told))
    assert any("receive connector" in reason for reason in reasons)
    assert any("EX01 uses it for SMTP" in reason for reason in reasons)


def test_who_takes_over_has_its_key_and_covers_the_names() -> None:
    """A certificate without its key serves nothing; one that lacks a name serves another connector."""
    fewer = leaf_info(7, names=("mail.contoso.test",), days_left=300)
    told = uses(rows=(*rows(("SMTP",), ("IIS",)), enabled("EX01", fewer, "SMTP")))
    reasons = forbidden(ground(server("EX01", OLD, fewer), server("EX02", OLD), told=told))
    assert any("EX01 uses it for SMTP" in reason for reason in reasons)
    keyless = server("EX01", OLD)
    bare = StoredCertificate(info=NEW, has_private_key=False, exportable=False)
    keyless = keyless.model_copy(update={"certificates": (bare, *keyless.certificates[1:])})
    told = uses(rows=rows(("SMTP",), ("IIS", "SMTP")))
    assert any(
        "EX01 uses it for SMTP" in reason for reason in forbidden(ground(keyless, server("EX02", OLD), told=told))
    )


def test_released_are_the_services_that_another_one_serves() -> None:
    """They go along to the server, which refuses every other one; a certificate that is not listed releases nothing."""
    told = uses(rows=rows(("SMTP", "POP", "IIS"), ("IIS", "SMTP")))
    where = ground(told=told)
    assert released(found(where), where, "EX01") == ("SMTP",)
    empty = ground(told=uses(rows=()))
    assert released(found(empty), empty, "EX01") == ()
    strangers = (*rows(("SMTP",)), enabled("EX09", NEW, "SMTP"), enabled("EX09", OLD, "SMTP"))
    elsewhere = ground(told=uses(rows=strangers))
    assert released(found(elsewhere), elsewhere, "EX09") == ()
