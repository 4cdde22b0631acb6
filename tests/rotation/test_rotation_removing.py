"""The plan that removes certificates: one server first, balancers last, no way back, and that is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lbsync.changes import Change
from lbsync.errors import UnsafeChange
from lbsync.model import Plan, Step, StepId
from lbsync.plan import build_retirement
from lbsync.rotation.ground import Ground
from lbsync.rotation.retiring import choose
from lbsync.testing.farm_facts import NOW, Lowering, desired, leaf_info
from tests.rotation.ground import KEEP, NEW, OLD, balancer, enabled, ground, server, uses


def plan_of(where: Ground, named: str | None = None) -> Plan:
    """The plan for everything that may go, or for the one named."""
    names = [*(s.server for s in where.facts.servers), *(b.balancer for b in where.facts.balancers)]
    targets = {name: Lowering(name) for name in names}
    return build_retirement(desired(leaf=NEW), where, choose(where, named=named, force=True), targets)


def after(plan: Plan) -> dict[str, set[str]]:
    """By step: which steps it follows at once."""
    return {str(step.id): {str(one) for one in step.after} for step in plan.steps}


def test_one_server_first_then_the_others_then_the_balancers() -> None:
    """What may be refused comes first; the marker is left on every balancer and removed at the end."""
    servers = tuple(server(name, OLD) for name in ("EX01", "EX02", "EX03"))
    rows = tuple(
        row for one in servers for row in (enabled(one.server, NEW, "IIS", "SMTP"), enabled(one.server, OLD, "SMTP"))
    )
    where = ground(*servers, balancers=(balancer("lb1"), balancer("lb2", held=(NEW,))), told=uses(rows=rows))
    plan = plan_of(where)
    assert after(plan) == {
        "lb1:mark:True": set(),
        "lb2:mark:True": set(),
        "EX01:remove-certificate": {"lb1:mark:True", "lb2:mark:True"},
        "EX02:remove-certificate": {"EX01:remove-certificate"},
        "EX03:remove-certificate": {"EX01:remove-certificate"},
        "lb1:uninstall-certificate": {"EX02:remove-certificate", "EX03:remove-certificate"},
        "lb1:mark:False": {"lb1:uninstall-certificate"},
        "lb2:mark:False": {"lb1:uninstall-certificate"},
    }
    asked = [step.do.args["change"] for step in plan.steps if step.do and step.do.verb == "remove-certificate"]
    assert {str(change["released"]) for change in asked if isinstance(change, dict)} == {"['SMTP']"}
    assert plan.leaf == NEW.fingerprint


def test_the_plan_says_that_there_is_no_way_back_and_where_the_key_is() -> None:
    """In plain words, before anybody agrees: gone for good, or still in the file it came from."""
    gone = plan_of(ground())
    assert "no rollback brings it back" in gone.notes[0]
    assert f"{OLD.thumbprint}: its private key is gone for good" in gone.notes[1]
    kept = plan_of(ground(files={OLD.fingerprint: (OLD, ("/drop/mail.pfx",))}))
    assert kept.notes[1] == f"{OLD.thumbprint}: its private key stays in /drop/mail.pfx."


def test_only_where_it_is() -> None:
    """A balancer that never had it, and a server without it, are left alone; one that is not published and has it is not."""
    bare = balancer("lb2", held=(OLD,)).model_copy(update={"published": False, "leaf": None, "structure": None})
    idle = balancer("lb3", held=()).model_copy(update={"published": False, "leaf": None, "structure": None})
    where = ground(server("EX01"), server("EX02"), balancers=(bare, idle))
    plan = plan_of(where, OLD.fingerprint)
    assert list(after(plan)) == ["lb2:mark:True", "lb2:uninstall-certificate", "lb2:mark:False"]
    farm = replace(ground(server("EX01"), server("EX02", OLD)), facts=where.facts.model_copy(update={"balancers": ()}))
    farm = replace(farm, facts=farm.facts.model_copy(update={"servers": (server("EX01"), server("EX02", OLD))}))
    assert list(after(plan_of(farm))) == ["EX02:remove-certificate"]


def test_nothing_to_remove_is_no_plan() -> None:
    """No step, no marker, no note; and nothing is refused then."""
    blocked = balancer(held=(NEW,)).model_copy(update={"blockers": ("somebody sits there",)})
    plan = plan_of(ground(server("EX01"), server("EX02"), balancers=(blocked,)))
    assert (plan.steps, plan.notes) == ((), ())


def test_it_is_refused_where_nothing_may_be_changed() -> None:
    """Another run's marker, a blocked balancer, set-up at work: as for every plan."""
    marked = balancer().model_copy(update={"marker": "plan of another host"})
    with pytest.raises(UnsafeChange) as caught:
        plan_of(ground(balancers=(marked,)))
    assert "A run is at work here" in caught.value.reasons[0]
    busy = server("EX01", OLD).model_copy(update={"setup_running": True})
    with pytest.raises(UnsafeChange):
        plan_of(ground(busy, server("EX02", OLD)))


class Naming(Lowering):
    """Steps named after the certificate, too."""

    def lower(self, change: Change, seen: object) -> tuple[Step, ...]:
        """One step, as the base class has it."""
        (step,) = super().lower(change, seen)
        leaf = str(change.model_dump().get("leaf", ""))
        return (step.model_copy(update={"id": StepId(f"{step.id}:{leaf[-1:]}")}),)


def test_several_on_one_target_go_one_after_the_other() -> None:
    """A server or a balancer is done with one before the next, the one that ends first before the others."""
    older = leaf_info(3, days_left=-60)
    rows = (*(enabled("EX01", info) for info in (NEW, OLD, older)), enabled("EX02", NEW), enabled("EX02", OLD))
    where = ground(
        server("EX01", OLD, older),
        server("EX02", OLD),
        balancers=(balancer(held=(NEW, OLD, older)),),
        told=uses(rows=rows),
    )
    targets = {name: Naming(name) for name in ("EX01", "EX02", "lb1")}
    plan = build_retirement(desired(leaf=NEW), where, choose(where, named=OLD.thumbprint), targets)
    assert len(plan.steps) == 5
    both = (*choose(replace(where, until={older.fingerprint: NOW - KEEP, **where.until}), named=None),)
    plan = build_retirement(desired(leaf=NEW), where, both, targets)
    assert after(plan) == {
        "lb1:mark:True:": set(),
        "EX01:remove-certificate:3": {"lb1:mark:True:"},
        "EX01:remove-certificate:1": {"EX01:remove-certificate:3"},
        "EX02:remove-certificate:1": {"EX01:remove-certificate:1"},
        "lb1:uninstall-certificate:3": {"EX02:remove-certificate:1"},
        "lb1:uninstall-certificate:1": {"lb1:uninstall-certificate:3"},
        "lb1:mark:False:": {"lb1:uninstall-certificate:1"},
    }
