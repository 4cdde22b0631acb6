"""A server as a target: one look, whole steps with their way back, read back always."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import pytest

from lbsync.changes import (
    Change,
    EnableCertificate,
    FlagChange,
    ImportCertificate,
    Mark,
    RequireSsl,
)
from lbsync.errors import Denied, Rejected, UnsafeChange, UnsupportedMode
from lbsync.exchange import certificates
from lbsync.exchange.farm import FarmTarget
from lbsync.exchange.observe import observe_all
from lbsync.exchange.server import ServerTarget
from lbsync.exchange.session import SessionPool, SessionSettings
from lbsync.exchange.tier import NO_EXCHANGE, ExchangeTier
from lbsync.facts import FarmFacts, ServerFacts
from lbsync.lab.farm import LabFarm
from lbsync.model import Action, Check, Step
from lbsync.rotation.also import also_enable
from lbsync.services import ALL_SERVICES, FLAG_SERVICES, NO_SSL, SERVICES, MailService, Service
from lbsync.target import MaterialSource, Target
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle, Fingerprint, Thumbprint

Lab = Callable[..., LabFarm]
Pool = Callable[..., SessionPool]


class Shelf:
    """A MaterialSource with the bundles it was given."""

    def __init__(self, *bundles: Bundle) -> None:
        self._bundles = {bundle.fingerprint: bundle for bundle in bundles}

    def open(self, leaf: Fingerprint) -> Bundle:
        """The bundle with this leaf."""
        return self._bundles[leaf]


EMPTY: MaterialSource = Shelf()


def tier_of(farm: LabFarm) -> ExchangeTier:
    """Explicit credentials of the lab's administrator."""
    return ExchangeTier(user=farm.user, password=lambda: farm.password)


def offload(facts: ServerFacts, *services: Service) -> RequireSsl:
    """Require SSL off for these services (all by default), from what was seen."""
    changes: list[FlagChange] = []
    for service in services or FLAG_SERVICES:
        vdir = facts.vdir(service)
        assert vdir is not None
        changes.append(FlagChange(service=service, before=vdir.own_ssl_flags, after=NO_SSL))
    return RequireSsl(changes=tuple(changes))


def holds(target: Target, checks: tuple[Check, ...]) -> bool:
    """Whether all checks come true within some seconds; pools take a moment to start."""
    pause = threading.Event()
    for _ in range(100):
        if all(target.check(check).passed for check in checks):
            return True
        pause.wait(0.05)
    return False


def only(steps: tuple[Step, ...]) -> Step:
    """The one step of a lowering."""
    (step,) = steps
    return step


def test_one_look_is_one_script(lab: Lab, pool: Pool) -> None:
    """Everything local about a server costs one command; its facts name it as configured."""
    farm = lab()
    target = ServerTarget("EX01", pool(farm))
    facts = target.observe(ALL_SERVICES)
    assert target.name == facts.server == "EX01"
    assert facts.problems == ()
    assert farm.servers["EX01"].state.winrm.scripts == {"server-facts.ps1": 1}
    leaf = facts.front_end_leaf
    assert leaf is not None
    assert leaf.info.fingerprint == farm.leaf.fingerprint


def test_flags_recycle_and_wait_are_one_step(lab: Lab, pool: Pool) -> None:
    """Seven directories lower to one step that says before and after, recycles each pool once and waits for both."""
    target = ServerTarget("EX01", pool(lab()))
    facts = target.observe(ALL_SERVICES)
    step = only(target.lower(offload(facts), facts))
    assert step.id == "EX01:require-ssl"
    assert "~ Default Web Site/owa sslFlags: (inherited) Ssl, Ssl128 → None" in step.details
    assert "~ Default Web Site/OAB sslFlags: Ssl, Ssl128 → None" in step.details
    assert "recycle MSExchangeMapiFrontEndAppPool (it answers 503 for some seconds)" in step.details
    assert (
        [check.verb for check in step.until] == [check.verb for check in step.undo_until] == ["flags", "pools-started"]
    )
    assert step.do is not None
    pools = step.do.args["pools"]
    assert isinstance(pools, list)
    assert len(pools) == len(set(map(str, pools))) == 7


def test_there_and_back_is_exactly_as_before(lab: Lab, pool: Pool) -> None:
    """The step sets what it says; its undo restores own values, and inherits again where that was so."""
    farm = lab()
    target = ServerTarget("EX01", pool(farm))
    facts = target.observe(ALL_SERVICES)
    step = only(target.lower(offload(facts), facts))
    assert step.do is not None
    assert step.undo is not None
    before = target.read(step.do)
    receipt = target.perform(step.do, EMPTY)
    assert holds(target, step.until)
    assert set(target.read(step.do).values()) == {NO_SSL}
    assert receipt.summary == "7 location(s) set, 7 app pool(s) recycled"
    target.perform(step.undo, EMPTY)
    assert holds(target, step.undo_until)
    assert target.read(step.undo) == before
    assert before["Default Web Site/owa"] is None
    assert target.observe(ALL_SERVICES).vdirs == facts.vdirs


def test_twice_is_once(lab: Lab, pool: Pool) -> None:
    """Performing again, or undoing what was never done, leaves the same flags."""
    target = ServerTarget("EX01", pool(lab()))
    facts = target.observe(ALL_SERVICES)
    step = only(target.lower(offload(facts, Service.OWA), facts))
    assert step.do is not None
    assert step.undo is not None
    target.perform(step.undo, EMPTY)
    before = target.read(step.do)
    assert before == {"Default Web Site/owa": None}
    target.perform(step.do, EMPTY)
    target.perform(step.do, EMPTY)
    assert target.read(step.do) == {"Default Web Site/owa": NO_SSL}


def test_back_to_what_a_directory_has_out_of_the_box(lab: Lab, pool: Pool) -> None:
    """From offload to bridge: own flags are written where they belong and cleared where they were inherited."""
    target = ServerTarget("EX01", pool(lab(drift=("EX01",))))
    facts = target.observe(ALL_SERVICES)
    change = RequireSsl(changes=(FlagChange(service=Service.OWA, before=NO_SSL, after=None),))
    step = only(target.lower(change, facts))
    assert "on for owa" in step.summary
    assert step.details[0] == "~ Default Web Site/owa sslFlags: None → (inherited) Ssl, Ssl128"
    assert step.do is not None
    target.perform(step.do, EMPTY)
    assert holds(target, step.until)
    owa = target.observe(ALL_SERVICES).vdir(Service.OWA)
    assert owa is not None
    assert (owa.own_ssl_flags, owa.ssl_flags) == (None, "Ssl, Ssl128")


def test_mixed_changes_say_so(lab: Lab, pool: Pool) -> None:
    """Some off and some on in one step: the summary does not claim one of both."""
    target = ServerTarget("EX01", pool(lab()))
    facts = target.observe(ALL_SERVICES)
    change = RequireSsl(
        changes=(
            FlagChange(service=Service.OAB, before="Ssl, Ssl128", after=NO_SSL),
            FlagChange(service=Service.ECP, before=NO_SSL, after=None),
        )
    )
    assert "as its mode needs it for oab, ecp" in only(target.lower(change, facts)).summary


@pytest.mark.parametrize("service", [Service.OUTLOOK_ANYWHERE, Service.MRSPROXY])
def test_flags_that_are_not_ours_are_refused(lab: Lab, pool: Pool, service: Service) -> None:
    """Rpc belongs to Set-OutlookAnywhere, MRSProxy needs TLS: no step is made."""
    target = ServerTarget("EX01", pool(lab()))
    facts = target.observe(ALL_SERVICES)
    change = RequireSsl(changes=(FlagChange(service=service, before=None, after=NO_SSL),))
    with pytest.raises(UnsafeChange, match=service.value):
        target.lower(change, facts)


def test_client_certificates_are_not_dropped(lab: Lab, pool: Pool) -> None:
    """A directory that negotiates client certificates is not set to None, which would drop them."""
    target = ServerTarget("EX01", pool(lab(client_certificates=("EX01",))))
    facts = target.observe(ALL_SERVICES)
    with pytest.raises(UnsafeChange, match="client certificates"):
        target.lower(offload(facts, Service.ACTIVESYNC), facts)


def test_a_directory_that_is_not_there(lab: Lab, pool: Pool) -> None:
    """A service without its directory on this server cannot be changed there."""
    target = ServerTarget("EX01", pool(lab()))
    facts = target.observe(ALL_SERVICES)
    rest = tuple(vdir for vdir in facts.vdirs if Service.MAPI not in vdir.services)
    with pytest.raises(UnsafeChange, match="Default Web Site/mapi"):
        target.lower(offload(facts, Service.MAPI), facts.model_copy(update={"vdirs": rest}))


@pytest.mark.parametrize("change", [Mark(marker="m", present=True)])
def test_what_is_no_servers_change(lab: Lab, pool: Pool, change: Change) -> None:
    """Changes of balancers and of the directory are refused, and so are facts of another target."""
    target = ServerTarget("EX01", pool(lab()))
    facts = target.observe(ALL_SERVICES)
    with pytest.raises(UnsupportedMode, match="mark"):
        target.lower(change, facts)
    with pytest.raises(UnsupportedMode, match="farm"):
        target.lower(offload(facts), FarmFacts())


def test_actions_and_checks_nobody_knows(lab: Lab, pool: Pool) -> None:
    """A plan of another version is refused before anything is done; arguments that do not fit, too."""
    farm = lab()
    target = ServerTarget("EX01", pool(farm))
    foreign = Action(target="EX01", verb="reboot")
    with pytest.raises(Rejected, match="reboot"):
        target.perform(foreign, EMPTY)
    with pytest.raises(Rejected, match="reboot"):
        target.read(foreign)
    with pytest.raises(Rejected, match="smell"):
        target.check(Check(target="EX01", verb="smell", summary="?"))
    with pytest.raises(Rejected) as caught:
        target.perform(Action(target="EX01", verb="set-require-ssl", args={"flags": 3}), EMPTY)
    assert caught.value.code == "bad_arguments"
    assert farm.servers["EX01"].state.winrm.requests == 0


def test_a_check_says_what_is_wrong(lab: Lab, pool: Pool) -> None:
    """Flags that differ and pools that do not run are named, with evidence."""
    farm = lab()
    target = ServerTarget("EX01", pool(farm))
    facts = target.observe(ALL_SERVICES)
    step = only(target.lower(offload(facts, Service.OWA, Service.MAPI), facts))
    flags, pools = step.until
    told = target.check(flags)
    assert not told.passed
    assert "Default Web Site/owa: Ssl, Ssl128, not None" in told.detail
    assert told.evidence["flags"] == {"Default Web Site/owa": "Ssl, Ssl128", "Default Web Site/mapi": "Ssl, Ssl128"}
    assert target.check(pools).passed
    running = farm.servers["EX01"].state.iis.pools.values()
    next(one for one in running if one.name == "MSExchangeOWAAppPool").state = "Stopped"
    told = target.check(pools)
    assert not told.passed
    assert "MSExchangeOWAAppPool is Stopped" in told.detail


def test_a_certificate_is_imported_and_bound(lab: Lab, pool: Pool) -> None:
    """Import, enable, check, and back to the certificate before; Require SSL stays as it was."""
    farm = lab()
    target = ServerTarget("EX01", pool(farm), tier=tier_of(farm))
    facts = target.observe(ALL_SERVICES)
    new = farm.ca.issue(["mail.contoso.test"])
    importing = only(target.lower(ImportCertificate(leaf=new.fingerprint, thumbprint=new.thumbprint), facts))
    assert importing.do is not None
    assert importing.undo is None
    assert target.read(importing.do) == {"stored": False}
    assert not target.check(importing.until[0]).passed
    assert "imported" in target.perform(importing.do, Shelf(new)).summary
    assert "already" in target.perform(importing.do, Shelf(new)).summary
    assert target.check(importing.until[0]).passed

    before = facts.front_end_leaf
    assert before is not None
    change = EnableCertificate(before=before.info.thumbprint, after=new.thumbprint)
    enabling = only(target.lower(change, facts))
    assert "users of OWA and ECP may have to sign in again" in enabling.details
    assert enabling.do is not None
    assert enabling.undo is not None
    assert target.read(enabling.do) == {"thumbprint": before.info.thumbprint}
    target.perform(enabling.do, EMPTY)
    assert holds(target, enabling.until)
    assert target.observe(ALL_SERVICES).vdirs == facts.vdirs
    target.perform(enabling.undo, EMPTY)
    assert holds(target, enabling.undo_until)
    assert target.read(enabling.do) == {"thumbprint": before.info.thumbprint}


def test_a_first_certificate_has_no_way_back(lab: Lab, pool: Pool) -> None:
    """Where nothing was bound before, there is nothing to bind again."""
    target = ServerTarget("EX01", pool(lab()))
    facts = target.observe(ALL_SERVICES)
    step = only(target.lower(EnableCertificate(before=None, after=Thumbprint("AB" * 20)), facts))
    assert step.undo is None
    assert step.undo_until == ()
    assert step.details[0] == f"~ IIS certificate: (none) → {'AB' * 20}"


def exchange_says(farm: LabFarm, server: str, session: SessionPool) -> ServerFacts:
    """A server with what Exchange says of its certificates."""
    target, directory = ServerTarget(server, session), FarmTarget({server: session}, through=server, tier=tier_of(farm))
    return observe_all([target], directory).servers[0]


def also_to(facts: ServerFacts, new: Bundle, *services: MailService) -> EnableCertificate:
    """This certificate onto IIS and to these services, as a rotation has it."""
    leaf = facts.front_end_leaf
    before = leaf.info.thumbprint if leaf else None
    return EnableCertificate(before=before, after=new.thumbprint, also=also_enable(facts, services, new.thumbprint))


def test_a_certificate_is_given_to_other_services_too(lab: Lab, pool: Pool) -> None:
    """SMTP beside what it has, IMAP restarted, POP left stopped; twice is once; and back, as far as Exchange lets."""
    farm = lab()
    state, session = farm.servers["EX01"].state, pool(farm)
    facts, new = exchange_says(farm, "EX01", session), farm.ca.issue(["mail.contoso.test"])
    target = ServerTarget("EX01", session, tier=tier_of(farm))
    certificates.import_bundle(session, new, tier=tier_of(farm))
    between = farm.state.directory.names.transport
    own = between["EX01"]
    step = only(target.lower(also_to(facts, new, *MailService), facts))
    assert step.do is not None
    assert step.undo is not None
    assert not target.check(step.until[1]).passed
    before = target.read(step.do)
    assert before == {"thumbprint": farm.leaf.thumbprint, "others": {"IMAP": [], "POP": []}}
    receipts = [target.perform(step.do, EMPTY) for _ in range(2)]
    assert receipts[0] == receipts[1]
    assert receipts[0].details["restarted"] == ["MSExchangeIMAP4", "MSExchangeIMAP4BE"]
    assert holds(target, step.until)
    assert sorted(state.store.entries[new.thumbprint].services) == ["IIS", "IMAP", "POP", "SMTP"]
    assert state.store.entries[farm.leaf.thumbprint].services == ["SMTP"]
    assert between["EX01"] == own != new.thumbprint
    serving = {one.name: one.serves for one in state.mail.services}
    assert serving["MSExchangeIMAP4"] == serving["MSExchangeIMAP4BE"] == new.thumbprint
    assert not any(one.running for one in state.mail.services if one.protocol == "POP")
    assert target.observe(ALL_SERVICES).vdirs == facts.vdirs

    target.perform(step.undo, EMPTY)
    assert holds(target, step.undo_until)
    assert target.read(step.do) == before
    assert sorted(state.store.entries[farm.leaf.thumbprint].services) == ["IIS", "IMAP", "POP", "SMTP"]
    assert state.store.entries[new.thumbprint].services == ["SMTP"]
    assert between["EX01"] == own
    assert {one.serves for one in state.mail.services if one.running} == {farm.leaf.thumbprint}


def test_what_somebody_gave_imap_since_is_seen(lab: Lab, pool: Pool) -> None:
    """A third certificate makes the reading another one, so that the way back stops before it."""
    farm = lab()
    session, new, third = pool(farm), farm.ca.issue(["mail.contoso.test"]), farm.ca.issue(["imap.contoso.test"])
    facts, target = exchange_says(farm, "EX01", session), ServerTarget("EX01", session, tier=tier_of(farm))
    for bundle in (new, third):
        certificates.import_bundle(session, bundle, tier=tier_of(farm))
    step = only(target.lower(also_to(facts, new, MailService.IMAP), facts))
    assert step.do is not None
    target.perform(step.do, EMPTY)
    left = target.read(step.do)
    farm.servers["EX01"].state.store.enable(third.thumbprint, "IMAP")
    assert target.read(step.do) != left


def test_a_wildcard_that_imap_did_not_get_fails_the_check(lab: Lab, pool: Pool) -> None:
    """Exchange warns and enables nothing: what it shows afterwards is what counts. Another service's name is refused."""
    farm = lab()
    session, wild = pool(farm), farm.ca.issue(["*.contoso.test", "mail.contoso.test"])
    facts, target = exchange_says(farm, "EX01", session), ServerTarget("EX01", session, tier=tier_of(farm))
    certificates.import_bundle(session, wild, tier=tier_of(farm))
    step = only(target.lower(also_to(facts, wild, MailService.SMTP, MailService.IMAP), facts))
    assert step.do is not None
    target.perform(step.do, EMPTY)
    found = target.check(step.until[1])
    assert (found.passed, found.detail) == (False, f"IMAP has {farm.leaf.thumbprint}, not {wild.thumbprint}")
    with pytest.raises(Rejected, match="refused: UM"):
        session.call(
            "enable-certificate",
            {
                "exchange": tier_of(farm).params(session.settings.tls_name),
                "server": "EX01",
                "thumbprint": wild.thumbprint,
                "also": [{"service": "UM", "thumbprint": wild.thumbprint}],
            },
        )


def test_an_account_that_may_not_ask_for_transport(lab: Lab, pool: Pool) -> None:
    """Which one servers use between them is not known then, and nothing else is missing."""
    farm = lab(missing_cmdlets=("Get-TransportService",))
    facts = exchange_says(farm, "EX01", pool(farm))
    assert {stored.internal_transport for stored in facts.certificates} == {None}
    assert all(stored.services for stored in facts.certificates)


def test_steps_are_the_same_each_time(lab: Lab, pool: Pool) -> None:
    """Lowering is pure: the same change gives the same step, and the server is not asked."""
    farm = lab()
    target = ServerTarget("EX01", pool(farm))
    facts = target.observe(ALL_SERVICES)
    asked = farm.servers["EX01"].state.winrm.requests
    assert target.lower(offload(facts), facts) == target.lower(offload(facts), facts)
    assert farm.servers["EX01"].state.winrm.requests == asked


def test_a_look_at_everything(lab: Lab, pool: Pool) -> None:
    """Five servers and the directory at once: in order, certificates completed by Exchange, no connection left."""
    farm = lab(servers=5)
    pools = {name: pool(farm, name) for name in farm.servers}
    servers = [ServerTarget(name, one) for name, one in pools.items()]
    seen = observe_all(servers, FarmTarget(pools, through="EX01", tier=tier_of(farm)), parallel=4)
    facts, directory = seen.servers, seen.farm
    assert seen.errors == ()
    assert [server.server for server in facts] == list(farm.servers)
    assert {item.server for item in directory.outlook_anywhere} == set(farm.servers)
    leaf = facts[0].certificate(farm.leaf.thumbprint)
    assert leaf is not None
    assert leaf.status == "Valid"
    assert leaf.services is not None
    assert "IIS" in leaf.services
    without = observe_all(servers, FarmTarget(pools, through="EX01", tier=NO_EXCHANGE))
    assert not without.farm.read
    assert without.servers[0].certificates[0].status is None


def test_a_look_that_is_denied_is_one_login(lab: Lab, pool: Pool) -> None:
    """A wrong password: one rejected login for the whole farm, and Denied is what is told."""
    farm = lab(servers=5)
    first = pool(farm, "EX01", password=lambda: "wrong")
    pools = {"EX01": first} | {
        name: pool(farm, name, gate=first.gate, password=lambda: "wrong") for name in list(farm.servers)[1:]
    }
    servers = [ServerTarget(name, one) for name, one in pools.items()]
    with pytest.raises(Denied):
        observe_all(servers, FarmTarget(pools, through="EX01", tier=tier_of(farm)))
    assert sum(server.state.winrm.rejected_logons for server in farm.servers.values()) == 1


def test_a_certificate_of_another_farm_is_not_bound(lab: Lab, pool: Pool) -> None:
    """Enabling what the store does not have is Rejected with Exchange's own id."""
    farm = lab()
    target = ServerTarget("EX01", pool(farm), tier=tier_of(farm))
    facts = target.observe(ALL_SERVICES)
    stranger = TestCA.new("x").issue(["mail.contoso.test"], key="ec256")
    step = only(target.lower(EnableCertificate(before=None, after=stranger.thumbprint), facts))
    assert step.do is not None
    with pytest.raises(Rejected, match="was not found") as caught:
        target.perform(step.do, EMPTY)
    assert "EnableExchangeCertificate" in caught.value.code


class Endpoint(Protocol):
    """What a test sets of the double."""

    def says(self, answer: object) -> None:
        """Print this as the bootstrap would."""
        ...

    def settings(self, **fields: object) -> SessionSettings:
        """Settings to reach it."""
        ...


@pytest.mark.parametrize("vdirs", [[], [{"location": "default web site/OWA", "own": None, "effective": "Ssl"}]])
def test_a_write_that_did_not_take_is_no_success(double: Callable[..., Endpoint], vdirs: list[object]) -> None:
    """IIS may accept a location without a word: what it shows afterwards must be what was written."""
    server = double()
    server.says({"ok": True, "result": {"vdirs": vdirs, "pools": [], "recycled": []}})
    action = Action(
        target="EX01", verb="set-require-ssl", args={"flags": {"Default Web Site/owa": NO_SSL}, "pools": []}
    )
    with SessionPool(server.settings()) as session:
        with pytest.raises(Rejected, match=r"IIS shows .inherited.") as caught:
            ServerTarget("EX01", session).perform(action, EMPTY)
        assert caught.value.code == "read_back"


def test_the_table_of_services_is_what_is_written() -> None:
    """Every service whose flags are written in IIS has a location of its own."""
    assert len({SERVICES[service].location for service in FLAG_SERVICES}) == len(FLAG_SERVICES) == 7
