"""Choosing the mode: what would change if, and what is refused before anything is asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbsync.advise.what_if import FORMS, KEYS
from lbsync.cli.exits import ExitCode
from lbsync.cli.supposing import form_capabilities
from lbsync.model import Mode

Lbsync = Callable[..., Any]
Rehearse = Callable[..., Any]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["advise", "--if", "colour=red"], "nothing is known by 'colour'"),
        (["advise", "--if", "ep=maybe"], "ep cannot be 'maybe'"),
        (["advise", "--if", "ep"], "this is not KEY=VALUE"),
        (["advise", "--if", "ep=on", "--explain", "ews"], "do not go together"),
        (["advise", "--if", "ep=on", "--write"], "do not go together"),
        (["advise", "--cost", "--write"], "do not go together"),
        (["advise", "--only", "EX01", "--if", "ep=on"], "do not go together"),
        (["advise", "--yes"], "--yes goes with --write only"),
        (["plan", "--mode", "ewz=bridge"], "there is no service 'ewz'"),
        (["plan", "--mode", "ews"], "this is not SERVICE=MODE"),
        (["apply", "--mode", "ews=off"], "there is no mode 'off'"),
        (["apply", "--mode", "ews=bridge", "--mode", "ews=offload"], "ews is given twice"),
    ],
)
def test_a_question_that_cannot_be_answered(lbsync: Lbsync, words: list[str], told: str) -> None:
    """One error, before the configuration is so much as looked for; nothing was read."""
    answer = lbsync(*words)
    assert answer.code == ExitCode.ERROR
    assert told in " ".join(answer.err.split())
    assert answer.err.count("Error:") == 1
    assert "nothing was changed" in answer.err
    assert not answer.out


def test_every_question_is_told_where_people_look(lbsync: Lbsync) -> None:
    """The help and the page name each key with all its values."""
    told = "".join(lbsync("advise", "--help").out.split())
    page = (Path(__file__).resolve().parents[2] / "docs" / "modes.md").read_text(encoding="utf-8")
    for key, values in KEYS.items():
        assert f"{key}={'|'.join(values)}" in told
        assert f"| `{key}` | {', '.join(f'`{value}`' for value in values)} |" in page


@pytest.mark.parametrize("word", sorted(FORMS))
def test_each_form_of_a_balancer_tells_its_own_abilities(word: str) -> None:
    """The provider itself says them, with nothing opened."""
    able = form_capabilities(word)
    assert able.per_path_modes is (word not in {"nginx-stream", "bigip"})
    assert able.ntlm_safe == (frozenset() if word in {"nginx", "nginx-http"} else frozenset(Mode))


def test_what_would_change_if(lbsync: Lbsync, rehearsal: Rehearse) -> None:
    """The farm is read as for any advice; only what changes is shown, for people and for machines."""
    rehearsal()
    assert lbsync("advise").code == ExitCode.OK
    told = lbsync("advise", "--if", "ep=on", "--if", "mrsproxy=off")
    assert told.code == ExitCode.ATTENTION
    assert "With ep=on, mrsproxy=off:" in told.out
    assert "possible -> refused" in told.out
    assert "Reasons that appear:" in told.out
    assert "mrsproxy  bridge" not in told.out
    asked = lbsync("advise", "--if", "version=SE", "--json").document
    assert asked["implied"] == {"ep": "on"}
    assert {one["service"] for one in asked["verdicts"] if one["before"] and not one["after"]} >= {"owa", "ews", "mapi"}
    same = lbsync("advise", "--if", "ep=off")
    assert same.code == ExitCode.OK
    assert "With ep=off nothing would change." in same.out
    stream = lbsync("advise", "--if", "balancer=nginx-stream")
    assert "mrsproxy-on-shared-listener" in stream.out


def protect(started: Any) -> None:
    """Extended Protection on everywhere: no service may be offloaded."""
    for server in started.farm.servers.values():
        for location in ("owa", "EWS", "mapi"):
            server.state.iis.locations[f"default web site/{location}".lower()].token_checking = "Require"


def test_modes_that_are_possible_are_written(lbsync: Lbsync, rehearsal: Rehearse, tmp_path: Path) -> None:
    """Shown and refused without a yes; then written behind a link, with its rights, and the plan is no longer refused."""
    started = rehearsal({"modes": {"default": "offload", "ecp": "bridge"}})
    assert "Nothing to write: every mode wanted is possible." in lbsync("advise", "--write").out
    protect(started)
    real = tmp_path / "real.toml"
    text = "# ours\r\n" + started.config.read_text().replace("\n", "\r\n").replace('"offload"', '"offload" # why')
    real.write_bytes(text.encode())
    real.chmod(0o640)
    started.config.unlink()
    started.config.symlink_to(real)
    assert lbsync("plan").code == ExitCode.REFUSED
    told = lbsync("advise", "--write")
    assert told.code == ExitCode.REFUSED
    assert '+default = "bridge" # why' in told.out
    assert "not approved" in told.err
    assert real.read_bytes() == text.encode()
    told = lbsync("advise", "--write", "--yes", "--json")
    assert told.code == ExitCode.OK
    assert told.document["written"] is True
    assert told.document["modes"]["ews"] == "bridge"
    assert "ecp" not in told.document["modes"]
    assert real.read_bytes() == text.replace('"offload"', '"bridge"').encode()
    assert real.stat().st_mode & 0o777 == 0o640
    assert started.config.is_symlink()
    assert lbsync("plan").code == ExitCode.OK


def test_a_file_that_cannot_be_written(lbsync: Lbsync, rehearsal: Rehearse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of anybody in vain: it is told before, and the file stays as it is."""
    started = rehearsal()
    protect(started)
    before = started.config.read_bytes()

    def denied(*_asked: object) -> bool:
        return False

    monkeypatch.setattr(os, "access", denied)  # whoever runs the tests may write whatever the rights say
    told = lbsync("advise", "--write", "--yes")
    assert told.code == ExitCode.ERROR
    assert "cannot be written" in told.err
    assert started.config.read_bytes() == before


def test_a_link_that_leads_nowhere(lbsync: Lbsync, tmp_path: Path) -> None:
    """There is no configuration, and none is made."""
    (tmp_path / "lbsync.toml").symlink_to(tmp_path / "gone.toml")
    told = lbsync("advise", "--write", "--yes")
    assert told.code == ExitCode.ERROR
    assert "there is no configuration file" in told.err
    assert not (tmp_path / "gone.toml").exists()


def test_what_no_other_mode_mends(lbsync: Lbsync, rehearsal: Rehearse) -> None:
    """Members that differ are refused in either mode: the file is left alone, and the reason told."""
    started = rehearsal()
    before = started.config.read_bytes()
    started.farm.servers["EX02"].state.iis.write_ssl_flags("Default Web Site/EWS", "Ssl")
    told = lbsync("advise", "--write", "--yes")
    assert told.code == ExitCode.ATTENTION
    assert "no other mode would help" in told.out
    assert "drift" in told.out
    assert started.config.read_bytes() == before


def ssl_flags(started: Any) -> set[tuple[str | None, str | None]]:
    """Require SSL of EWS and of OAB, on every server."""
    flags = [server.state.iis.own_ssl_flags for server in started.farm.servers.values()]
    return {(own("Default Web Site/EWS"), own("Default Web Site/OAB")) for own in flags}


def test_modes_for_one_plan(lbsync: Lbsync, rehearsal: Rehearse, tmp_path: Path) -> None:
    """A saved plan carries its modes; what was applied by it is told not to last, and does not."""
    started = rehearsal({"modes": {"default": "bridge"}})
    before = ssl_flags(started)
    text = started.config.read_bytes()
    assert lbsync("plan").code == ExitCode.OK
    never = lbsync("plan", "--mode", "mrsproxy=offload")
    assert never.code == ExitCode.REFUSED
    assert "MRSProxy works over TLS only" in never.err
    planned = lbsync("plan", "--mode", "ews=offload", "--out", "plan.json")
    assert planned.code == ExitCode.ATTENTION
    assert 'chosen for this plan: ews = "offload"; the configuration says ews = "bridge"' in planned.out
    for words in (["--mode", "oab=offload"], ["--mode", "ews=bridge"]):
        other = lbsync("apply", "plan.json", "--yes", *words)
        assert other.code == ExitCode.REFUSED
        assert "made with --mode ews=offload" in other.err
    assert ssl_flags(started) == before
    applied = lbsync("apply", "plan.json", "--yes", "--no-canary")
    assert applied.code == ExitCode.OK, applied.err
    assert ssl_flags(started) == {("None", "Ssl, Ssl128")}
    assert 'the configuration still says ews = "bridge"' in applied.err
    assert started.config.read_bytes() == text
    again = lbsync("apply", "--mode", "ews=offload", "--yes")
    assert "Nothing to do" in again.out
    assert "the next lbsync apply without --mode goes back" in again.err
    assert lbsync("apply", "plan.json", "--yes").code == ExitCode.REFUSED  # the farm is another one by now
    back = lbsync("apply", "--yes", "--no-canary")
    assert back.code == ExitCode.OK
    assert ssl_flags(started) == before
    assert "still says" not in back.err


def test_a_saved_plan_whose_modes_were_edited(lbsync: Lbsync, rehearsal: Rehearse, tmp_path: Path) -> None:
    """Other modes in the file make it stale, and what are no modes make it no plan; nothing is changed."""
    started = rehearsal({"modes": {"default": "bridge"}})
    before = ssl_flags(started)
    assert lbsync("plan", "--mode", "ews=offload", "--out", "plan.json").code == ExitCode.ATTENTION
    saved = json.loads((tmp_path / "plan.json").read_text())
    assert saved["modes"] == {"ews": "offload"}
    for modes, told in (
        ({}, "changed since this plan was made"),
        ({"oab": "offload"}, "changed since this plan was made"),
        ({"ews": "sideways"}, "no plan of lbsync"),
        (["ews"], "no plan of lbsync"),
    ):
        (tmp_path / "plan.json").write_text(json.dumps(saved | {"modes": modes}))
        refused = lbsync("apply", "plan.json", "--yes")
        assert refused.code == ExitCode.REFUSED
        assert told in refused.err
    assert ssl_flags(started) == before
