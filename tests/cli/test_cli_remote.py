"""``lbsync remote`` against the real API on a real socket, with a hub behind it that only remembers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from lbsync.cli.exits import ExitCode
from lbsync.cli.remoteclient import checked, refusal
from lbsync.cli.remoteview import fresh
from lbsync.errors import ConfigError, Denied, LbsyncError, PlanRefused, Rejected
from lbsync.model import Mode
from lbsync.run import RunPhase
from lbsync.service.auth.access import Access
from lbsync.service.certificate import OwnCertificate
from lbsync.service.port import Busy
from lbsync.service.values import JobKind, JobState, Kind, Options, Proposal, Who
from lbsync.service.web.app import make_app
from lbsync.service.web.wire import server_config
from lbsync.services import Service
from lbsync.testing.ca import TestCA
from tests.service.client import TOKEN, access
from tests.service.fakes import JOB, NOW, PROPOSAL, RUN, FakeHub, namespace, run_state

Lbsync = Callable[..., Any]
OTHER = "20260601-100000-77aa"


class EndingHub(FakeHub):
    """Its jobs are over at once, as ``error`` and ``code`` say; a plan finds the proposal that waits anyway, if any."""

    def __init__(self, *states: Any) -> None:
        super().__init__(*states)
        self.error: dict[str, Any] | None = None
        self.code = 0
        self.needs = 1
        self.options = Options()

    def _job(self, ns: str, kind: JobKind, who: Who, *, run_id: str | None = None, of: str | None = None) -> JobState:
        job = super()._job(ns, kind, who, run_id=run_id, of=of)
        waiting = self.kept[ns].proposals
        made = waiting[0].id if kind == "plan" and waiting and self.error is None else of
        after = {"ended": NOW, "exit_code": self.code, "error": self.error, "proposal": made}
        self.jobs[job.id] = job.model_copy(update=after)
        self.kept[ns] = self.kept[ns].model_copy(update={"job": None})
        return self.jobs[job.id]

    async def propose(self, ns: str, kind: Kind, options: Options, who: Who) -> JobState:
        """As the port says; what was asked for is kept."""
        self.options = options
        return await super().propose(ns, kind, options, who)

    async def approve(self, ns: str, proposal: str, who: Who) -> Proposal | JobState:
        """As the port says; with ``needs`` of two the first approval is not enough."""
        if self.needs > 1:
            self._asked("approve", ns, who)
            waiting = self._proposal(ns, proposal)
            return waiting.model_copy(update={"needs": self.needs, "approvals": (str(who),)})
        return await super().approve(ns, proposal, who)


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        """As uvicorn's."""
        await super().startup(sockets)
        self.listening.set()

    @property
    def port(self) -> int:
        """Where."""
        return int(self.servers[0].sockets[0].getsockname()[1])


@contextmanager
def serving(hub: FakeHub, who: Access, certificate: Path | None = None) -> Generator[int]:
    """The application on a socket of this host; its port."""
    server = _Server(server_config(make_app(hub, who), who, OwnCertificate(certificate) if certificate else None))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        assert server.listening.wait(30)
        yield server.port
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[EndingHub, str]]:
    """One service for all; its hub is as new for each test."""
    hub = EndingHub()
    with serving(hub, access(port=0)) as port:
        yield hub, f"http://127.0.0.1:{port}"


@pytest.fixture
def hub(shared: tuple[EndingHub, str], monkeypatch: pytest.MonkeyPatch) -> EndingHub:
    """As new, and the command line knows the service."""
    hub, url = shared
    hub.__init__()  # type: ignore[misc]  # the application keeps this one
    monkeypatch.setenv("LBSYNC_SERVER", url)
    monkeypatch.setenv("LBSYNC_TOKEN", TOKEN)
    monkeypatch.delenv("LBSYNC_NAMESPACE", raising=False)
    return hub


def asked(hub: FakeHub) -> list[str]:
    """What was asked of it, without the namespace."""
    return [what for what, _, _ in hub.calls]


def test_looking_and_reading(hub: EndingHub, lbsync: Lbsync) -> None:
    """Status, a look, runs and one run: what the service knows, and the look's exit code."""
    told = lbsync("remote", "status")
    assert told.code == 0
    assert "mail" in told.out
    told = lbsync("remote", "--namespace", "mail", "status")
    assert f"Waits for approval: {PROPOSAL}" in told.out
    assert "Drift: 1" in told.out
    told = lbsync("remote", "look")
    assert told.code == ExitCode.ATTENTION
    assert "WARNING  lb1: the certificate ends in 12 days" in told.out
    assert told.err == "looking at lb1\n"
    assert asked(hub) == ["look"]
    assert RUN in lbsync("remote", "runs").out
    told = lbsync("remote", "show", "20260601-09")
    assert "put the new certificate onto lb1" in told.out
    assert "done in 2 s" in told.out
    assert lbsync("remote", "runs", "--json").document[0]["run_id"] == RUN
    assert lbsync("remote", "show", "--json").document["run"]["run_id"] == RUN
    assert lbsync("remote", "status", "--json").document[0]["waiting"] == 1


def test_a_rotation_is_proposed_and_not_done(hub: EndingHub, lbsync: Lbsync) -> None:
    """Without --yes it is a plan that waits, and the command says what to do; 2 as plan has it."""
    told = lbsync("remote", "rotate", "--thumbprint", "b" * 40)
    assert told.code == ExitCode.ATTENTION
    assert "put the new certificate onto lb1" in told.out
    assert f"lbsync remote approve {PROPOSAL}" in told.out
    assert asked(hub) == ["propose rotate"]
    assert hub.options == Options(thumbprint="B" * 40)
    assert lbsync("remote", "rotate", "--json").document["id"] == PROPOSAL


def test_with_yes_it_is_done(hub: EndingHub, lbsync: Lbsync) -> None:
    """Proposed, shown, approved and followed; the end is the run's."""
    told = lbsync("remote", "apply", "--mode", "ews=bridge", "--yes")
    assert told.code == ExitCode.OK, told.err
    assert asked(hub) == ["propose apply", "approve"]
    assert hub.options == Options(modes={Service.EWS: Mode.BRIDGE})


def test_a_plan_without_steps(hub: EndingHub, lbsync: Lbsync) -> None:
    """Nothing to do is no proposal, and 0."""
    hub.kept["mail"] = namespace().model_copy(update={"proposals": ()})
    told = lbsync("remote", "apply")
    assert told.code == ExitCode.OK
    assert "approve" not in told.out


def test_four_eyes_are_waited_for(hub: EndingHub, lbsync: Lbsync) -> None:
    """An approval that is not enough says so, and nothing is called done."""
    hub.needs = 2
    told = lbsync("remote", "approve", PROPOSAL, "--yes")
    assert told.code == ExitCode.ATTENTION
    assert "needs 1 more" in told.out


def test_what_went_wrong_there_is_told_here(hub: EndingHub, lbsync: Lbsync) -> None:
    """The command's own words, and its own exit code."""
    hub.code = int(ExitCode.UNFINISHED)
    hub.error = {"message": "the listener serves the old certificate", "where": "lb1", "remedy": "lbsync resume"}
    told = lbsync("remote", "rollback", RUN, "--yes")
    assert told.code == ExitCode.UNFINISHED
    assert "the listener serves the old certificate" in told.err
    assert "What to do:  lbsync resume" in told.err
    assert asked(hub) == ["rollback"]
    hub.failure = Busy("something is under way", where="mail", remedy="wait for it", code="busy")
    told = lbsync("remote", "look")
    assert told.code == ExitCode.REFUSED
    assert "something is under way" in told.err


def test_nothing_changes_without_a_yes(hub: EndingHub, lbsync: Lbsync) -> None:
    """Where nobody can be asked, a way back and an approval are refused before anything is sent."""
    for words in (("rollback",), ("resume",), ("approve", PROPOSAL)):
        told = lbsync("remote", *words)
        assert told.code == ExitCode.REFUSED
        assert "--yes" in told.err
    assert asked(hub) == []


def test_runs_are_named_as_at_home(hub: EndingHub, lbsync: Lbsync) -> None:
    """The newest, the beginning of an id; to confirm, the newest that waits; none and several are said."""
    waiting = run_state(OTHER, RunPhase.AWAITING, "waits for lbsync confirm")
    hub.kept["mail"] = namespace().model_copy(update={"runs": (run_state(), waiting)})
    assert lbsync("remote", "confirm").code == 0
    assert next(reversed(hub.jobs.values())).run_id == OTHER
    assert lbsync("remote", "rollback", "latest", "--yes").code == 0
    assert next(reversed(hub.jobs.values())).run_id == RUN
    assert "2 runs begin like this" in lbsync("remote", "show", "2026").err
    assert "no such run" in lbsync("remote", "show", "1999").err


def test_decline_stop_and_follow(hub: EndingHub, lbsync: Lbsync) -> None:
    """A proposal is gone; a job is asked to stop, and followed to its end."""
    assert "nothing was changed" in lbsync("remote", "decline", PROPOSAL, "--reason", "not tonight").out
    assert lbsync("remote", "approve", PROPOSAL, "--yes").code == ExitCode.REFUSED
    hub.kept["mail"] = namespace()
    lbsync("remote", "look")
    assert f"job {JOB}" in lbsync("remote", "stop", JOB).out
    assert lbsync("remote", "follow", JOB).code == ExitCode.INTERRUPTED


def test_a_namespace_is_named_where_there_are_several(
    hub: EndingHub, lbsync: Lbsync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name nothing is begun; the names are listed; one that is unknown is the service's to say."""
    hub.kept = {name: namespace(name) for name in ("berlin", "mail")}
    told = lbsync("remote", "look")
    assert told.code == 1
    assert "berlin, mail" in told.err
    monkeypatch.setenv("LBSYNC_NAMESPACE", "berlin")
    lbsync("remote", "look")
    assert [ns for _, ns, _ in hub.calls] == ["berlin"]
    assert "there is no such namespace" in lbsync("remote", "-n", "paris", "look").err


def test_the_token(hub: EndingHub, lbsync: Lbsync, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the environment, else from a file that others cannot read; a wrong one is refused; none is shown."""
    del hub
    monkeypatch.setenv("LBSYNC_TOKEN", "wrong" * 9)
    told = lbsync("remote", "runs")
    assert told.code == 1
    assert "wrong" * 9 not in told.err + told.out
    monkeypatch.delenv("LBSYNC_TOKEN")
    assert "LBSYNC_TOKEN" in lbsync("remote", "runs").err
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o644)
    assert "everybody" in lbsync("remote", "--token-file", file, "runs").err
    file.chmod(0o600)
    assert lbsync("remote", "--token-file", file, "runs").code == 0


def test_over_tls(lbsync: Lbsync, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With its CA it is asked; without, nothing is sent; and a service that is not there is said."""
    authority = TestCA.new()
    (tmp_path / "serve.pem").write_bytes(authority.issue(["localhost"], key="ec256").pem())
    (tmp_path / "ca.pem").write_bytes(authority.root_pem)
    monkeypatch.setenv("LBSYNC_TOKEN", TOKEN)
    with serving(EndingHub(), access(port=0, tls=True), tmp_path / "serve.pem") as port:
        url = f"https://localhost:{port}"
        assert lbsync("remote", "--server", url, "--ca-file", tmp_path / "ca.pem", "runs").code == 0
        told = lbsync("remote", "--server", url, "runs")
        assert told.code == 1
        assert "--ca-file" in told.err
    assert "does not answer" in lbsync("remote", "--server", url, "--ca-file", tmp_path / "ca.pem", "runs").err
    assert "no such file" in lbsync("remote", "--server", url, "--ca-file", tmp_path / "none", "runs").err
    assert "which service" in lbsync("remote", "runs").err


@pytest.mark.parametrize(
    "server",
    [
        "lbsync.contoso.com",
        "ftp://x",
        "https://",
        "https://a:99999",
        "https://u:p@a",
        "https://a/path",
        "http://a:8440",
    ],
)
def test_addresses_that_are_refused(server: str) -> None:
    """No scheme, no host, a password in it, more than an address; and a token in clear to another host."""
    with pytest.raises(ConfigError):
        checked(server)


def test_addresses_that_will_do() -> None:
    """TLS to any host, plain to this one."""
    assert checked("https://lbsync.contoso.com/") == "https://lbsync.contoso.com"
    assert checked("http://[::1]:8440") == "http://[::1]:8440"
    assert checked("http://localhost:8440") == "http://localhost:8440"


@pytest.mark.parametrize(
    ("status", "kind"), [(401, Denied), (403, Denied), (409, PlanRefused), (410, PlanRefused), (302, Rejected), (500, Rejected)]
)  # fmt: skip
def test_refusals_are_errors_of_their_kind(status: int, kind: type[LbsyncError]) -> None:
    """By status, in the service's words; one without words is told with its number."""
    error = refusal(status, {"message": "no", "code": "x"}, "https://a")
    assert type(error) is kind
    assert (error.message, error.where, error.code) == ("no", "https://a", "x")
    assert str(status) in refusal(status, {}, "https://a").message


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [((), ("a",), ("a",)), (("a",), ("a", "b"), ("b",)), (("a", "b"), ("b", "c"), ("c",)), (("a",), ("x",), ("x",)),
     (("a", "b"), ("a", "b"), ())],
)  # fmt: skip
def test_lines_are_told_once(before: tuple[str, ...], now: tuple[str, ...], new: tuple[str, ...]) -> None:
    """Two windows on one growing text."""
    assert tuple(fresh(before, now)) == new
