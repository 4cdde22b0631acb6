"""A farm as a run left it, and the same looked at later: for the tests of drift."""

from __future__ import annotations

from collections.abc import Callable

from lbsync.desired import FactSet
from lbsync.drift.baseline import Baseline, kept, sighted
from lbsync.drift.compare import Compared, compare
from lbsync.facts import BalancerFacts, BindingFacts, ServerFacts, StoredCertificate, VdirFacts
from lbsync.model import Mode
from lbsync.services import BACK_END_SITE, Service
from lbsync.testing.farm_facts import NOW, all_modes, balancer_facts, fact_set, flags_as_offloaded, leaf_info

NAMES = ("EX01", "EX02", "lb1")
FRONT, BACK, NEW = leaf_info(1), leaf_info(8, names=("ex.contoso.test",)), leaf_info(2)


def farm() -> FactSet:
    """Two servers, offloaded, each with a back end and Exchange's services told; one balancer that publishes files."""
    balancer = balancer_facts("lb1", modes=all_modes(Mode.OFFLOAD))
    image = {"files": {"exchange.cfg": "a", "exchange.map": "b", "gone.cfg": None}}
    facts = fact_set(balancers=(balancer.model_copy(update={"image": image, "version": "2.8.1"}),))
    return facts.model_copy(update={"servers": tuple(_server(flags_as_offloaded(one)) for one in facts.servers)})


def _server(server: ServerFacts) -> ServerFacts:
    back = BindingFacts(site=BACK_END_SITE, protocol="https", address="*", port=444, thumbprint=BACK.thumbprint)
    held = (
        StoredCertificate(info=FRONT, has_private_key=True, exportable=True, services=("IIS", "SMTP")),
        StoredCertificate(
            info=BACK, has_private_key=True, exportable=None, services=("SMTP",), internal_transport=True
        ),
    )
    return server.model_copy(update={"bindings": (*server.bindings, back), "certificates": held})


def baseline(facts: FactSet | None = None, **changes: object) -> Baseline:
    """What run r1 left."""
    made = Baseline(
        farm="contoso",
        taken=NOW,
        origin="applied",
        run="r1",
        actor="alice",
        lbsync="0.1.0",
        facts=kept(facts or farm()),
    )
    return made.model_copy(update=changes)


def on_server(**changes: object) -> FactSet:
    """EX01 with these fields."""
    facts = farm()
    return facts.model_copy(update={"servers": (facts.servers[0].model_copy(update=changes), *facts.servers[1:])})


def at_vdir(service: Service, **changes: object) -> FactSet:
    """EX01 with a virtual directory changed."""
    return edited(lambda vdir: vdir.model_copy(update=changes) if service in vdir.services else vdir)


def edited(change: Callable[[VdirFacts], VdirFacts], facts: FactSet | None = None) -> FactSet:
    """EX01 with every virtual directory as ``change`` makes it."""
    facts = facts or farm()
    first = facts.servers[0]
    first = first.model_copy(update={"vdirs": tuple(change(vdir) for vdir in first.vdirs)})
    return facts.model_copy(update={"servers": (first, *facts.servers[1:])})


def on_balancer(**changes: object) -> FactSet:
    """lb1 with these fields."""
    facts = farm()
    return facts.model_copy(update={"balancers": (facts.balancers[0].model_copy(update=changes),)})


def bound(old: str, new: str) -> tuple[BindingFacts, ...]:
    """EX01's bindings with one thumbprint in place of another."""
    return tuple(
        one.model_copy(update={"thumbprint": new}) if one.thumbprint == old else one
        for one in farm().servers[0].bindings
    )


def compared(facts: FactSet, before: Baseline | None = None, names: tuple[str, ...] = NAMES) -> Compared:
    """The baseline against a later look."""
    return compare(before or baseline(), sighted(facts, names))


def told(facts: FactSet, before: Baseline | None = None) -> list[str]:
    """Each difference in a line."""
    return [f"{one.target}: {one.told}" for one in compared(facts, before).differences]


def balancer(facts: FactSet) -> BalancerFacts:
    """The only one."""
    return facts.balancers[0]
