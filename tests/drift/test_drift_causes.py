"""What likely did it: what differs in, causes out."""

from __future__ import annotations

import pytest

from lbsync.desired import FactSet
from lbsync.drift.cause import Origin, causes
from lbsync.facts import BalancerLive, StoredCertificate, TokenChecking
from lbsync.services import NO_SSL, REQUIRE_SSL, Service
from lbsync.testing.farm_facts import outlook_anywhere_facts
from tests.drift.looks import (
    BACK,
    FRONT,
    NEW,
    at_vdir,
    balancer,
    baseline,
    bound,
    compared,
    edited,
    farm,
    on_balancer,
    on_server,
)

CU = {"version": "15.2.1544.4", "build": "15.2.1544.9"}
FRESH = StoredCertificate(info=NEW, has_private_key=True, exportable=True)
HELD = farm().servers[0].certificates


def required(facts: FactSet) -> FactSet:
    """Require SSL on again at EWS of EX01."""
    on = {"own_ssl_flags": None, "ssl_flags": REQUIRE_SSL}
    return edited(lambda vdir: vdir.model_copy(update=on) if Service.EWS in vdir.services else vdir, facts)


def rpc(*, offloading: bool, requires: bool) -> FactSet:
    """AD and IIS of EX01's Outlook Anywhere."""
    flags = REQUIRE_SSL if requires else NO_SSL
    facts = at_vdir(Service.OUTLOOK_ANYWHERE, own_ssl_flags=flags, ssl_flags=flags)
    told = (outlook_anywhere_facts("EX01", offloading=offloading), outlook_anywhere_facts("EX02"))
    return facts.model_copy(update={"farm": facts.farm.model_copy(update={"outlook_anywhere": told})})


def found(facts: FactSet, before: FactSet | None = None) -> dict[str, Origin]:
    """By subject of what differs, the origin."""
    seen = compared(facts, baseline(before) if before is not None else None)
    return {one.subject: cause.origin for one, cause in causes(seen.differences, facts).items()}


def unread(facts: FactSet) -> FactSet:
    """AD does not list EX01."""
    return facts.model_copy(update={"farm": facts.farm.model_copy(update={"outlook_anywhere": ()})})


CASES = {
    "a person": (required(farm()), {"EWS": Origin.PERSON}),
    "extended protection": (at_vdir(Service.MAPI, token_checking=TokenChecking.ALLOW), {"MAPI": Origin.PERSON}),
    "a cumulative update": (
        required(on_server(**CU, bindings=bound(BACK.thumbprint, FRONT.thumbprint), certificates=(*HELD, FRESH))),
        dict.fromkeys(("Exchange", "EWS", "Back End 444", "certificates"), Origin.CUMULATIVE_UPDATE),
    ),
    "a security update": (
        required(on_server(build="15.2.986.42")),
        {"Exchange": Origin.SECURITY_UPDATE, "EWS": Origin.SECURITY_UPDATE},
    ),
    "a snapshot": (on_server(version="15.2.500.1", build="15.2.500.1"), {"Exchange": Origin.OLDER_BUILD}),
    "an update and a rotation": (
        required(on_server(**CU, bindings=bound(FRONT.thumbprint, NEW.thumbprint), certificates=(*HELD, FRESH))),
        {
            "Exchange": Origin.CUMULATIVE_UPDATE, "EWS": Origin.CUMULATIVE_UPDATE,
            "Front End 443, 127.0.0.1:443": Origin.CERTIFICATE, "certificates": Origin.CERTIFICATE,
        },
    ),
    "enabled outside": (
        required(on_server(bindings=bound(FRONT.thumbprint, NEW.thumbprint))),
        {"EWS": Origin.CERTIFICATE, "Front End 443, 127.0.0.1:443": Origin.CERTIFICATE},
    ),
    "a new certificate": (on_server(certificates=(*HELD, FRESH)), {"certificates": Origin.CERTIFICATE}),
    "copied from a changed AD": (
        rpc(offloading=True, requires=True), {"Outlook Anywhere (AD)": Origin.PERSON, "Rpc": Origin.EXCHANGE_COPY}
    ),
    "copied over what IIS held": (rpc(offloading=False, requires=True), {"Rpc": Origin.EXCHANGE_COPY}),
    "not listed in AD": (unread(rpc(offloading=False, requires=True)), {"Rpc": Origin.PERSON}),
    "ad and an update": (
        rpc(offloading=True, requires=False).model_copy(
            update={"servers": (on_server(**CU).servers[0], farm().servers[1])}
        ),
        {"Exchange": Origin.CUMULATIVE_UPDATE, "Outlook Anywhere (AD)": Origin.PERSON},
    ),
    "a file": (on_balancer(structure="s2"), {"our configuration": Origin.PERSON}),
    "new software": (
        on_balancer(version="3", structure="s2", leaf=NEW.fingerprint),
        {"software": Origin.SOFTWARE, "our configuration": Origin.SOFTWARE, "certificate": Origin.CERTIFICATE},
    ),
    "a member": (
        farm().model_copy(update={"balancers": (balancer(farm()).model_copy(update={"balancer": "lb2"}),)}),
        {"balancer": Origin.CONFIGURATION},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_likely_cause(case: str) -> None:
    """Everything that goes together has one."""
    facts, origins = CASES[case]
    assert found(facts) == origins


def test_rpc_written_by_hand_is_no_copy() -> None:
    """IIS shows what AD does not hold: Exchange would have it the other way."""
    assert found(rpc(offloading=False, requires=False), rpc(offloading=False, requires=True)) == {"Rpc": Origin.PERSON}


def test_a_failover_explains_the_balancer() -> None:
    """The other unit has another state."""
    before = on_balancer(live=BalancerLive(unit="a"))
    after = on_balancer(live=BalancerLive(unit="b"), structure="s2")
    assert set(found(after, before).values()) == {Origin.FAILOVER}
    texts = {cause.text for cause in causes(compared(after, baseline(before)).differences, after).values()}
    assert texts == {"a failover (a -> b)"}
