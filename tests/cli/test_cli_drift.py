"""The baseline on the disk, and how a drift is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from pydantic import SecretStr

from lbsync.cli.baselinefile import baseline_path, load_baseline, remember, save_baseline
from lbsync.cli.command import Session
from lbsync.cli.driftview import Told, drift_document, drift_view
from lbsync.cli.house import House, Seen
from lbsync.drift.cause import causes
from lbsync.drift.offer import Offer
from lbsync.errors import Denied, LbsyncError, Unreachable
from lbsync.services import REQUIRE_SSL, Service
from tests.drift.looks import at_vdir, baseline, compared, farm


def session(folder: Path) -> Session:
    """A screen with a state folder."""
    return Session(as_json=False, quiet=True, state=folder)


def house(see: Callable[[], Seen]) -> House:
    """One that looks so: EX01, EX02 and lb1 are configured."""
    servers, balancers = [SimpleNamespace(name=name) for name in ("EX01", "EX02")], [SimpleNamespace(name="lb1")]
    config = SimpleNamespace(farm=SimpleNamespace(name="a/b c"), servers=servers, balancers=balancers)
    return cast("House", SimpleNamespace(config=config, see=see))


def half() -> Seen:
    """EX02 does not answer."""
    facts = farm()
    return Seen(
        servers=facts.servers[:1], farm=facts.farm, balancers=facts.balancers, errors=(Unreachable("no route", where="EX02"),)
    )  # fmt: skip


def refused() -> Seen:
    """A wrong password."""
    raise Denied("log-on refused", where="EX01")


def test_what_could_not_be_read_is_said_and_fails_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Some of it, or all; and the one from before is no baseline of now."""
    screen = session(tmp_path / "state")
    remember(screen, house(half), "applied", "r1")
    path = baseline_path(screen, house(half))
    assert (path.name, path.stat().st_mode & 0o777) == ("baseline-a%2Fb%20c.json", 0o600)
    kept = load_baseline(path)
    assert kept is not None
    assert (kept.run, kept.missing, len(kept.facts.servers)) == ("r1", {"EX02": "no route"}, 1)
    assert "no baseline for lbsync drift of EX02: no route; lbsync drift --adopt" in capsys.readouterr().err
    remember(screen, house(refused), "rolled back", "r1")
    kept = load_baseline(path)
    assert kept is not None
    assert set(kept.missing.values()) == {"log-on refused"}
    assert set(kept.missing) == {"EX01", "EX02", "lb1", "directory"}
    path.unlink()
    path.mkdir()
    capsys.readouterr()
    remember(screen, house(half), "applied", "r1")
    assert "no baseline was kept" in capsys.readouterr().err


def test_a_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    """Damaged, of another version, or a folder: never taken for no baseline."""
    path = tmp_path / "b.json"
    assert load_baseline(path) is None
    path.write_text('{"format": 2}')
    with pytest.raises(LbsyncError, match="another version"):
        load_baseline(path)
    with pytest.raises(LbsyncError, match="directory"):
        load_baseline(tmp_path)


def test_no_secret_is_ever_kept(tmp_path: Path) -> None:
    """Where a fact holds one against all reason, nothing is written."""
    screen = session(tmp_path)
    screen.redactor.remember("env:PW", SecretStr("contoso-hunter2"))
    with pytest.raises(LbsyncError, match="env:PW"):
        save_baseline(screen, tmp_path / "b.json", baseline(actor="contoso-hunter2"))
    assert not (tmp_path / "b.json").exists()


def test_a_drift_is_shown_by_target_and_cause() -> None:
    """What matters is marked; what a plan does not mend says what to do by hand; the offer comes last."""
    facts = at_vdir(Service.EWS, own_ssl_flags=None, ssl_flags=REQUIRE_SSL)
    found = compared(facts)
    (one,) = found.differences
    likely = causes(found.differences, facts)
    offer = Offer(kind="decide", text="Decide.", reasons=("why",), commands=("lbsync advise",))
    told = Told(baseline(), found, likely, why=dict.fromkeys(found.differences, "it breaks."), offer=offer)
    assert [str(line) for line in drift_view(told)] == [
        "1 difference since 2026-06-01 00:00 UTC (run r1, by alice).",
        "\nEX01, likely a person, since Exchange's version is the same:",
        f" ! EWS: Require SSL is on again: None -> {REQUIRE_SSL} (inherited)",
        "     matters: it breaks",
        "\nDecide.",
        "  - why",
        "Next: lbsync advise",
    ]
    assert "     the plan below mends it" in map(str, drift_view(Told(baseline(), found, likely, mended=(one,))))
    bare = Told(baseline(), found, likely, unjudged="nobody answers")
    assert "     by hand: nothing is needed: it is as the configuration wants it" not in map(str, drift_view(bare))
    assert str(drift_view(bare)[-1]).endswith("no repair is offered: nobody answers")
    document = drift_document(bare)
    assert (document["offer"], document["unjudged"]) == (None, "nobody answers")
    assert "facts" not in str(document["baseline"])
