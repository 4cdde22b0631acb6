"""What a look may see, for the tests of a watch."""

from __future__ import annotations

from lbsync.desired import FactSet
from lbsync.facts import BalancerFacts
from lbsync.kit.handshake import Served
from lbsync.model import Mode
from lbsync.rotation.candidates import Candidate, Judged
from lbsync.testing.farm_facts import all_modes, balancer_facts, fact_set, leaf_info, server_facts
from lbsync.verdict import Greeting
from lbsync.watch.items import Sight
from lbsync_certs import CertificateInfo

HOST = "mail.contoso.test"
OLD = leaf_info(1, days_left=200)
NEW = leaf_info(2, days_left=380)


def balancer(leaf: CertificateInfo = OLD, name: str = "lb1") -> BalancerFacts:
    """One that has this certificate."""
    return balancer_facts(name, modes=all_modes(Mode.BRIDGE)).model_copy(update={"leaf": leaf.fingerprint})


def farm(*balancers: BalancerFacts, server_leaf: CertificateInfo = OLD) -> FactSet:
    """Two servers behind balancers."""
    servers = (server_facts("EX01", server_leaf), server_facts("EX02", server_leaf))
    return fact_set(balancers=balancers or (balancer(),)).model_copy(update={"servers": servers})


def greeting(leaf: CertificateInfo = OLD, *, name: str = "lb1", trusted: bool = True) -> Greeting:
    """Two handshakes that served this."""
    served = Served(
        fingerprint=leaf.fingerprint, info=leaf, tls_version="TLSv1.3", trusted=trusted, name_ok=True,
        trust_error=None if trusted else "unable to get local issuer certificate",
    )  # fmt: skip
    return Greeting(balancer=name, host=HOST, served=(served, served))


def fitting(info: CertificateInfo = NEW) -> Judged:
    """A renewed certificate that nothing hinders."""
    return Judged(candidate=Candidate(info=info, origin="server", places=("EX01",)))


def sight(*renewals: Judged, facts: FactSet | None = None, **changes: object) -> Sight:
    """A look at a farm in which all is well but for what is given."""
    seen = Sight(facts=facts or farm(), greetings=(greeting(),), current=OLD, renewals=renewals)
    return seen.model_copy(update=changes)
