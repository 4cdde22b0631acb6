"""A watch through the real command: it looks, tells, rotates where it may, and forgets no failure."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lbsync.cli.exits import ExitCode
from lbsync.run import RunPhase
from lbsync.services import NO_SSL, REQUIRE_SSL, SERVICES, Service
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle
from tests.longer import LONGER
from tests.rollout.rig import Rehearsal
from tests.rollout.test_rotate import bring, renewed

OWA, MAPI = SERVICES[Service.OWA].location, SERVICES[Service.MAPI].location


@pytest.fixture
def published(rehearsal: Rehearsal, tmp_path: Path) -> Generator[Rehearsal]:
    """A rehearsal whose balancer serves the first certificate; everything is taken back at the end."""
    before, stores = rehearsal.snapshot(), [server.store.entries for server in rehearsal.farm.state.servers.values()]
    held = [frozenset(entries) for entries in stores]
    assert rehearsal.run(tmp_path, "apply", "--yes", "--quiet", "--no-canary")[0] == ExitCode.OK
    yield rehearsal
    for one in json.loads(rehearsal.run(tmp_path, "runs", "--json")[1]):
        if one["phase"] == RunPhase.APPLIED:
            code, said = rehearsal.run(tmp_path, "rollback", one["run"], "--quiet", "--no-canary")
            assert code == ExitCode.OK, said
    assert rehearsal.snapshot() == before
    for entries, kept in zip(stores, held, strict=True):
        for thumbprint in set(entries) - kept:
            del entries[thumbprint]


@pytest.fixture
def new(published: Rehearsal) -> Bundle:
    """A renewed certificate on EX01."""
    bundle = renewed(published)
    bring(published, bundle)
    return bundle


def config(rehearsal: Rehearsal, name: str, watch: str, **replaced: str) -> str:
    """The rehearsal's configuration with a table for the watch; ``replaced``: other values of keys."""
    lines = rehearsal.config.read_text(encoding="utf-8").splitlines()
    lines = [f'{key} = "{replaced[key]}"' if (key := line.partition(" = ")[0]) in replaced else line for line in lines]
    path = rehearsal.config.with_name(name)
    path.write_text("\n".join((*lines, watch)), encoding="utf-8")
    return str(path)


def closed_now() -> str:
    """A window that opens in two hours."""
    begins = datetime.now(UTC) + timedelta(hours=2)
    return (
        f'[[watch.windows]]\nbegins = "{begins:%H:%M}"\nends = "{begins + timedelta(minutes=1):%H:%M}"\n'
        'time_zone = "UTC"\n'
    )


def test_it_tells_waits_for_its_window_and_rotates(published: Rehearsal, tmp_path: Path) -> None:
    """Nothing to say, then a renewal, then a rotation that the watch itself makes; a monitor understands each."""
    code, said = published.run(tmp_path, "watch", "--once")
    assert code == ExitCode.OK, said
    assert "Next: no renewed certificate is there." in said
    code, said = published.run(tmp_path, "watch", "--monitor")
    assert code == 0, said
    assert said.startswith("LBSYNC OK - Next: no renewed certificate is there. | days=")
    bundle = renewed(published)
    bring(published, bundle)
    code, said = published.run(tmp_path, "watch", "--monitor")
    assert (code, said.partition(":")[0]) == (1, "LBSYNC WARNING - renewed"), said
    waiting = config(published, "closed.toml", f"[watch]\nrotate = true\n{closed_now()}")
    before = published.snapshot()
    code, said = published.run(tmp_path, "watch", "--once", "--json", "--config", waiting)
    assert code == ExitCode.ATTENTION, said
    ahead = json.loads(said)["next"]
    assert ahead["leaf"]["thumbprint"] == bundle.thumbprint
    assert datetime.fromisoformat(ahead["at"]) > datetime.now(UTC)
    assert published.snapshot() == before
    code, said = published.run(
        tmp_path, "watch", "--monitor", "--config", config(published, "open.toml", "[watch]\nrotate = true\n")
    )
    assert code == 0, said
    assert "OK rotation: done, and proven from outside" in said
    assert {server.iis.bound for server in published.farm.state.servers.values()} == {bundle.thumbprint}
    code, said = published.run(tmp_path, "watch", "--once")
    assert code == ExitCode.OK, said
    assert bundle.thumbprint in said
    code, said = published.run(tmp_path, "rollback", "--quiet", "--no-canary")  # a person does not want it
    assert code == ExitCode.OK, said
    allowed = str(published.config.with_name("open.toml"))
    code, said = published.run(tmp_path, "watch", "--once", "--config", allowed)
    assert (code, "went to it and was taken back" in said) == (ExitCode.ATTENTION, True), said
    assert published.snapshot() == before


@LONGER
def test_a_rotation_that_fails_is_remembered_and_rests(published: Rehearsal, new: Bundle, tmp_path: Path) -> None:
    """Taken back by itself, told by every later look, and not tried again before its time."""
    strange = tmp_path / "strange.pem"
    strange.write_bytes(TestCA.new("nobody's").root_pem)
    blind = config(published, "blind.toml", "[watch]\nrotate = true\n", client_ca_file=str(strange))
    text = Path(blind).read_text(encoding="utf-8")
    Path(blind).write_text(text.replace("[limits]\n", "[limits]\nprove_within_s = 1\n"), encoding="utf-8")
    before = published.snapshot()
    code, said = published.run(tmp_path, "watch", "--once", "--json", "--no-canary", "--config", blind)
    assert code == ExitCode.TAKEN_BACK, said
    told = json.loads(said[said.index("{\n") :])
    assert (told["level"], told["items"][0]["subject"]) == ("critical", "rotation")
    assert published.snapshot() == before
    (failure,) = json.loads((tmp_path / "watch.json").read_text(encoding="utf-8"))["failures"].values()
    assert (failure["count"], failure["leaf"]["thumbprint"]) == (1, new.thumbprint)
    assert failure["run"] in published.run(tmp_path, "runs")[1]
    able = config(published, "able.toml", "[watch]\nrotate = true\n")
    code, said = published.run(tmp_path, "watch", "--once", "--config", able)
    assert code == ExitCode.ATTENTION, said
    assert "failed once" in said
    assert f"lbsync show {failure['run']}" in said
    assert "it failed before and is tried again then" in said
    assert published.snapshot() == before
    code, said = published.run(tmp_path, "rotate", "--yes", "--no-canary")  # a person need not wait
    assert code == ExitCode.OK, said
    code, said = published.run(tmp_path, "watch", "--once", "--config", able)
    assert (code, "failed" in said) == (ExitCode.OK, False), said
    (tmp_path / "watch.json").write_text("{", encoding="utf-8")
    code, said = published.run(tmp_path, "watch", "--monitor")
    assert (code, said.startswith("LBSYNC UNKNOWN - ")) == (3, True), said


@LONGER
def test_looks_that_change_nothing(published: Rehearsal, tmp_path: Path) -> None:
    """A certificate that must not be served, a server that does not answer, and the loop until its signal."""
    before = published.snapshot()
    tell_what_drifted(published, tmp_path)
    refuse_what_nobody_trusts(published, tmp_path)
    tell_who_does_not_answer(published, tmp_path)
    look_until_a_signal(published, tmp_path)
    assert published.snapshot() == before


def tell_what_drifted(published: Rehearsal, state: Path) -> None:
    """An update and a person, each blamed for its own; mended by the ordinary plan; what must be decided; an adoption."""
    first, second = published.farm.state.servers["EX01"], published.farm.state.servers["EX02"]
    versions = first.setup_version, first.exsetup_version
    (back,) = (one for one in first.iis.bindings if ":444:" in one.information)
    own = back.thumbprint
    first.setup_version, first.exsetup_version, back.thumbprint = (
        "15.2.1544.4",
        "15.02.1544.004",
        published.farm.leaf.thumbprint,
    )
    second.iis.write_ssl_flags(OWA, REQUIRE_SSL)
    level = Path(config(published, "level.toml", ""))
    level.write_text(
        level.read_text(encoding="utf-8").replace("[limits]\n", "[limits]\nallow_drift = true\n"), encoding="utf-8"
    )
    code, said = published.run(state, "drift", "--json", "--config", str(level))
    told = json.loads(said)
    assert (code, told["offer"]["kind"]) == (ExitCode.ATTENTION, "repair"), said
    assert [
        (one["target"], one["subject"], one["cause"]["origin"], one["mended_by_plan"]) for one in told["differences"]
    ] == [
        ("EX01", "Exchange", "cumulative-update", False),
        ("EX01", "Back End 444", "cumulative-update", False),
        ("EX02", "OWA", "person", True),
    ]
    code, said = published.run(state, "watch", "--once")
    assert (code, "EX02: OWA: Require SSL is on again, likely a person" in said) == (ExitCode.ATTENTION, True), said
    assert published.run(state, "apply", "--yes", "--quiet", "--no-canary", "--config", str(level))[0] == ExitCode.OK
    code, said = published.run(state, "drift")
    assert (code, said.startswith("Nothing differs since ")) == (ExitCode.OK, True), said
    first.iis.locations[MAPI.lower()].token_checking = "Require"
    code, said = published.run(state, "drift", "--adopt")
    assert code == ExitCode.REFUSED, said
    assert "Extended Protection changed: None -> Require" in said
    assert "lbsync plan --mode all=bridge" in said
    code, said = published.run(state, "drift", "--adopt", "--yes", "--quiet")
    assert code == ExitCode.OK, said
    (kept,) = state.glob("baseline-*.json")
    assert (json.loads(kept.read_text(encoding="utf-8"))["origin"], kept.stat().st_mode & 0o777) == ("adopted", 0o600)
    first.iis.locations[MAPI.lower()].token_checking = None
    first.setup_version, first.exsetup_version, back.thumbprint = *versions, own
    assert published.run(state, "rollback", "--quiet", "--no-canary")[0] == ExitCode.OK
    second.iis.write_ssl_flags(OWA, NO_SSL)


def refuse_what_nobody_trusts(published: Rehearsal, state: Path) -> None:
    """Refused before anything begins, and remembered without a run."""
    bring(published, TestCA.new("another").issue(list(published.farm.leaf.info.names), days=702))
    allowed = config(published, "allowed.toml", "[watch]\nrotate = true\n")
    code, said = published.run(state, "watch", "--once", "--config", allowed)
    assert code == ExitCode.REFUSED, said
    assert "cannot be served as it is" in said
    code, said = published.run(state, "watch", "--once", "--config", allowed)
    assert (code, "failed once" in said) == (ExitCode.ATTENTION, True), said


def tell_who_does_not_answer(published: Rehearsal, state: Path) -> None:
    """The rest is looked at."""
    lost = Path(config(published, "lost.toml", "[watch]\nrotate = true\n"))
    text = lost.read_text(encoding="utf-8")
    ports = [line for line in text.splitlines() if line.startswith("winrm_port")]
    lost.write_text(text.replace(ports[1], "winrm_port = 1"), encoding="utf-8")
    code, said = published.run(state, "watch", "--once", "--config", str(lost))
    assert code == ExitCode.ERROR, said
    assert "UNKNOWN  EX02" in said
    assert "nothing begins while somebody does not answer" in said
    assert "handshakes served" in said


def look_until_a_signal(published: Rehearsal, state: Path) -> None:
    """It ends at once, although it would look again only in an hour."""
    with published.start(state, "watch") as process:
        limit = threading.Timer(60, process.kill)
        limit.start()
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Next: "):
                process.send_signal(signal.SIGTERM)
        limit.cancel()
    assert process.returncode == ExitCode.OK, said
