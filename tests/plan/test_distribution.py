"""One certificate onto every member: imported where it is missing, enabled server by server while drained."""

from __future__ import annotations

import pytest

from lbsync.desired import FactSet
from lbsync.errors import UnsafeChange
from lbsync.facts import ServerFacts, TokenChecking
from lbsync.model import Mode, Plan, StepId
from lbsync.plan import build_distribution
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

NEW = leaf_info(5)


def distribute(facts: FactSet) -> Plan:
    """A plan that brings certificate 5 to every member."""
    names = [*(s.server for s in facts.servers), *(b.balancer for b in facts.balancers)]
    return build_distribution(desired(leaf=NEW), facts, {name: Lowering(name) for name in names}, NOW)


def ids(plan: Plan) -> list[str]:
    """Step ids in plan order."""
    return [str(step.id) for step in plan.steps]


def published() -> FactSet:
    """Two servers with certificate 1 behind a published balancer."""
    return fact_set(balancers=(balancer_facts(modes=all_modes(Mode.BRIDGE)),))


def test_a_missing_certificate_is_imported_everywhere_and_enabled_one_server_at_a_time() -> None:
    """Imports go side by side, enabling waits for all of them and for the drain."""
    plan = distribute(published())
    assert ids(plan) == [
        "lb1:mark:True",
        "EX01:import-certificate",
        "EX02:import-certificate",
        "lb1:spare:EX01",
        "lb1:drain:EX01",
        f"EX01:enable-certificate:{NEW.thumbprint}",
        "lb1:undrain:EX01",
        "lb1:spare:EX02",
        "lb1:drain:EX02",
        f"EX02:enable-certificate:{NEW.thumbprint}",
        "lb1:undrain:EX02",
        "lb1:mark:False",
    ]
    assert set(plan.step(StepId("lb1:spare:EX01")).after) == {"EX01:import-certificate", "EX02:import-certificate"}


def test_a_server_that_serves_it_already_is_left_alone_and_one_that_stores_it_is_only_enabled() -> None:
    """Each server gets just what it lacks."""
    stored = server_facts("EX02")
    both = (*stored.certificates, server_facts("x", NEW).certificates[0])
    stored = stored.model_copy(update={"certificates": both})
    facts = published().model_copy(update={"servers": (server_facts("EX01", NEW), stored)})
    made = ids(distribute(facts))
    assert not any(step.startswith("EX01") for step in made)
    assert "EX02:import-certificate" not in made
    assert f"EX02:enable-certificate:{NEW.thumbprint}" in made


def test_nothing_to_do_makes_no_steps() -> None:
    """Every member serves it already."""
    facts = published().model_copy(update={"servers": (server_facts("EX01", NEW), server_facts("EX02", NEW))})
    assert distribute(facts).steps == ()


def test_a_balancer_that_serves_nobody_yet_is_not_touched() -> None:
    """Before the first rollout there is nobody to drain; a server without a binding gets its first."""
    bare = server_facts("EX02").model_copy(update={"bindings": ()})
    facts = fact_set().model_copy(update={"servers": (server_facts("EX01"), bare)})
    made = distribute(facts)
    assert not any(step.target == "lb1" for step in made.steps)
    step = made.step(StepId(f"EX02:enable-certificate:{NEW.thumbprint}"))
    assert step.do is not None
    change = step.do.args["change"]
    assert isinstance(change, dict)
    assert change["before"] is None


def test_under_extended_protection_server_and_balancer_must_not_part() -> None:
    """The first changed server would fail every client whose connection was opened with the balancer's leaf."""

    def protect(server: ServerFacts) -> ServerFacts:
        vdirs = tuple(v.model_copy(update={"token_checking": TokenChecking.REQUIRE}) for v in server.vdirs)
        return server.model_copy(update={"vdirs": vdirs})

    facts = published()
    facts = facts.model_copy(update={"servers": tuple(map(protect, facts.servers))})
    with pytest.raises(UnsafeChange) as refused:
        distribute(facts)
    assert "password loop" in refused.value.reasons[0]
