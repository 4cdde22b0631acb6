"""What lives in AD: read once, set once, one shared wait, and never Rpc's flags."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import pytest

from lbsync.changes import Mark, SetOutlookAnywhere
from lbsync.errors import ConfigError, Rejected, Unreachable, UnsupportedMode
from lbsync.exchange.farm import FarmTarget
from lbsync.exchange.session import SessionPool, SessionSettings
from lbsync.exchange.tier import NO_EXCHANGE, ExchangeTier
from lbsync.facts import FarmFacts, OutlookAnywhereFacts
from lbsync.lab.farm import LabFarm
from lbsync.model import Action, Check, CheckResult, Step
from lbsync.services import ALL_SERVICES
from lbsync.target import MaterialSource
from lbsync_certs import Bundle, Fingerprint

Lab = Callable[..., LabFarm]
Pool = Callable[..., SessionPool]
Make = Callable[[LabFarm], FarmTarget]


class Nothing:
    """A MaterialSource that is never asked."""

    def open(self, leaf: Fingerprint) -> Bundle:
        """Fail the test."""
        raise AssertionError(leaf)


class Endpoint(Protocol):
    """What a test sets of the double."""

    def says(self, answer: object) -> None:
        """Print this as the bootstrap would."""
        ...

    def settings(self, **fields: object) -> SessionSettings:
        """Settings to reach it."""
        ...


EMPTY: MaterialSource = Nothing()


@pytest.fixture
def directory(pool: Pool) -> Make:
    """The directory of a farm, through EX01, with the administrator's credentials."""

    def make(farm: LabFarm) -> FarmTarget:
        tier = ExchangeTier(user=farm.user, password=lambda: farm.password)
        return FarmTarget({name: pool(farm, name) for name in farm.servers}, through="EX01", tier=tier)

    return make


def change(facts: FarmFacts, wait_s: float = 30.0, **fields: object) -> SetOutlookAnywhere:
    """These fields for every server, from what was seen."""
    after = tuple(OutlookAnywhereFacts.model_validate(item.model_dump() | fields) for item in facts.outlook_anywhere)
    return SetOutlookAnywhere(before=facts.outlook_anywhere, after=after, wait_s=wait_s)


def only(steps: tuple[Step, ...]) -> Step:
    """The one step of a lowering."""
    (step,) = steps
    return step


def settled(target: FarmTarget, check: Check) -> CheckResult:
    """The check's answer once it passes, or the last one after some seconds."""
    pause = threading.Event()
    told = target.check(check)
    for _ in range(100):
        if told.passed:
            break
        pause.wait(0.05)
        told = target.check(check)
    return told


def settings(action: Action | None) -> dict[str, dict[str, object]]:
    """What an action sets, by server."""
    assert action is not None
    found = action.args["settings"]
    assert isinstance(found, dict)
    return {server: dict(fields) for server, fields in found.items() if isinstance(fields, dict)}


def test_the_directory_is_read_once_for_all(lab: Lab, directory: Make) -> None:
    """One script through one server tells of every server."""
    farm = lab(servers=3)
    facts = directory(farm).observe(ALL_SERVICES)
    assert [item.server for item in facts.outlook_anywhere] == ["EX01", "EX02", "EX03"]
    assert facts.mrsproxy_enabled == dict.fromkeys(farm.servers, True)
    assert not facts.oauth.in_use
    assert facts.missing_cmdlets == ()
    assert [server.state.winrm.scripts for server in farm.servers.values()] == [{"farm-facts.ps1": 1}, {}, {}]


@pytest.mark.parametrize("knobs", [{"oauth": True}, {"hybrid": True}])
def test_oauth_in_use_is_seen(lab: Lab, directory: Make, knobs: dict[str, bool]) -> None:
    """Modern authentication and a hybrid configuration are facts."""
    assert directory(lab(**knobs)).observe(ALL_SERVICES).oauth.in_use


def test_missing_rights_are_facts(lab: Lab, directory: Make) -> None:
    """Cmdlets the account may not run are named; what they would have told is left out."""
    facts = directory(lab(missing_cmdlets=("Get-OutlookAnywhere",))).observe(ALL_SERVICES)
    assert facts.missing_cmdlets == ("Get-OutlookAnywhere",)
    assert facts.outlook_anywhere == ()


def test_without_the_exchange_tier_nothing_is_asked(lab: Lab, pool: Pool) -> None:
    """AD unread is a fact of its own; setting something then is an error that says what to configure."""
    farm = lab()
    target = FarmTarget({"EX01": pool(farm)}, through="EX01", tier=NO_EXCHANGE)
    assert target.observe(ALL_SERVICES) == FarmFacts(read=False)
    action = Action(target="directory", verb="set-outlook-anywhere", args={"settings": {"EX01": {}}})
    with pytest.raises(ConfigError, match=r"farm\.exchange"):
        target.perform(action, EMPTY)
    assert farm.servers["EX01"].state.winrm.requests == 0


def test_offloading_sets_three_together(lab: Lab, directory: Make) -> None:
    """SSLOffloading goes with both ...RequireSsl, forth and back, as recorded before."""
    target = directory(lab(servers=2))
    step = only(target.lower(change(facts := target.observe(ALL_SERVICES), ssl_offloading=True), facts))
    three = {"internal_clients_require_ssl": True, "external_clients_require_ssl": True}
    assert settings(step.do) == {name: {"ssl_offloading": True, **three} for name in ("EX01", "EX02")}
    assert settings(step.undo) == {name: {"ssl_offloading": False, **three} for name in ("EX01", "EX02")}
    assert step.id == "directory:set-outlook-anywhere"
    assert "~ EX01 ssl_offloading: False → True" in step.details
    assert [check.deadline_s for check in (*step.until, *step.undo_until)] == [30.0, 30.0]


def test_one_shared_wait_there_and_back(lab: Lab, directory: Make) -> None:
    """AD is set at once, IIS follows for all; undone, AD holds what it held and every IIS shows it again."""
    farm = lab(servers=3)
    target = directory(farm)
    facts = target.observe(ALL_SERVICES)
    step = only(target.lower(change(facts, ssl_offloading=True), facts))
    assert step.do is not None
    assert step.undo is not None
    before = target.read(step.do)
    rpc = "Default Web Site/Rpc"
    shown = {name: server.state.iis.ssl_flags(rpc) for name, server in farm.servers.items()}
    assert "EX01, EX02, EX03" in target.perform(step.do, EMPTY).summary
    assert settled(target, step.until[0]).passed
    assert {server.state.iis.ssl_flags(rpc) for server in farm.servers.values()} == {"None"}
    assert target.read(step.do) != before
    target.perform(step.undo, EMPTY)
    assert settled(target, step.undo_until[0]).passed
    assert target.read(step.do) == before
    assert {name: server.state.iis.ssl_flags(rpc) for name, server in farm.servers.items()} == shown
    assert target.observe(ALL_SERVICES).outlook_anywhere == facts.outlook_anywhere
    scripts = [script for server in farm.servers.values() for script in server.state.winrm.scripts]
    assert "set-require-ssl.ps1" not in scripts


def test_waiting_names_who_has_not_followed(lab: Lab, directory: Make) -> None:
    """The wait says how many show it and why the others do not; a server that cannot be asked has not followed."""
    farm = lab(servers=3, oa_lag_s=600.0)
    target = directory(farm)
    step = only(target.lower(change(facts := target.observe(ALL_SERVICES), ssl_offloading=True), facts))
    assert step.do is not None
    target.perform(step.do, EMPTY)
    farm._management.run(farm.servers["EX02"].winrm.http.stop())  # pyright: ignore[reportPrivateUsage]
    told = target.check(step.until[0])
    assert not told.passed
    assert told.detail.startswith("0 of 3 servers show it")
    assert "EX01: Rpc requires SSL" in told.detail
    assert "EX02: no WinRM answer" in told.detail
    assert told.evidence == {"waiting": ["EX01", "EX02", "EX03"]}
    assert target.check(step.undo_until[0]).evidence == {"waiting": ["EX02"]}


def test_when_nobody_answers_there_is_no_answer(lab: Lab, directory: Make) -> None:
    """A wait that reaches no server at all is an error, not a no."""
    farm = lab(servers=2)
    target = directory(farm)
    step = only(target.lower(change(facts := target.observe(ALL_SERVICES), ssl_offloading=True), facts))
    farm.stop()
    with pytest.raises(Unreachable, match="2 of 2"):
        target.check(step.until[0])


def test_a_server_that_is_not_configured_any_more(lab: Lab, directory: Make) -> None:
    """A plan that names a server nobody knows never settles, and says so."""
    target = directory(lab())
    check = Check(
        target="directory",
        verb="outlook-anywhere-settled",
        args={"requires_ssl": {"EX01": True, "EX99": True}},
        summary="?",
    )
    told = target.check(check)
    assert not told.passed
    assert "EX99: not one of the configured servers" in told.detail


def test_only_what_differs_is_set(lab: Lab, directory: Make) -> None:
    """A host name is set with what the cmdlet wants beside it, and nothing else; emptied is null; undo restores."""
    farm = lab()
    target = directory(farm)
    facts = target.observe(ALL_SERVICES)
    wish = change(facts, internal_hostname=None, external_hostname="owa.contoso.test")
    step = only(target.lower(wish, facts))
    assert settings(step.do) == {
        "EX01": {
            "internal_hostname": None,
            "external_hostname": "owa.contoso.test",
            "internal_clients_require_ssl": True,
            "external_clients_require_ssl": True,
            "external_authentication": "Negotiate",
        }
    }
    assert "~ EX01 internal_hostname: mail.contoso.test → (empty)" in step.details
    assert step.do is not None
    assert step.undo is not None
    target.perform(step.do, EMPTY)
    assert settled(target, step.until[0]).passed
    assert target.observe(ALL_SERVICES).outlook_anywhere == wish.after
    target.perform(step.undo, EMPTY)
    assert target.observe(ALL_SERVICES).outlook_anywhere == wish.before


def test_lists_are_shown_as_lists(lab: Lab, directory: Make) -> None:
    """IIS authentication methods are set as a list and printed with commas."""
    target = directory(lab())
    facts = target.observe(ALL_SERVICES)
    step = only(target.lower(change(facts, iis_authentication=("Ntlm",)), facts))
    assert settings(step.do) == {"EX01": {"iis_authentication": ["Ntlm"]}}
    assert "~ EX01 iis_authentication: Basic, Ntlm, Negotiate → Ntlm" in step.details
    emptied = only(target.lower(change(facts, iis_authentication=()), facts))
    assert any(line.endswith("→ (none)") for line in emptied.details)


def test_what_ad_does_not_hold_is_told(lab: Lab, directory: Make) -> None:
    """A server that is no Exchange server is Rejected by Exchange, with its id."""
    target = directory(lab())
    action = Action(
        target="directory", verb="set-outlook-anywhere", args={"settings": {"EX77": {"ssl_offloading": True}}}
    )
    with pytest.raises(Rejected, match="EX77"):
        target.perform(action, EMPTY)


def test_what_is_nothing_for_the_directory(lab: Lab, directory: Make) -> None:
    """Other changes, actions and checks are refused."""
    target = directory(lab())
    assert target.name == "directory"
    with pytest.raises(UnsupportedMode):
        target.lower(Mark(marker="m", present=True), FarmFacts())
    foreign = Action(target="directory", verb="set-require-ssl")
    with pytest.raises(Rejected) as caught:
        target.read(foreign)
    assert caught.value.code == "unknown_verb"
    with pytest.raises(Rejected):
        target.perform(foreign, EMPTY)
    with pytest.raises(Rejected):
        target.check(Check(target="directory", verb="flags", summary="?"))


def test_a_read_back_that_differs_is_no_success(double: Callable[..., Endpoint]) -> None:
    """What AD shows after the set (from another domain controller, say) must be what was set."""
    server = double()
    held = OutlookAnywhereFacts(
        server="EX01", ssl_offloading=False, internal_clients_require_ssl=True, external_clients_require_ssl=True
    )
    server.says({"ok": True, "result": {"outlook_anywhere": [held.model_dump(mode="json")]}})
    action = Action(
        target="directory", verb="set-outlook-anywhere", args={"settings": {"EX01": {"ssl_offloading": True}}}
    )
    with SessionPool(server.settings()) as session:
        target = FarmTarget({"EX01": session}, through="EX01", tier=ExchangeTier(mode="delegated"))
        with pytest.raises(Rejected, match=r"ssl_offloading=True.*ssl_offloading=False") as caught:
            target.perform(action, EMPTY)
        assert caught.value.code == "read_back"
        server.says({"ok": True, "result": {"outlook_anywhere": []}})
        with pytest.raises(Rejected, match="AD shows nothing"):
            target.perform(action, EMPTY)
