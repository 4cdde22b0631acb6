"""A farm after a rotation, as values: everything serves the new certificate, and the old one lies about.

Rule of this file: nothing speaks against removing the old one, and its grace period is over; a test changes what it is about.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from lbsync.facts import BalancerFacts, BindingFacts, ServerFacts, StoredCertificate
from lbsync.model import Mode
from lbsync.rotation.ground import Found, Ground
from lbsync.testing.farm_facts import HOSTS, NOW, all_modes, balancer_facts, fact_set, leaf_info, server_facts
from lbsync.uses import CertificateUses, Enabled, Holding, Naming
from lbsync_certs import CertificateInfo, Fingerprint

OLD, NEW = leaf_info(1, days_left=20), leaf_info(5)
NAME = "<I>CN=lbsync test CA<S>CN=mail.contoso.test"
KEEP = timedelta(days=30)


def server(name: str, *held: CertificateInfo, served: CertificateInfo = NEW) -> ServerFacts:
    """A server that serves the new one and holds others."""
    stored = tuple(StoredCertificate(info=info, has_private_key=True, exportable=True) for info in (served, *held))
    return server_facts(name, served).model_copy(update={"certificates": stored})


def balancer(name: str = "lb1", *, leaf: int = 5, held: tuple[CertificateInfo, ...] = (NEW, OLD)) -> BalancerFacts:
    """A published balancer that serves the new one and holds others."""
    facts = balancer_facts(name, modes=all_modes(Mode.BRIDGE), leaf=leaf)
    return facts.model_copy(update={"installed": tuple(info.fingerprint for info in held)})


def enabled(name: str, info: CertificateInfo, *services: str, called: str = NAME) -> Enabled:
    """A row of Get-ExchangeCertificate."""
    return Enabled(server=name, thumbprint=info.thumbprint, name=called, services=services)


def uses(
    *more: Naming | Holding, rows: tuple[Enabled, ...] | None = None, missing: tuple[str, ...] = ()
) -> CertificateUses:
    """What Exchange says: the new one is in use, the old one is listed for nothing."""
    usual = tuple(row for name in ("EX01", "EX02") for row in (enabled(name, NEW, "IIS", "SMTP"), enabled(name, OLD)))
    return CertificateUses(
        enabled=usual if rows is None else rows,
        namings=tuple(one for one in more if isinstance(one, Naming)),
        holdings=tuple(one for one in more if isinstance(one, Holding)),
        missing_cmdlets=missing,
    )


def ground(
    *servers: ServerFacts,
    balancers: tuple[BalancerFacts, ...] | None = None,
    told: CertificateUses | None = None,
    **changes: object,
) -> Ground:
    """Two servers behind one balancer; the old certificate ceased to be served 40 days ago."""
    facts = fact_set(balancers=(balancer(),) if balancers is None else balancers)
    every = servers or (server("EX01", OLD), server("EX02", OLD))
    made = Ground(
        facts=facts.model_copy(update={"servers": every}),
        uses=told or uses(),
        current=NEW,
        hosts=HOSTS,
        keep=KEEP,
        now=NOW,
        until={OLD.fingerprint: NOW - timedelta(days=40)},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def found(where: Ground, fingerprint: Fingerprint = OLD.fingerprint) -> Found:
    """A certificate of the ground."""
    return next(one for one in where.everything() if one.fingerprint == fingerprint)


def bind(facts: ServerFacts, info: CertificateInfo, site: str = "Exchange Back End", host: str = "") -> ServerFacts:
    """The same server with one more binding."""
    more = BindingFacts(site=site, protocol="https", address="*", port=444, host=host, thumbprint=info.thumbprint)
    return facts.model_copy(update={"bindings": (*facts.bindings, more)})
