"""Metrics: every family said beforehand, with its labels; counted once; and what the dashboard and the alerts ask for exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from lbsync.run import RunPhase
from lbsync.service.counting import Counting
from lbsync.service.metrics import COUNTERS_OF_NOTICES, GAUGES, exposition
from lbsync.service.notices.values import NoticeState
from lbsync.service.values import JobState, Level, NamespaceState
from tests.service.client import app_for, client
from tests.service.fakes import NOW, FakeHub, namespace, run_state

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "lbsync.json"
RULES = ROOT / "deploy" / "prometheus" / "lbsync.rules.yml"
PAGE = ROOT / "docs" / "metrics.md"


def job(kind: Any, code: int | None, key: str = "j1", seconds: float = 4) -> JobState:
    """A command that took so long; at work for None."""
    ended = None if code is None else NOW + timedelta(seconds=seconds)
    return JobState(
        id=key, namespace="mail", kind=kind, asked_by="x", asked_at=NOW, began=NOW, ended=ended, exit_code=code
    )


def full() -> tuple[NamespaceState, Counting, NoticeState]:
    """A state, counters and a target of notices in which every family has something to say."""
    counting = Counting()
    before = namespace()
    counting.state(before)
    counting.job(job("look", 1))
    counting.job(job("look", 0, "j2"))
    state = before.model_copy(
        update={
            "job": job("rotate", None),
            "calls": {"ex1": 0.8, "lb1": 0.1, "directory": 2.0},
            "runs": (run_state("r2"), run_state("r1", RunPhase.APPLYING).model_copy(update={"interrupted": True})),
        }
    )
    counting.state(state)
    told = NoticeState(
        name="team", kinds=("drift",), namespaces=("*",), min_level=Level.OK, sent=3, failures=2, dropped=0, pending=1,
        sent_at=NOW, failed_at=NOW, next_try=NOW, error="HTTP 500",
    )  # fmt: skip
    return state, counting, told


def families(page: bytes) -> dict[str, Metric]:
    """What a scrape reads."""
    return {one.name: one for one in text_string_to_metric_families(page.decode())}


@pytest.fixture(scope="module")
def scraped() -> dict[str, set[str]]:
    """Every series name of a full page, with its labels."""
    state, counting, told = full()
    found: dict[str, set[str]] = {}
    for family in families(exposition((state,), counting, (told,), NOW)).values():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def value(page: bytes, name: str, **labels: str) -> float | None:
    """One sample of a page."""
    for family in families(page).values():
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def test_every_family_is_there_with_its_labels(scraped: dict[str, set[str]]) -> None:
    """As the table of gauges says."""
    assert {name: set(labels) for name, (labels, _) in GAUGES.items()}.items() <= scraped.items()
    assert set(COUNTERS_OF_NOTICES) <= set(scraped)
    assert all(name.startswith("lbsync_") for name in scraped)
    assert not [name for name in scraped if name.endswith("_created")]


def test_what_a_farm_is_like(scraped: dict[str, set[str]]) -> None:
    """Lights, days to now, modes beside what is wanted."""
    state, counting, told = full()
    page = exposition((state,), counting, (told,), NOW + timedelta(days=2))
    listener = {"namespace": "mail", "balancer": "lb1", "host": "mail.example.com"}
    assert value(page, "lbsync_listener_right", **listener) == 1
    assert value(page, "lbsync_listener_light", **listener, light="green") == 1
    assert value(page, "lbsync_listener_light", **listener, light="red") == 0
    assert value(page, "lbsync_listener_right", balancer="lb2") == 0
    assert value(page, "lbsync_listener_certificate_days_left", **listener) == 10
    assert value(page, "lbsync_service_mode", service="owa", mode="bridge") == 1
    assert value(page, "lbsync_service_mode_right", service="owa") == 0
    assert value(page, "lbsync_namespace_level", level="warning") == 1
    assert value(page, "lbsync_runs_half_way") == 1
    assert value(page, "lbsync_job_running") == 1
    assert value(page, "lbsync_job_began_timestamp_seconds", kind="rotate") == NOW.timestamp()
    assert value(page, "lbsync_target_read_seconds", target="directory") == 2
    assert value(page, "lbsync_notice_failures_total", target="team") == 2
    nothing = exposition((NamespaceState(name="new"),), Counting(), (), NOW)
    assert value(nothing, "lbsync_namespace_level", namespace="new", level="unknown") == 1
    assert value(nothing, "lbsync_drift_differences") is None
    ended = exposition((state.model_copy(update={"job": job("rotate", 0)}),), Counting(), (), NOW)
    assert value(ended, "lbsync_job_running") == 0
    assert value(ended, "lbsync_job_began_timestamp_seconds") is None
    gone = exposition((state.model_copy(update={"gone": True}),), Counting(), (), NOW)
    assert set(GAUGES).intersection(families(gone)) == {
        "lbsync_build_info", "lbsync_namespace_level", "lbsync_job_began_timestamp_seconds", "lbsync_job_running",
        "lbsync_last_success_timestamp_seconds", "lbsync_runs_half_way",
    }  # fmt: skip
    assert value(gone, "lbsync_runs_half_way") == 1
    beside = run_state("r1", RunPhase.APPLYING).model_copy(update={"at_work_since": NOW})
    page = exposition((NamespaceState(name="mail", runs=(beside,)),), Counting(), (), NOW)
    assert value(page, "lbsync_job_running") == 1
    assert value(page, "lbsync_job_began_timestamp_seconds", kind="run") == NOW.timestamp()


def test_what_alerts_wait_for_is_there_before_it_happens() -> None:
    """At nought: Prometheus sees no increase in a series that first appears at one."""
    counting = Counting()
    counting.state(namespace())
    page = exposition((), counting)
    ends = ("applied", "taken_back", "held", "incomplete")
    assert [value(page, "lbsync_runs_total", namespace="mail", outcome=end) for end in ends] == [0] * 4
    assert value(page, "lbsync_look_failures_total", namespace="mail") == 0


def test_each_end_is_counted_once() -> None:
    """Runs that were there at the first sight are not; a command's end is, however often it is told."""
    counting = Counting()
    counting.state(namespace())
    for _ in range(2):
        counting.state(namespace().model_copy(update={"runs": (run_state("r2", RunPhase.UNDONE), run_state())}))
    told = [
        counting.job(job("rotate", code, key)) for code, key in ((None, "a"), (1, "a"), (1, "a"), (5, "b"), (0, "c"))
    ]
    assert told == [False, True, False, True, True]
    page = exposition((), counting)
    assert value(page, "lbsync_runs_total", outcome="taken_back") == 1
    assert value(page, "lbsync_runs_total", outcome="applied") == 0
    assert value(page, "lbsync_run_duration_seconds_sum") == 3600
    assert value(page, "lbsync_jobs_total", kind="rotate", outcome="failed") == 1
    assert value(page, "lbsync_jobs_total", kind="rotate", outcome="taken_back") == 1
    assert value(page, "lbsync_retries_total", kind="rotate") == 1


def test_the_page_is_served(tmp_path: Path) -> None:
    """To this host without a login; elsewhere a login is needed."""
    app = app_for(tmp_path, FakeHub())
    with client(app) as local:
        answer = local.ask("GET", "/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        assert value(answer.content, "lbsync_build_info") == 1
    with client(app, peer="192.0.2.7") as remote:
        assert remote.ask("GET", "/metrics").status_code == 401


# What PromQL has beside names of metrics and labels.
_WORDS = frozenset({
    "by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "sum", "max", "min", "avg", "count",
    "rate", "increase", "time", "sort", "bool", "histogram_quantile", "topk", "absent", "vector",
})  # fmt: skip
_SELECTOR = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>[^}]*)\})?")
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def _asked(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric that an expression names, with the labels asked of it; grouping labels are asked of the first one."""
    grouped = {label.strip() for part in _GROUPED.findall(expression) for label in part.split(",")} - {""}
    bare = re.sub(r'\[[^\]]*\]|"[^"]*"(?![^{]*\})', "", _GROUPED.sub("", expression))
    names = [found for found in _SELECTOR.finditer(bare) if found["name"] not in _WORDS]
    for index, found in enumerate(names):
        labels = set(re.findall(r"(\w+)\s*[=!]", found["labels"] or ""))
        yield found["name"], labels | (grouped if index == 0 else set())


def _expressions() -> list[tuple[str, str]]:
    rules = yaml.safe_load(RULES.read_text())
    found = [(rule["alert"], rule["expr"]) for group in rules["groups"] for rule in group["rules"]]
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", ())]
    return found


@pytest.mark.parametrize(("where", "expression"), _expressions())
def test_what_is_asked_for_exists(where: str, expression: str, scraped: dict[str, set[str]]) -> None:
    """Every metric that an alert or a panel names is on the page, with those labels."""
    asked = list(_asked(expression.replace("$namespace", "x")))
    assert asked, where
    for name, labels in asked:
        assert name in scraped, f"{where}: {name}"
        assert labels <= scraped[name] | {"le"}, f"{where}: {name} has no {labels - scraped[name]}"


def test_a_wrong_expression_would_be_found(scraped: dict[str, set[str]]) -> None:
    """The judge itself can say no."""
    ((name, labels),) = _asked('sum by (nobody) (rate(lbsync_runs_total{colour="x"}[5m])) > 0')
    assert (name, labels) == ("lbsync_runs_total", {"nobody", "colour"})
    assert not labels <= scraped[name]


def test_rules_and_dashboard_are_whole() -> None:
    """Each alert waits, says how bad it is and what to do; panels are numbered once and variables exist."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["for"]
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["description"]
    dashboard = json.loads(DASHBOARD.read_text())
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(identities) == len(set(identities))
    variables = {one["name"] for one in dashboard["templating"]["list"]}
    assert set(re.findall(r"\$(\w+)", json.dumps(dashboard["panels"]))) - {"__rate_interval"} <= variables


def test_a_refused_log_on_is_an_alert_of_its_own() -> None:
    """It fails once and is not tried again: it never comes to three failures in a row."""
    (expression,) = [found for name, found in _expressions() if name == "LbsyncFarmUnseen"]
    assert (
        "or (lbsync_look_failures_in_a_row > 0 unless on (namespace) lbsync_next_look_timestamp_seconds)" in expression
    )


def test_prometheus_itself_takes_the_rules() -> None:
    """Where promtool is installed (Debian: prometheus)."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on this machine (Debian: prometheus)")
    ran = subprocess.run([promtool, "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_metric_is_documented(scraped: dict[str, set[str]]) -> None:
    """By name, in docs/metrics.md; and nothing else is."""
    named = set(re.findall(r"`(lbsync_\w+)`", PAGE.read_text(encoding="utf-8")))
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in scraped}
    assert named == bare
