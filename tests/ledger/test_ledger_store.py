"""The ledger keeps what it was told, shows what was changed behind its back, and says what to do when the disk fails."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from lbsync.errors import LedgerError
from lbsync.ledger import Ledger, PhaseChanged, SecretRefused, private_key_in
from lbsync.run import (
    Awaiting,
    Confirmed,
    Direction,
    Event,
    IllegalEvent,
    Intended,
    Interrupted,
    Run,
    RunPhase,
    TurnedBack,
)
from lbsync.testing.history import NOW, STEP, intended, started, whole_run

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIE"


def written(path: Path, run_id: str = "r1") -> Path:
    """A ledger file with one whole run."""
    with Ledger(path) as ledger:
        for event in whole_run(run_id):
            ledger.append(run_id, event)
    return path


def tampered(path: Path, statement: str) -> None:
    """Change the file behind the ledger's back, as somebody with the file could."""
    db = sqlite3.connect(path)
    db.execute("DROP TRIGGER no_update")
    db.execute("DROP TRIGGER no_delete")
    db.execute(statement)
    db.commit()
    db.close()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Another process reads the same events, in order, with the time of each, and folds the same run."""
    ticks = iter(NOW + timedelta(seconds=second) for second in range(100))
    with Ledger(tmp_path / "l.db", now=lambda: next(ticks)) as ledger:
        phases = [ledger.append("r1", event) for event in whole_run("r1")]
    assert phases == [RunPhase.APPLYING] * 5 + [RunPhase.APPLIED]
    with Ledger(tmp_path / "l.db") as ledger:
        entries = ledger.events("r1")
        assert [entry.event for entry in entries] == whole_run("r1")
        assert [entry.at for entry in entries] == [NOW + timedelta(seconds=second) for second in range(6)]
        assert ledger.run("r1") == Run.replay(whole_run("r1"))
        assert ledger.phase("r1") is RunPhase.APPLIED
        head = ledger.verify_chain()
        assert (head.events, head.hash) == (6, entries[-1].hash)


def test_runs_at_a_glance(tmp_path: Path) -> None:
    """The newest first, with who, where, when and in which phase; the unfinished one is found."""
    with Ledger(written(tmp_path / "l.db"), now=lambda: NOW) as ledger:
        assert ledger.latest_unfinished() is None
        for event in (started("r2").model_copy(update={"order": "o2"}), Interrupted()):
            ledger.append("r2", event)
        newest, oldest = ledger.runs()
        assert (newest.order, oldest.order) == ("o2", None)
        assert (newest.run_id, newest.phase, newest.interrupted) == ("r2", RunPhase.APPLYING, True)
        assert (newest.farm, newest.actor, newest.host, newest.started, newest.last) == (
            "contoso",
            "me",
            "here",
            NOW,
            NOW,
        )
        assert (oldest.run_id, oldest.phase, oldest.interrupted) == ("r1", RunPhase.APPLIED, False)
        assert ledger.latest_unfinished() == "r2"


def test_a_run_is_found_by_the_start_of_its_id(tmp_path: Path) -> None:
    """``latest`` or an unambiguous beginning names a run; else the error lists what there is."""
    with Ledger(tmp_path / "l.db") as ledger:
        with pytest.raises(LedgerError, match="no such run") as refused:
            ledger.resolve()
        assert "empty" in refused.value.state
        for run_id in ("2026-a", "2026-ab", "2027-c"):
            ledger.append(run_id, started(run_id))
        assert ledger.resolve() == "2027-c"
        assert ledger.resolve("2027") == "2027-c"
        assert ledger.resolve("2026-a") == "2026-a"
        with pytest.raises(LedgerError, match="2 runs start with 2026"):
            ledger.resolve("2026")
        with pytest.raises(LedgerError, match="no such run") as refused:
            ledger.resolve("1999")
        assert "2026-ab" in refused.value.state


def test_an_unknown_run(tmp_path: Path) -> None:
    """Reading, asking for, or writing to a run that was never started says so."""
    with Ledger(tmp_path / "l.db") as ledger:
        asks: list[Callable[[], object]] = [
            lambda: ledger.run("nope"), lambda: ledger.phase("nope"), lambda: ledger.append("nope", Interrupted()),
        ]  # fmt: skip
        for ask in asks:
            with pytest.raises(LedgerError, match="no run nope"):
                ask()


def test_an_event_out_of_place_is_not_written(tmp_path: Path) -> None:
    """The table of the run's phases guards the file itself."""
    with Ledger(written(tmp_path / "l.db")) as ledger:
        wrong: list[tuple[str, Event]] = [("r1", Interrupted()), ("r1", started("r1")), ("r2", started("other"))]
        for run_id, event in wrong:
            with pytest.raises(IllegalEvent):
                ledger.append(run_id, event)
        assert ledger.verify_chain().events == 6


def test_two_processes_cannot_both_decide(tmp_path: Path) -> None:
    """An event that expects a phase is refused when another connection was quicker."""
    with Ledger(tmp_path / "l.db") as one, Ledger(tmp_path / "l.db") as other:
        for event in (*whole_run("r1")[:5], Awaiting(deadline=NOW)):
            one.append("r1", event)
        other.append("r1", Confirmed(), expect=RunPhase.AWAITING)
        with pytest.raises(PhaseChanged, match="applied"):
            one.append("r1", TurnedBack(reason="too late"), expect=RunPhase.AWAITING)
        with pytest.raises(PhaseChanged, match="unknown"):
            one.append("r9", Confirmed(), expect=RunPhase.AWAITING)
        assert one.phase("r1") is RunPhase.APPLIED


def test_the_files_are_private(tmp_path: Path) -> None:
    """Folder 0700, file, WAL and shared memory 0600, whatever the umask; a file others could read is tightened."""
    old = os.umask(0)
    try:
        path = tmp_path / "new" / "state" / "l.db"
        with Ledger(path) as ledger:
            ledger.append("r1", started("r1"))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == {"l.db": 0o600, "l.db-wal": 0o600, "l.db-shm": 0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        path.chmod(0o644)
        Ledger(path).close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old)


@pytest.mark.parametrize("statement", ["UPDATE events SET payload = ''", "DELETE FROM events"])
def test_rows_are_never_changed(tmp_path: Path, statement: str) -> None:
    """The file itself refuses updates and deletes, through any program that opens it."""
    db = sqlite3.connect(written(tmp_path / "l.db"))
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ('UPDATE events SET payload = replace(payload, \'"x":"1"\', \'"x":"2"\') WHERE seq = 2', 2),
        ("UPDATE events SET at = '2020-01-01T00:00:00+00:00' WHERE seq = 3", 3),
        ("UPDATE events SET phase = 'undone' WHERE seq = 6", 6),
        ("UPDATE events SET run = 'r2' WHERE seq = 4", 4),
        ("DELETE FROM events WHERE seq = 2", 2),
        ("DELETE FROM events WHERE seq = 1", 1),
        ("UPDATE events SET hash = 'f00' WHERE seq = 6", 6),
    ],
)
def test_a_changed_row_is_found(tmp_path: Path, statement: str, row: int) -> None:
    """A field rewritten or a row removed breaks the chain at that row."""
    tampered(written(tmp_path / "l.db"), statement)
    with Ledger(tmp_path / "l.db") as ledger, pytest.raises(LedgerError, match=f"event {row} is not") as found:
        ledger.verify_chain()
    assert found.value.code == "chain-broken"


def test_a_cut_shows_against_a_noted_head(tmp_path: Path) -> None:
    """Rows cut off at the end leave a chain that holds; only the head noted elsewhere tells."""
    with Ledger(written(tmp_path / "l.db")) as ledger:
        noted = ledger.verify_chain()
    tampered(tmp_path / "l.db", "DELETE FROM events WHERE seq = 6")
    with Ledger(tmp_path / "l.db") as ledger:
        assert ledger.verify_chain() != noted


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE events SET payload = \'{"kind": "party"}\' WHERE seq = 2',
        "UPDATE events SET at = 'yesterday' WHERE seq = 2",
    ],
)
def test_an_unreadable_event_is_told(tmp_path: Path, statement: str) -> None:
    """A row that is no event is a damaged ledger, not a traceback."""
    tampered(written(tmp_path / "l.db"), statement)
    with Ledger(tmp_path / "l.db") as ledger, pytest.raises(LedgerError, match="cannot be read") as found:
        ledger.run("r1")
    assert found.value.code == "corrupt"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET phase = 'dancing'",
        "UPDATE events SET at = 'yesterday'",
        "UPDATE events SET payload = '{}'",
    ],
)
def test_an_unreadable_summary_is_told(tmp_path: Path, statement: str) -> None:
    """The list of runs says that the ledger is damaged."""
    tampered(written(tmp_path / "l.db"), statement)
    with Ledger(tmp_path / "l.db") as ledger, pytest.raises(LedgerError, match="cannot be read"):
        ledger.runs()


def test_private_keys_are_refused(tmp_path: Path) -> None:
    """An event with a PEM private key anywhere in it is not written; the file never saw it."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.append("r1", started("r1"))
        for event in (intended(key=PEM), intended(**{PEM: "x"})):
            with pytest.raises(SecretRefused, match="PEM private key"):
                ledger.append("r1", event)
        nested = Intended(step=STEP.id, direction=Direction.DO, before={"a": [1, None, {"b": PEM}]})
        with pytest.raises(SecretRefused):
            ledger.append("r1", nested)
        ledger.append("r1", intended(x="-----BEGIN CERTIFICATE-----"))
    assert b"PRIVATE KEY" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert private_key_in("-----BEGIN PUBLIC KEY-----") is None


def test_configured_secrets_are_refused(tmp_path: Path) -> None:
    """A guard given by the caller sees texts as they are, not as JSON would escape them."""
    secret = 'p"ä\\ss'
    with Ledger(tmp_path / "l.db", forbidden=lambda text: "a password" if secret in text else None) as ledger:
        ledger.append("r1", started("r1"))
        with pytest.raises(SecretRefused, match="a password"):
            ledger.append("r1", intended(x=f"is {secret}!"))
        ledger.append("r1", intended(x="nothing"))


def test_many_threads_append(tmp_path: Path) -> None:
    """Eight threads on two connections write 80 runs; no event is lost and the chain holds."""
    with Ledger(tmp_path / "l.db") as one, Ledger(tmp_path / "l.db") as two:

        def write(number: int) -> None:
            for count in range(10):
                run_id = f"r{number}-{count}"
                (one if number % 2 else two).append(run_id, started(run_id))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert one.verify_chain().events == 80
        assert len(two.runs()) == 80


def test_several_processes_create_it_at_once(tmp_path: Path) -> None:
    """Threads that all find no ledger make one, with one schema."""
    start = threading.Barrier(6)
    faults: list[Exception] = []

    def make(number: int) -> None:
        start.wait()
        try:
            with Ledger(tmp_path / "l.db") as ledger:
                ledger.append(f"r{number}", started(f"r{number}"))
        except LedgerError as error:
            faults.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    with Ledger(tmp_path / "l.db") as ledger:
        assert ledger.verify_chain().events == 6


KILLED_WHILE_WRITING = """
import sys
from pathlib import Path
from lbsync.ledger import Ledger
from lbsync.testing.history import started
with Ledger(Path(sys.argv[1])) as ledger:
    for number in range(100000):
        ledger.append(f"r{number}", started(f"r{number}"))
        print(number, flush=True)
"""


def test_a_killed_process_leaves_a_whole_ledger(tmp_path: Path) -> None:
    """After SIGKILL in the midst of writing, every event that was acknowledged is there and the chain holds."""
    path = tmp_path / "l.db"
    argv = [sys.executable, "-c", KILLED_WHILE_WRITING, str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "25\n":
                process.kill()
                break
        acknowledged = 26 + len(process.stdout.readlines())
    with Ledger(path) as ledger:
        assert ledger.verify_chain().events in {acknowledged, acknowledged + 1}
        ledger.append("after", started("after"))


def test_rows_are_readable_with_other_tools(tmp_path: Path) -> None:
    """The payload is plain canonical JSON: keys sorted, no blanks."""
    db = sqlite3.connect(written(tmp_path / "l.db"))
    (payload,) = db.execute("SELECT payload FROM events WHERE seq = 2").fetchone()
    db.close()
    assert payload == json.dumps(json.loads(payload), sort_keys=True, separators=(",", ":"))
