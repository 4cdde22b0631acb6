"""The certificate of before, retired behind a real HAProxy: not too early, not while it is used, then everywhere and for good."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lbsync.cli.app import app
from lbsync.cli.exits import ExitCode
from lbsync.cli.screen import Screen
from lbsync.kit.handshake import handshake
from lbsync.lab.naming import Names, tls_certificate_name
from lbsync.lab.store import StoredEntry
from lbsync_certs import Bundle, Thumbprint
from tests.longer import one_now
from tests.rollout.rig import Rehearsal, events, kill_at, rehearse, write_config
from tests.rollout.test_rotate import HOST, bring, renewed

_TAKEN_OVER = ["SMTP", "IMAP", "POP"]


@dataclass(frozen=True, slots=True)
class Rotated:
    """A rehearsal after a rotation: ``old`` lies on both servers and on the balancer, ``new`` is served everywhere."""

    rehearsal: Rehearsal
    state: Path
    old: Bundle
    new: Bundle

    def call(self, *words: str, certificate: str = "") -> tuple[int, str]:
        """A command in this process; ``certificate`` are lines more of that table of the configuration."""
        config = self.rehearsal.config
        if certificate:
            text = config.read_text(encoding="utf-8").replace("[certificate]\n", f"[certificate]\n{certificate}\n")
            config = config.with_name("changed.toml")
            config.write_text(text, encoding="utf-8")
        env = {"LBSYNC_CONFIG": str(config), "LBSYNC_STATE": str(self.state), "COLUMNS": "300", "NO_COLOR": "1"}
        told = CliRunner().invoke(app, list(words), env=env | {"LBSYNC_WINRM_PASSWORD": self.rehearsal.farm.password})
        assert told.exception is None or isinstance(told.exception, SystemExit), repr(told.exception)
        return told.exit_code, told.output

    def files(self) -> set[str]:
        """The names of the balancer's files."""
        return {Path(path).name for path in self.rehearsal.balancer.files()}

    def stores(self) -> list[set[str]]:
        """Both servers' stores."""
        return [set(server.store.entries) for server in self.rehearsal.farm.state.servers.values()]

    def lay(self, days: int) -> Bundle:
        """An older certificate of the same names on both servers and on the balancer, as a rotation by hand leaves it."""
        farm = self.rehearsal.farm
        bundle = farm.ca.issue(list(farm.leaf.info.names), days=days)
        for server in farm.state.servers.values():
            server.store.add(StoredEntry(bundle))
        folder = next(Path(path) for path in self.rehearsal.balancer.files() if path.endswith("/certs"))
        file = folder / f"{bundle.fingerprint}.pem"
        file.touch(mode=0o600)
        file.write_bytes(bundle.pem())
        return bundle

    def served(self) -> str:
        """What clients are served."""
        running = self.rehearsal.balancer.running
        return handshake(running.address, running.https_port, HOST, ca_pem=self.rehearsal.farm.ca_pem).info.thumbprint

    @contextmanager
    def naming(self, **changes: object) -> Generator[None]:
        """Something names certificates meanwhile."""
        directory = self.rehearsal.farm.state.directory
        before = directory.names
        directory.names = replace(Names(), **changes)  # type: ignore[arg-type]
        try:
            yield
        finally:
            directory.names = before


@pytest.fixture(scope="module")
def once() -> Generator[Callable[[], Rotated]]:
    """One rotation for all tests of this file, made when the first one asks."""
    with ExitStack() as ends:
        made: list[Rotated] = []

        def rotate() -> Rotated:
            if not made:
                folder = Path(tempfile.mkdtemp(prefix="lbr-"))
                ends.callback(shutil.rmtree, folder)
                made.append(_rotate(ends.enter_context(rehearse(folder)), folder / "state"))
            return made[0]

        yield rotate


def _rotate(rehearsal: Rehearsal, state: Path) -> Rotated:
    write_config(rehearsal.farm, rehearsal.balancer, rehearsal.config, modes={"default": "bridge"})
    rotated = Rotated(rehearsal, state, rehearsal.farm.leaf, renewed(rehearsal))
    assert rotated.call("apply", "--yes", "--quiet", "--no-canary")[0] == ExitCode.OK
    bring(rehearsal, rotated.new)
    code, said = rotated.call("rotate", "--yes", "--quiet", "--no-canary")
    assert code == ExitCode.OK, said
    for server in rehearsal.farm.state.servers.values():
        server.store.entries[rotated.new.thumbprint].services += _TAKEN_OVER
    return rotated


@pytest.fixture
def rotated(require: Callable[[str], None], once: Callable[[], Rotated]) -> Rotated:
    """Published, rotated, and every service of the old certificate taken over by the new one."""
    require("haproxy")
    return once()


def test_it_stays_until_its_time_and_is_then_gone_for_good(rotated: Rotated) -> None:
    """Thirty days by the ledger; then it and its key are gone from both stores and the balancer, and nothing else is."""
    old, new, files, stores = rotated.old, rotated.new, rotated.files(), rotated.stores()
    due = datetime.now(UTC) + timedelta(days=30)
    code, said = rotated.call("prune", "--yes")
    assert code == ExitCode.OK, said
    assert f"not before {due:%Y-%m-%d}: it was served until" in said
    assert "Nothing to remove now" in said
    assert (rotated.files(), rotated.stores()) == (files, stores)
    code, said = rotated.call("prune", "--dry-run", "--json", certificate="keep_days = 0")
    assert code == ExitCode.ATTENTION, said
    told = json.loads(said)
    assert [(one["thumbprint"], one["may_go"]) for one in told["certificates"]] == [(old.thumbprint, True)]
    assert [step["undo"] for step in told["steps"] if "remove-certificate" in step["id"]] == [None] * 3
    code, said = rotated.call("prune", certificate="keep_days = 0")
    assert (code, "the plan was not approved" in said) == (ExitCode.REFUSED, True), said
    assert "There is no way back" in said
    assert "its private key is gone for good" in said
    assert (rotated.files(), rotated.stores()) == (files, stores)

    code, said = rotated.call("prune", "--yes", certificate="keep_days = 0")
    assert code == ExitCode.OK, said
    assert "gone for good" in said
    assert "The way back" not in said
    assert files - rotated.files() == {f"{old.fingerprint}.pem"}
    assert [before - after for before, after in zip(stores, rotated.stores(), strict=True)] == [{old.thumbprint}] * 2
    assert rotated.served() == new.thumbprint
    code, said = rotated.call("prune", "--yes", certificate="keep_days = 0")
    assert (code, "No other certificate" in said) == (ExitCode.OK, True), said
    _cannot_be_taken_back(rotated)


def _cannot_be_taken_back(rotated: Rotated) -> None:
    """Neither the removal, nor the rotation that would serve what it removed; both are refused before anything is touched."""
    before = rotated.rehearsal.snapshot()
    code, said = rotated.call("rollback", "--no-canary")
    assert (code, "there is no way back" in said) == (ExitCode.REFUSED, True), said
    listed = json.loads(rotated.call("runs", "--json")[1])
    rotation = listed[1]["run"]
    code, said = rotated.call("rollback", rotation, "--force", "--no-canary")
    assert (code, f"EX01 served {rotated.old.thumbprint} before" in said) == (ExitCode.REFUSED, True), said
    assert rotated.rehearsal.snapshot() == before


def test_what_names_it_forbids_its_removal(rotated: Rotated, tmp_path: Path) -> None:
    """A send connector whose name it shares with the new one, AuthConfig, a service: by name, whatever is forced."""
    one = rotated.lay(40)
    name = tls_certificate_name(one.leaf)
    asked = ("prune", "--yes", "--thumbprint", one.thumbprint, "--force")
    before = (rotated.files(), rotated.stores())
    with rotated.naming(send_connectors={"Outbound to Office 365": name}):
        code, said = rotated.call(*asked)
    assert (code, "a send connector names" in said) == (ExitCode.REFUSED, True), said
    with rotated.naming(auth_config={"PreviousCertificateThumbprint": one.thumbprint}):
        code, said = rotated.call(*asked)
    assert (code, "AuthConfig (PreviousCertificateThumbprint) names it" in said) == (ExitCode.REFUSED, True), said
    entry = rotated.rehearsal.farm.state.servers["EX02"].store.entries[one.thumbprint]
    entry.services.append("Federation")
    code, said = rotated.call(*asked)
    assert (code, "Exchange on EX02 uses it for Federation" in said) == (ExitCode.REFUSED, True), said
    entry.services.clear()
    code, said = rotated.call(*asked, certificate=f'thumbprint = "{one.thumbprint}"')
    assert (code, "the configuration names it ([certificate] thumbprint)" in said) == (ExitCode.REFUSED, True), said
    assert (rotated.files(), rotated.stores()) == before
    kept = tmp_path / "mail.pem"
    kept.write_bytes(one.pem())
    with rotated.naming(receive_connectors={("EX01", "EX01\\Default Frontend EX01"): name}):
        code, said = rotated.call(*asked, certificate=f'renewals = ["{kept}"]')
    assert code == ExitCode.OK, said
    assert f"its private key stays in {kept}" in said
    assert not rotated.files() & {f"{one.fingerprint}.pem"}


def test_what_changes_while_the_plan_is_read_stops_it(rotated: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be taken back, so everything is looked at again after a yes that took its time."""
    one = rotated.lay(35)
    before = (rotated.files(), rotated.stores())
    last = rotated.rehearsal.farm.state.servers["EX02"].store

    def read_it(_screen: Screen, _question: str, _expected: str) -> bool:
        last.entries.pop(one.thumbprint, None)
        return True

    monkeypatch.setattr(Screen, "ask", read_it)
    asked = ("prune", "--thumbprint", one.thumbprint, "--force")
    code, said = rotated.call(*asked)
    assert (code, "changed while the plan was read" in said) == (ExitCode.REFUSED, True), said
    last.add(StoredEntry(one))
    assert (rotated.files(), rotated.stores()) == before
    last.entries.pop(one.thumbprint)
    code, said = rotated.call(*asked)
    assert code == ExitCode.OK, said
    assert f"{one.fingerprint}.pem" not in rotated.files()


def test_bad_names_change_nothing(rotated: Rotated) -> None:
    """The one that is served, nobody's, no thumbprint at all, and force without a name."""
    before = (rotated.files(), rotated.stores())
    for words, expected in (
        (("--thumbprint", rotated.new.thumbprint, "--force"), "is the one that clients are served"),
        (("--thumbprint", "AB" * 20), "no server and no balancer has the certificate"),
        (("--thumbprint", HOST), "is not a thumbprint"),
    ):
        code, said = rotated.call("prune", "--yes", *words)
        assert (code, expected in said) == (ExitCode.REFUSED, True), said
    code, said = rotated.call("prune", "--yes", "--force")
    assert (code, "goes with --thumbprint only" in said) == (ExitCode.ERROR, True), said
    assert (rotated.files(), rotated.stores()) == before


@pytest.mark.parametrize("goal", one_now([15, 7]))
def test_a_killed_removal_is_carried_on(rotated: Rotated, goal: int) -> None:
    """Wherever it was killed, resume removes the rest, and doing what was done before does no harm."""
    one = rotated.lay(20 + goal)
    asked = ("prune", "--yes", "--quiet", "--thumbprint", one.thumbprint, "--force")
    done = events(rotated.state)
    kill_at(rotated.rehearsal.start(rotated.state, *asked), rotated.state, done + goal, 0.0)
    code, said = rotated.call("resume", "--quiet")
    assert code == ExitCode.OK or "nothing to resume" in said, said
    assert f"{one.fingerprint}.pem" not in rotated.files()
    assert not any(one.thumbprint in store for store in rotated.stores())
    assert rotated.served() == rotated.new.thumbprint


class Hooked(dict[Thumbprint, StoredEntry]):
    """A store in which something happens right after a certificate left it."""

    def __init__(self, entries: dict[Thumbprint, StoredEntry], then: Callable[[], None]) -> None:
        super().__init__(entries)
        self._then = then

    def __delitem__(self, key: Thumbprint) -> None:
        """Remove it, then let the other thing happen."""
        super().__delitem__(key)
        self._then()


def test_a_killed_removal_may_be_given_up(rotated: Rotated) -> None:
    """Taking it back removes nothing more and says what is gone; what is left goes with the next one."""
    one = rotated.lay(18)
    asked = ("prune", "--yes", "--quiet", "--thumbprint", one.thumbprint, "--force")
    done = events(rotated.state)
    kill_at(rotated.rehearsal.start(rotated.state, *asked), rotated.state, done + 7, 0.0)
    code, said = rotated.call("prune", "--yes")
    left = [one.thumbprint in store for store in rotated.stores()]
    if any(left):
        assert (code, "is unfinished" in said) == (ExitCode.REFUSED, True), said
        code, said = rotated.call("rollback", "--no-canary")
        assert code == ExitCode.OK, said
        assert "Taken back, but for what is gone for good (EX01: remove the certificate" in said
        assert [one.thumbprint in store for store in rotated.stores()] == left
        code, said = rotated.call(*asked)
        assert code == ExitCode.OK, said
    assert not any(one.thumbprint in store for store in rotated.stores())


def test_a_server_that_refuses_leaves_the_rest_and_says_what_is_gone(rotated: Rotated) -> None:
    """Taken into use in the last moment: it stays there and on the balancer, and the next prune finishes it."""
    one = rotated.lay(15)
    first, late = (server.store for server in rotated.rehearsal.farm.state.servers.values())
    asked = ("prune", "--yes", "--thumbprint", one.thumbprint, "--force")
    first.entries = Hooked(first.entries, lambda: late.entries[one.thumbprint].services.append("SMTP"))
    code, said = rotated.call(*asked)
    assert code == ExitCode.ERROR, said
    assert "these have it: the Exchange service SMTP" in said
    assert "what has no way back stays done" in said
    assert [one.thumbprint in store for store in rotated.stores()] == [False, True]
    assert f"{one.fingerprint}.pem" in rotated.files()
    first.entries = dict(first.entries)
    code, said = rotated.call(*asked)
    assert code == ExitCode.OK, said
    assert not any(one.thumbprint in store for store in rotated.stores())
