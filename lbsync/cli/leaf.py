"""Which certificate clients shall see: from the configuration and from what the servers hold.

Rule of this file: it looks and says; whether the certificate is good enough is the adviser's question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from lbsync.config import Config, Leaf
from lbsync.facts import ServerFacts, StoredCertificate
from lbsync_certs import ProblemCode, Thumbprint

if TYPE_CHECKING:
    from lbsync_certs import Bundle

_CHAIN = frozenset({ProblemCode.CHAIN_BROKEN, ProblemCode.CHAIN_INCOMPLETE})


def find_leaf(config: Config, servers: Sequence[ServerFacts], read_file: Callable[[], Bundle], now: datetime) -> Leaf:
    """The leaf to serve, or why there is none.

    ``read_file`` opens ``certificate.file`` and is called for source ``file`` only; what it raises passes through.
    """
    if config.certificate.source == "file":
        return _from_file(read_file(), now)
    if config.certificate.thumbprint is not None:
        return _held(Thumbprint(config.certificate.thumbprint), servers)
    served = {server.server: server.front_end_leaf for server in servers}
    silent = [name for name, leaf in served.items() if leaf is None]
    if silent:
        return Leaf(None, problem=f"IIS serves no known certificate on 443 of {', '.join(silent)}.")
    thumbprints = {leaf.info.thumbprint for leaf in served.values() if leaf is not None}
    if len(thumbprints) > 1:
        told = ", ".join(f"{name} {leaf.info.thumbprint}" for name, leaf in served.items() if leaf is not None)
        return Leaf(None, problem=f"The servers' IIS serve different certificates on 443: {told}.")
    return _held(thumbprints.pop(), servers)


def _held(thumbprint: Thumbprint, servers: Sequence[ServerFacts]) -> Leaf:
    found = [stored for server in servers if (stored := server.certificate(thumbprint)) is not None]
    if not found:
        return Leaf(None, problem=f"No server holds a certificate with the thumbprint {thumbprint}.")
    return Leaf(found[0].info, exportable=any(_gives(stored) for stored in found))


def _gives(stored: StoredCertificate) -> bool:
    """Unknown counts as yes: the export itself will tell."""
    return stored.has_private_key and stored.exportable is not False


def _from_file(bundle: Bundle, now: datetime) -> Leaf:
    from lbsync_certs.checks import check

    chain = [finding.message for finding in check(bundle, names=(), now=now) if finding.code in _CHAIN]
    return Leaf(bundle.info, chain_problem=" ".join(chain))
