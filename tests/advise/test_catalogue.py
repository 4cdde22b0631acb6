"""The catalogue: every rule with its cases, and nothing said that is not in it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lbsync
from lbsync.advice import Finding, listed
from lbsync.advise import advise, advise_distribution, advise_retirement, advise_rotation, reasons
from lbsync.advise.catalogue import CATALOGUE, DISTRIBUTION_RULES, FARM_RULES, MODE_RULES, TWO_SIDED_RULES
from lbsync.advise.rule import SEVERITIES
from lbsync.model import Mode
from tests.advise.cases import CASES, Case

PACKAGE = Path(lbsync.__file__).parent
ALWAYS = {"never-offloaded"}
"""Of a service and not of a farm: MRSProxy is on every one, and for the other eight it is silent."""


def said(case: Case) -> tuple[Finding, ...]:
    """Everything that is said of the farm, of each service in each mode, and of changing its certificate."""
    able = {balancer.balancer: case.able for balancer in case.facts.balancers}
    judged = (case.wish, case.facts, able, case.now)
    found = [
        *advise(*judged).farm,
        *(finding for told in reasons(*judged).values() for finding in told),
        *advise_distribution(case.wish, case.facts, case.now).farm,
        *advise_rotation(*judged, two_sided=True).farm,
    ]
    return tuple(dict.fromkeys(found))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_case(case: Case) -> None:
    """Facts in, what the rule says of them out: where, how grave, and in whole sentences."""
    told = [finding for finding in said(case) if finding.rule == case.rule]
    assert bool(told) is (case.where is not None)
    for finding in told:
        rule = CATALOGUE[case.rule]
        assert finding.where == case.where
        assert finding.severity == SEVERITIES[rule.verdict]
        assert finding.source == rule.source
        assert not {"{", "}"} & set(finding.reason + finding.remedy)


def test_every_rule_has_cases_of_both_kinds() -> None:
    """One in which it speaks, and one in which it keeps silent; and no case is of a rule that is not there."""
    speaking = {case.rule for case in CASES if case.where is not None}
    silent = {case.rule for case in CASES if case.where is None}
    assert speaking == set(CATALOGUE)
    assert silent == set(CATALOGUE) - ALWAYS


def test_never_is_said_of_mrsproxy_alone() -> None:
    """Of each of the other services it is silent."""
    case = next(case for case in CASES if case.rule == "never-offloaded")
    told = reasons(case.wish, case.facts, {"lb1": case.able}, case.now)
    spoken = {at for at, found in told.items() if any(finding.rule == "never-offloaded" for finding in found)}
    assert {(service.value, mode) for service, mode in spoken} == {("mrsproxy", Mode.OFFLOAD)}


def test_what_is_said_of_any_change_is_said_of_retiring_too() -> None:
    """Set-up at work forbids whatever changes something."""
    case = next(case for case in CASES if case.rule == "setup-at-work")
    assert [one.rule for one in advise_retirement(case.wish, case.facts, case.now).refusals] == ["setup-at-work"]


def test_a_rule_has_one_id_and_all_of_its_words() -> None:
    """Two rules of one id would hide each other; a rule without a condition or a source could not be judged by its reader."""
    rules = {*FARM_RULES, *DISTRIBUTION_RULES, *TWO_SIDED_RULES, *(one for each in MODE_RULES.values() for one in each)}
    assert len(rules) == len(CATALOGUE)
    for rule in rules:
        assert rule.condition.endswith(".")
        assert rule.condition[0].isupper()
        assert rule.source
        assert rule.reason
        if rule.verdict in {"must", "must not"} and not rule.reason.startswith("{"):
            assert rule.remedy, f"{rule.id} refuses and gives no way out"


def test_findings_are_made_by_rules_only() -> None:
    """Nowhere else in the package is one constructed: whatever is said has a rule to be looked up."""
    makers: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "lbsync.advice" not in text:
            continue
        nodes = list(ast.walk(ast.parse(text)))
        ours = any(isinstance(one, ast.ImportFrom) and one.module == "lbsync.advice" for one in nodes)
        calls = (one.func for one in nodes if isinstance(one, ast.Call))
        if ours and any(isinstance(func, ast.Name) and func.id == "Finding" for func in calls):
            makers.add(path.relative_to(PACKAGE).as_posix())
    assert makers == {"advise/rule.py"}


def test_few_names_are_listed_and_many_are_counted() -> None:
    """Hundreds of servers are not read out."""
    assert listed(["a", "b", "c", "d"]) == "a, b, c, d"
    assert listed(f"EX{number}" for number in range(500)) == "EX0, EX1, EX2 and 497 more"
