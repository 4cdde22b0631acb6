"""Who uses a certificate is read whole or said not to be; a certificate leaves a store only where nothing there holds it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

import pytest

from lbsync.changes import RemoveCertificate
from lbsync.errors import ConfigError, Denied, Rejected, Unreachable
from lbsync.exchange.actions import Question
from lbsync.exchange.retiring import read_uses, remove
from lbsync.exchange.scripts import ScriptName
from lbsync.exchange.server import ServerTarget
from lbsync.exchange.session import SessionPool, SessionSettings
from lbsync.exchange.tier import NO_EXCHANGE, ExchangeTier
from lbsync.facts import ServerFacts
from lbsync.lab.farm import LabFarm
from lbsync.lab.faults import Fault
from lbsync.lab.naming import tls_certificate_name
from lbsync.lab.store import StoredEntry
from lbsync.model import Step
from lbsync.services import ALL_SERVICES
from lbsync.testing.memory import NoMaterials
from lbsync.uses import Holding, Naming
from lbsync_certs import Bundle, Thumbprint

Lab = Callable[..., LabFarm]
Pool = Callable[..., SessionPool]

HOSTS = ("mail.contoso.test", "autodiscover.contoso.test")


def tier_of(farm: LabFarm) -> ExchangeTier:
    """Explicit credentials of the lab's administrator."""
    return ExchangeTier(user=farm.user, password=lambda: farm.password)


def old_on(farm: LabFarm, *services: str, server: str = "EX01") -> Bundle:
    """A certificate of before, which nothing serves, in a server's store."""
    bundle = farm.ca.issue(HOSTS, days=90)
    farm.state.servers[server].store.add(StoredEntry(bundle, services=list(services)))
    return bundle


def stored(farm: LabFarm, bundle: Bundle, server: str = "EX01") -> bool:
    """Whether a server's store has it."""
    return farm.state.servers[server].store.find(bundle.thumbprint) is not None


def test_everything_that_names_a_certificate_is_told(lab: Lab, pool: Pool) -> None:
    """Certificates with their services and names; connectors, hybrid, AuthConfig, federation, transport, in one answer."""
    farm = lab(servers=2)
    old = old_on(farm, "SMTP")
    names = farm.state.directory.names
    called = tls_certificate_name(old.leaf)
    names.send_connectors["Outbound to Office 365"] = called
    names.receive_connectors["EX01", "EX01\\Default Frontend EX01"] = called
    names.receive_connectors["EX09", "EX09\\Default Frontend EX09"] = called
    names.hybrid = called
    names.auth_config["CurrentCertificateThumbprint"] = old.thumbprint
    names.federation["Gateway", "OrgCertificate"] = Thumbprint("ab" * 20)
    names.federation["Gateway", "OrgNextCertificate"] = None
    names.transport = {"EX02": old.thumbprint}
    farm.state.servers["EX01"].tls_listeners["0.0.0.0:5986"] = old.thumbprint
    farm.state.servers["EX02"].remote_desktop = old.thumbprint
    uses = read_uses({name: pool(farm, name) for name in farm.servers}, through="EX01", tier=tier_of(farm))
    assert (uses.read, uses.missing_cmdlets) == (True, ())
    row = next(one for one in uses.enabled_at("ex01") if one.thumbprint == old.thumbprint)
    assert (row.services, row.name) == (("SMTP",), called)
    assert len(uses.enabled_at("EX02")) == 2
    assert uses.namings == (
        Naming(kind="send connector", identity="Outbound to Office 365", name=called),
        Naming(kind="receive connector", identity="EX01\\Default Frontend EX01", name=called, server="EX01"),
        Naming(kind="hybrid configuration", identity="", name=called),
    )
    assert uses.holdings[:4] == (
        Holding(what="AuthConfig (CurrentCertificateThumbprint)", thumbprint=old.thumbprint),
        Holding(what="the federation trust Gateway (OrgCertificate)", thumbprint=Thumbprint("AB" * 20)),
        Holding(what="the federation trust Gateway (OrgNextCertificate)", thumbprint=None),
        Holding(what="the internal transport", thumbprint=old.thumbprint, server="EX02"),
    )
    local = {(one.server, one.what) for one in uses.holdings[4:] if one.thumbprint == old.thumbprint}
    assert local == {("EX01", "the TLS listener 0.0.0.0:5986"), ("EX02", "Remote Desktop")}
    assert ("EX02", "the TLS listener 0.0.0.0:443") in {(one.server, one.what) for one in uses.holdings[4:]}
    assert farm.servers["EX02"].state.winrm.scripts == {"certificate-holders.ps1": 1}


def test_what_could_not_be_asked_is_told(lab: Lab, pool: Pool) -> None:
    """Cmdlets that no role offers are named; without the Exchange tier nothing is sent and nothing was read."""
    missing = ("Get-SendConnector", "Remove-ExchangeCertificate", "Get-ExchangeCertificate")
    farm = lab(servers=2, missing_cmdlets=missing)
    farm.state.directory.names.send_connectors["To the world"] = "<I>CN=a<S>CN=b"
    pools = {"EX01": pool(farm)}
    uses = read_uses(pools, through="EX01", tier=tier_of(farm))
    assert set(uses.missing_cmdlets) == set(missing)
    assert (uses.enabled, uses.namings) == ((), ())
    before = farm.servers["EX01"].state.winrm.requests
    assert read_uses(pools, through="EX01", tier=NO_EXCHANGE).read is False
    assert farm.servers["EX01"].state.winrm.requests == before
    with pytest.raises(Rejected, match="EX07"):
        read_uses({**pools, "EX07": pools["EX01"]}, through="EX01", tier=tier_of(farm))
    with pytest.raises(Unreachable) as caught:
        read_uses({**pools, "EX02": pool(farm, "EX02", port=1)}, through="EX01", tier=tier_of(farm))
    assert caught.value.where == "EX02"
    with pytest.raises(Denied):
        read_uses(pools, through="EX01", tier=ExchangeTier(user=farm.user, password=lambda: "wrong"))


def test_twice_is_once(lab: Lab, pool: Pool) -> None:
    """It leaves the store and nothing else does; asked again it was gone already, and no Exchange session is opened for that."""
    farm = lab()
    old, session = old_on(farm), pool(farm)
    others = set(farm.state.servers["EX01"].store.entries) - {old.thumbprint}
    assert remove(session, old.thumbprint, tier=tier_of(farm)) is False
    assert set(farm.state.servers["EX01"].store.entries) == others
    wrong = ExchangeTier(user=farm.user, password=lambda: "never asked")
    assert remove(session, old.thumbprint, tier=wrong) is True


@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.DROP_AFTER, Fault.WSMAN])
@pytest.mark.parametrize("at", range(5))
def test_a_server_that_is_gone_in_between(lab: Lab, pool: Pool, at: int, fault: Fault) -> None:
    """Whichever message of it gets lost, it is done again, and the certificate is gone."""
    farm = lab()
    old, session = old_on(farm), pool(farm)
    farm.servers["EX01"].faults.script(*[None] * at, fault)
    remove(session, old.thumbprint, tier=tier_of(farm))
    assert not stored(farm, old)


def test_a_server_that_stays_away(lab: Lab, pool: Pool) -> None:
    """One that does not answer is Unreachable; once it is back the removal is done."""
    farm = lab()
    old, session = old_on(farm), pool(farm)
    faults = farm.servers["EX01"].faults
    faults.script(*[Fault.DROP_BEFORE] * 40)
    with pytest.raises(Unreachable):
        remove(session, old.thumbprint, tier=tier_of(farm), deadline_s=5.0)
    faults.forget()
    assert remove(session, old.thumbprint, tier=tier_of(farm)) is False


def test_the_server_itself_refuses_what_it_uses(lab: Lab, pool: Pool) -> None:
    """A binding, or a service that nobody else has taken over: whatever was read before, at that moment it stays."""
    farm = lab()
    old, session = old_on(farm, "SMTP", "POP"), pool(farm)
    with pytest.raises(Rejected, match="the IIS binding :443: of Default Web Site") as caught:
        remove(session, farm.leaf.thumbprint, tier=tier_of(farm), released=("IIS", "SMTP", "POP", "IMAP"))
    assert caught.value.code == "certificate_in_use"
    assert stored(farm, farm.leaf)
    with pytest.raises(Rejected, match="these have it: the Exchange service POP") as caught:
        remove(session, old.thumbprint, tier=tier_of(farm), released=("SMTP",))
    assert caught.value.state == "it is in the store as before"
    assert stored(farm, old)
    assert remove(session, old.thumbprint, tier=tier_of(farm), released=("SMTP", "POP")) is False


def test_exchange_refuses_and_says_why(lab: Lab, pool: Pool) -> None:
    """A send connector's name that a renewed certificate shares, the internal transport, a federation trust."""
    farm = lab()
    old, session, names = old_on(farm), pool(farm), farm.state.directory.names
    names.send_connectors["Outbound to Office 365"] = tls_certificate_name(farm.leaf.leaf).upper()
    assert tls_certificate_name(farm.leaf.leaf) == tls_certificate_name(old.leaf)
    _refused(farm, session, old, "tagged with following Send Connectors : Outbound to Office 365")
    names.send_connectors.clear()
    names.transport["EX01"] = old.thumbprint
    _refused(farm, session, old, "internal transport certificate cannot be removed")
    names.transport.clear()
    names.federation["Gateway", "OrgPrevCertificate"] = old.thumbprint
    _refused(farm, session, old, "used by the federation trust")
    names.federation.clear()
    assert remove(session, old.thumbprint, tier=tier_of(farm)) is False


def _refused(farm: LabFarm, session: SessionPool, bundle: Bundle, words: str) -> None:
    with pytest.raises(Rejected, match=words) as caught:
        remove(session, bundle.thumbprint, tier=tier_of(farm))
    assert "prune" in caught.value.remedy
    assert stored(farm, bundle)


def test_it_needs_exchange_and_the_right(lab: Lab, pool: Pool) -> None:
    """Without the tier nothing is sent; without the cmdlet nothing is changed."""
    farm = lab(missing_cmdlets=("Remove-ExchangeCertificate",))
    old, session = old_on(farm), pool(farm)
    with pytest.raises(ConfigError):
        remove(session, old.thumbprint, tier=NO_EXCHANGE)
    with pytest.raises(Rejected, match="no right to run Remove-ExchangeCertificate"):
        remove(session, old.thumbprint, tier=tier_of(farm))
    assert stored(farm, old)


class Altered(SessionPool):
    """A session whose server answers something else than it did."""

    answers: Mapping[str, object] = MappingProxyType({})

    def call(
        self, script_name: ScriptName, params: Mapping[str, object], *, deadline_s: float = 120.0, retry: bool = False
    ) -> dict[str, object]:
        """As the base class, with these changes."""
        return {**super().call(script_name, params, deadline_s=deadline_s, retry=retry), **self.answers}


def test_a_removal_that_did_not_take_is_no_success(lab: Lab, settings: Callable[..., SessionSettings]) -> None:
    """A cmdlet that ends without an error and leaves it there, or an answer of another shape."""
    farm = lab()
    old = old_on(farm)
    with Altered(settings(farm)) as session:
        for outcome, code in (("still_there", "read_back"), ("perhaps", "bad_answer")):
            session.answers = {"outcome": outcome}
            with pytest.raises(Rejected) as caught:
                remove(session, old.thumbprint, tier=tier_of(farm))
            assert caught.value.code == code
            assert caught.value.remedy


def lowered(target: ServerTarget, old: Bundle, *services: str) -> Step:
    """The step that removes it."""
    facts = target.observe(ALL_SERVICES)
    assert isinstance(facts, ServerFacts)
    change = RemoveCertificate(leaf=old.fingerprint, thumbprint=old.thumbprint, released=services)
    (step,) = target.lower(change, facts)
    return step


def test_the_step_has_no_way_back_and_says_so(lab: Lab, pool: Pool) -> None:
    """Performed twice it is done once; what it governs differs before and after; its check comes true."""
    farm = lab()
    old = old_on(farm, "SMTP")
    target = ServerTarget("EX01", pool(farm), tier=tier_of(farm))
    step = lowered(target, old, "SMTP")
    assert (step.sign, step.undo, step.undo_until) == ("-", None, ())
    assert "for good: there is no way back from this step" in step.details
    assert [line for line in step.details if line.startswith("SMTP still list")]
    assert not [line for line in lowered(target, old).details if "still list" in line]
    assert step.do is not None
    (gone,) = step.until
    assert gone.verb == Question.GONE
    assert (target.read(step.do), target.check(gone).passed) == ({"stored": True}, False)
    first = target.perform(step.do, NoMaterials())
    again = target.perform(step.do, NoMaterials())
    assert (first.details["already"], again.details["already"]) == (False, True)
    assert (target.read(step.do), target.check(gone).passed) == ({"stored": False}, True)


def test_nothing_secret_is_logged(lab: Lab, pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    """No password and no certificate stands in any log line or command line of it."""
    caplog.set_level(logging.DEBUG)
    farm = lab()
    old, session = old_on(farm), pool(farm)
    read_uses({"EX01": session}, through="EX01", tier=tier_of(farm))
    remove(session, old.thumbprint, tier=tier_of(farm))
    told = caplog.text + "\n".join(farm.servers["EX01"].state.winrm.command_lines)
    assert farm.password not in told
    assert "MII" not in told
