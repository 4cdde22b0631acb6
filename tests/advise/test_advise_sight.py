"""What a balancer that sees no path may carry: one mode for all, MRSProxy apart or off, and nothing filtered."""

from __future__ import annotations

import pytest

from lbsync.advice import Advice
from lbsync.advise import advise
from lbsync.desired import FactSet
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import HOSTS, NOW, all_modes, desired, fact_set, leaf_info, server_facts

BLIND = Capabilities(live_mode_switch=False, per_path_modes=False, filters_paths=False)
APART = BLIND.model_copy(update={"mrsproxy_host": "mrs.contoso.test"})
BRIDGED = all_modes(Mode.BRIDGE)
OFFLOADED = all_modes(Mode.OFFLOAD)
MIXED = OFFLOADED | {Service.OWA: Mode.BRIDGE}


def farm(enabled: dict[str, bool] | None = None, names: tuple[str, ...] = (*HOSTS, "mrs.contoso.test")) -> FactSet:
    """Two servers, what AD says of their MRSProxy, and the names on their certificate."""
    facts = fact_set()
    servers = tuple(server_facts(server.server, leaf_info(names=names)) for server in facts.servers)
    found = facts.farm.model_copy(update={"mrsproxy_enabled": enabled or {}})
    return facts.model_copy(update={"servers": servers, "farm": found})


def judge(facts: FactSet, modes: dict[Service, Mode], able: Capabilities) -> Advice:
    """Advice on a farm behind one such balancer."""
    return advise(desired(modes), facts, {"lb1": able}, NOW)


def refused(advice: Advice) -> set[str]:
    """The ids of the rules that refuse."""
    return {finding.rule for finding in advice.refusals}


ON = {"EX01": True, "EX02": True}
OFF = {"ex01": False, "EX02": False}


@pytest.mark.parametrize(
    ("able", "enabled", "modes", "rule"),
    [
        (BLIND, ON, BRIDGED, None),
        (BLIND, OFF, BRIDGED, None),
        (BLIND, OFF, OFFLOADED, None),
        (BLIND, ON, OFFLOADED, "mrsproxy-on-shared-listener"),
        (BLIND, {"EX01": False, "EX02": True}, OFFLOADED, "mrsproxy-on-shared-listener"),
        (BLIND, {"EX01": False}, OFFLOADED, "mrsproxy-on-shared-listener"),
        (BLIND, {}, OFFLOADED, "mrsproxy-on-shared-listener"),
        (BLIND, OFF, MIXED, "balancer-one-mode"),
        (APART, ON, OFFLOADED, None),
        (APART, ON, BRIDGED, None),
        (APART, ON, MIXED, "balancer-one-mode"),
        (Capabilities(), ON, MIXED, None),
    ],
)
def test_one_mode_for_all_services_of_a_listener_without_paths(
    able: Capabilities, enabled: dict[str, bool], modes: dict[Service, Mode], rule: str | None
) -> None:
    """MRSProxy forbids offloading all unless it is known to be off on every server or has a name of its own."""
    assert refused(judge(farm(enabled), modes, able)) == ({rule} if rule else set())


def test_both_ways_out_of_mrsproxys_way_are_told() -> None:
    """Turn it off, or give it a name."""
    (finding,) = judge(farm(ON), OFFLOADED, BLIND).refusals
    assert finding.where == ("lb1",)
    assert "-MRSProxyEnabled $false" in finding.remedy
    assert "balancers.settings.mrsproxy_host" in finding.remedy


@pytest.mark.parametrize(
    ("able", "modes", "rules"),
    [
        (BLIND, OFFLOADED, ["balancer-unfiltered", "balancer-unfiltered-offload"]),
        (BLIND, BRIDGED, ["balancer-unfiltered"]),
        (Capabilities(), OFFLOADED, []),
    ],
)
def test_what_is_published_beside_the_services_is_told_once(
    able: Capabilities, modes: dict[Service, Mode], rules: list[str]
) -> None:
    """Once for all such balancers and not per service; that / answers 403 only where port 80 is asked."""
    advice = advise(desired(modes), farm(OFF), {"lb1": able, "lb2": able}, NOW)
    told = [finding for finding in advice.farm if finding.rule.startswith("balancer-unfiltered")]
    assert [finding.rule for finding in told] == rules
    assert {(finding.where, finding.severity) for finding in told} <= {(("lb1", "lb2"), "warn")}


def test_mrsproxys_own_name_must_stand_on_the_servers_certificates() -> None:
    """It is passed through, and remote moves verify it; a wildcard will do, a server without a leaf is told elsewhere."""
    facts = farm(ON)
    bare = server_facts("EX02", leaf_info())
    advice = judge(facts.model_copy(update={"servers": (facts.servers[0], bare)}), BRIDGED, APART)
    (finding,) = [each for each in advice.refusals if each.rule == "mrsproxy-name-missing"]
    assert finding.where == ("EX02",)
    assert "mrs.contoso.test" in finding.reason
    assert "mrsproxy-name-missing" not in refused(judge(farm(ON, ("*.contoso.test",)), BRIDGED, APART))
    ends_here = APART.model_copy(update={"mrsproxy_ends_here": True})
    (finding,) = judge(farm(ON), BRIDGED, ends_here).refusals
    assert finding.rule == "mrsproxy-name-unpublished"
    assert "certificate to be published is not for mrs.contoso.test" in finding.reason
    wild = desired(BRIDGED).model_copy(update={"leaf": leaf_info(names=("*.contoso.test",))})
    assert "mrsproxy-name-unpublished" not in refused(advise(wild, farm(ON), {"lb1": ends_here}, NOW))
    unbound = bare.model_copy(update={"bindings": ()})
    missing = judge(facts.model_copy(update={"servers": (facts.servers[0], unbound)}), BRIDGED, APART)
    assert "mrsproxy-name-missing" not in refused(missing)
