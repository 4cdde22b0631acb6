"""Rules about the certificate that the balancers shall serve.

Rule of this room: what is wrong with a certificate by itself is said by ``lbsync_certs.checks``; here stands what follows
for this farm.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.advise.case import Case
from lbsync.advise.rule import CONFIGURED, Rule, Seen, seen_if
from lbsync_certs.checks import check
from lbsync_certs.problem import ProblemCode

_REFUSED_STATUS = frozenset({"PendingRequest", "Revoked", "Invalid", "DateInvalid"})


def _unfit(code: ProblemCode, condition: str, source: str) -> Rule:
    """The rule for one thing that may be wrong with a certificate by itself."""

    def applies(case: Case) -> Iterator[Seen]:
        leaf, allow = case.desired.leaf, case.desired.allow_self_signed
        if leaf is not None:
            for problem in check(leaf, names=case.desired.hosts, now=case.now, allow_self_signed=allow):
                yield from seen_if(problem.code == code, what_is_wrong=problem.message)

    return Rule(
        id=f"certificate-{code.replace('_', '-')}",
        about="certificate",
        condition=condition,
        verdict="must not",
        applies=applies,
        reason="{what_is_wrong}",
        remedy="Renew or replace the certificate on the servers, then plan anew.",
        source=source,
    )


def _kept_in(case: Case) -> Iterator[Seen]:
    """The key must leave the server once, unless every balancer holds it already."""
    leaf = case.desired.leaf
    if leaf is None or case.desired.leaf_exportable:
        return
    if not all(leaf.fingerprint in balancer.installed for balancer in case.facts.balancers):
        yield Seen(values={"subject": leaf.subject, "thumbprint": leaf.thumbprint})


def _status(case: Case) -> Iterator[Seen]:
    """Exchange's own word on the certificate, where the Exchange tier was read."""
    leaf = case.desired.leaf
    if leaf is None:
        return
    for server in case.facts.servers:
        stored = server.certificate(leaf.thumbprint)
        if stored is not None and stored.status in _REFUSED_STATUS:
            yield Seen((server.server,), {"thumbprint": leaf.thumbprint, "status": str(stored.status)})


UNKNOWN = Rule(
    id="certificate-unknown",
    about="certificate",
    condition="No certificate could be determined: none is named, and the servers' IIS does not agree on one.",
    verdict="must not",
    applies=lambda case: seen_if(
        case.desired.leaf is None, what_is_wrong=case.desired.leaf_problem or "No certificate could be determined."
    ),
    reason="{what_is_wrong}",
    remedy='Name one by [certificate] thumbprint, or give source = "file".',
    source=CONFIGURED,
)
CHAIN = Rule(
    id="certificate-chain",
    about="certificate",
    condition="The certificate's chain is not complete.",
    verdict="recommended",
    applies=lambda case: seen_if(case.desired.chain_problem, what_is_wrong=case.desired.chain_problem),
    reason="{what_is_wrong}",
    source="RFC 5280: a certificate is verified along its chain",
)
UNFIT = (
    _unfit(ProblemCode.EXPIRED, "The certificate has ended.", "RFC 5280, Validity"),
    _unfit(ProblemCode.NOT_YET_VALID, "The certificate begins later.", "RFC 5280, Validity"),
    _unfit(ProblemCode.NAME_MISSING, "The certificate does not cover a name of publish.hosts.", "RFC 9525"),
    _unfit(
        ProblemCode.WEAK_KEY,
        "The certificate's key is weaker than RSA 2048 or EC 256, or of a kind that clients do not know.",
        "what public CAs and browsers refuse",
    ),
    _unfit(
        ProblemCode.NOT_FOR_SERVERS,
        "The certificate's extended key usage does not allow TLS servers.",
        "RFC 5280, Extended Key Usage",
    ),
    _unfit(
        ProblemCode.SELF_SIGNED,
        "The certificate is self-signed, and certificate.allow_self_signed is not set.",
        "Get-ExchangeCertificate: IsSelfSigned",
    ),
)
NOT_EXPORTABLE = Rule(
    id="certificate-not-exportable",
    about="certificate",
    condition="The certificate's key is not marked exportable on any server, and a balancer does not hold it yet.",
    verdict="must not",
    applies=_kept_in,
    reason="The private key of {subject} ({thumbprint}) is not marked exportable on any server.",
    remedy='Import it again with -PrivateKeyExportable $true from its PFX, request a new one, or give source = "file".',
    source="Import-ExchangeCertificate: PrivateKeyExportable is false by default",
)
STATUS = Rule(
    id="certificate-status",
    about="certificate",
    condition="Exchange says that the certificate is a pending request, revoked or invalid.",
    verdict="must not",
    applies=_status,
    reason="Exchange says that {thumbprint} is {status}.",
    remedy="Complete the request, or replace the certificate.",
    source="Get-ExchangeCertificate: Status",
)

RULES = (UNKNOWN, CHAIN, *UNFIT, NOT_EXPORTABLE, STATUS)
