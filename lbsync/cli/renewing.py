"""A renewed certificate: what is served now, what could follow, and the plan that takes it to everybody.

Rule of this file: it finds and opens; which one, and in which order, ``rotation`` decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from lbsync.cli.house import House, Look
from lbsync.dropped import Dropped
from lbsync.errors import UnsafeChange
from lbsync.facts import BalancerFacts, ServerFacts
from lbsync.model import Plan
from lbsync.rotation.candidates import Candidate, Judged, choose, on_servers
from lbsync.services import MailService
from lbsync_certs import CertificateInfo, CertificateProblem


def served(house: House, balancers: Iterable[BalancerFacts], servers: Iterable[ServerFacts]) -> CertificateInfo:
    """The certificate that clients see now. Raises UnsafeChange where nothing is published, TargetError."""
    from lbsync.kit.handshake import handshake

    published = [seen for seen in balancers if seen.published and seen.leaf is not None]
    if not published:
        raise UnsafeChange(
            "no balancer serves a certificate yet",
            state="nothing was changed",
            remedy="publish one first: lbsync plan, then lbsync apply",
        )
    leaf = published[0].leaf
    for server in servers:
        for stored in server.certificates:
            if stored.info.fingerprint == leaf:
                return stored.info
    listen = next(one.listen for one in house.config.balancers if one.name == published[0].balancer)
    host = house.config.publish.hosts[0]
    return handshake(listen.address, listen.https_port, host, ca_pem=house.client_ca_pem).info


def candidates(house: House, servers: Iterable[ServerFacts]) -> tuple[tuple[Candidate, ...], tuple[Dropped, ...]]:
    """Every certificate on servers and in dropped files, and the files that cannot be read.

    Raises SecretError; CertificateError for a folder that is too full.
    """
    dropped = house.dropped.look() if house.config.certificate.renewals else ()
    files = [
        Candidate(info=one.bundle.info, origin="file", places=(one.path,)) for one in dropped if one.bundle is not None
    ]
    return (*on_servers(servers), *files), tuple(one for one in dropped if one.bundle is None)


def chosen(
    house: House,
    look: Look,
    current: CertificateInfo,
    found: tuple[Candidate, ...],
    thumbprint: str | None,
    *,
    force: bool = False,
) -> Judged:
    """The certificate to go to. Raises UnsafeChange where there is none, or several."""
    try:
        return choose(current, found, look.now, thumbprint=thumbprint, force=force, hosts=house.config.publish.hosts)
    except CertificateProblem as problem:
        raise UnsafeChange(
            problem.message, where="--thumbprint", state="nothing was changed", remedy="copy it from lbsync cert show"
        ) from None


def opened(house: House, look: Look, info: CertificateInfo) -> Look:
    """The same look, with this certificate for what is wanted, opened once with its key to be sure of it.

    Raises UnsafeChange where key or chain do not hold, or end in nothing that is trusted here; CertificateError, TargetError.
    """
    from lbsync_certs.checks import check

    bundle = house.materials.open(info.fingerprint)
    found = check(
        bundle,
        names=house.config.publish.hosts,
        now=look.now,
        allow_self_signed=look.desired.allow_self_signed,
        roots=house.trusted_roots,
    )
    errors = tuple(one.message for one in found if one.severity == "error")
    if errors:
        raise UnsafeChange(
            f"{info.thumbprint} ({info.subject}) cannot be served as it is",
            reasons=errors,
            state="nothing was changed",
            remedy="bring it with its whole chain; where its CA is new, name that CA's file in publish.server_ca_file and "
            "publish.client_ca_file",
        )
    live = next((dict(seen.modes) for seen in look.facts.balancers if seen.published), {})
    desired = look.desired.model_copy(
        update={
            "leaf": info,
            "leaf_exportable": True,
            "leaf_problem": "",
            "chain_problem": " ".join(one.message for one in found if one.severity == "warning"),
            "modes": {**look.desired.modes, **live},
        }
    )
    return replace(look, desired=desired)


def rotation(
    house: House,
    wanted: Look,
    *,
    maintenance: bool = False,
    also: Sequence[MailService] = (),
    left_out: Collection[str] = (),
) -> Plan:
    """The plan that takes what is wanted to everybody, on servers to IIS and ``also``.

    Where some are ``left_out``, to the other balancers only.

    Raises UnsafeChange.
    """
    from lbsync.plan import build_rotation
    from lbsync.rotation.partial import refuse_unpublished, without

    facts = without(wanted.facts, left_out) if left_out else wanted.facts
    refuse_unpublished(facts)
    able = {name: one for name, one in house.capabilities.items() if name not in left_out}
    return build_rotation(
        wanted.desired,
        facts,
        house.targets,
        able,
        wanted.now,
        to_servers=not left_out,
        maintenance=maintenance,
        also=also,
    )
