"""Rules about the certificate that the balancers shall serve.

Rule of this room: what is wrong with a certificate by itself is said by ``lbsync_certs.checks``; here stands what follows
for this farm.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.advice import Finding
from lbsync.advise.case import Case
from lbsync_certs.checks import check

_REFUSED_STATUS = frozenset({"PendingRequest", "Revoked", "Invalid", "DateInvalid"})


def known(case: Case) -> Iterator[Finding]:
    """Without a certificate there is nothing to publish."""
    if case.desired.leaf is None:
        yield Finding(
            rule="certificate-unknown",
            severity="refuse",
            reason=case.desired.leaf_problem or "No certificate could be determined.",
            remedy='Name one by [certificate] thumbprint, or give source = "file".',
        )
    if case.desired.chain_problem:
        yield Finding(rule="certificate-chain", severity="warn", reason=case.desired.chain_problem)


def sound(case: Case) -> Iterator[Finding]:
    """Dates, names, strength, issuer."""
    leaf = case.desired.leaf
    if leaf is None:
        return
    allow = case.desired.allow_self_signed
    for problem in check(leaf, names=case.desired.hosts, now=case.now, allow_self_signed=allow):
        yield Finding(
            rule=f"certificate-{problem.code.replace('_', '-')}",
            severity="refuse",
            reason=problem.message,
            remedy="Renew or replace the certificate on the servers, then plan anew.",
        )


def exportable(case: Case) -> Iterator[Finding]:
    """The key must leave the server once, unless every balancer holds it already."""
    leaf = case.desired.leaf
    if leaf is None or case.desired.leaf_exportable:
        return
    if all(leaf.fingerprint in balancer.installed for balancer in case.facts.balancers):
        return
    yield Finding(
        rule="certificate-not-exportable",
        severity="refuse",
        reason=f"The private key of {leaf.subject} ({leaf.thumbprint}) is not marked exportable on any server.",
        remedy='Import it again with -PrivateKeyExportable $true from its PFX, request a new one, or give source = "file".',
        source="Import-ExchangeCertificate: PrivateKeyExportable is false by default",
    )


def status(case: Case) -> Iterator[Finding]:
    """Exchange's own word on the certificate, where the Exchange tier was read."""
    leaf = case.desired.leaf
    if leaf is None:
        return
    for server in case.facts.servers:
        stored = server.certificate(leaf.thumbprint)
        if stored is not None and stored.status in _REFUSED_STATUS:
            yield Finding(
                rule="certificate-status",
                severity="refuse",
                where=(server.server,),
                reason=f"Exchange says that {leaf.thumbprint} is {stored.status}.",
                remedy="Complete the request, or replace the certificate.",
            )


RULES = (known, sound, exportable, status)
