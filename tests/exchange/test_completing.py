"""A CA's answer finds the server that waits for it, and becomes a certificate there; what is no such answer changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID

from lbsync.errors import CertificateError, ConfigError, Denied, Rejected, Unreachable
from lbsync.exchange import certificates
from lbsync.exchange.completing import complete_request, request_holder
from lbsync.exchange.facts import farm_facts
from lbsync.exchange.scripts import ScriptName
from lbsync.exchange.session import SessionPool, SessionSettings
from lbsync.exchange.tier import NO_EXCHANGE, ExchangeTier
from lbsync.lab.farm import LabFarm
from lbsync.lab.faults import Fault
from lbsync.testing.ca import TestCA
from lbsync_certs import Thumbprint
from lbsync_certs.info import describe
from lbsync_certs.pfx import write_pfx

Lab = Callable[..., LabFarm]
Pool = Callable[..., SessionPool]

HOSTS = ("mail.contoso.test", "autodiscover.contoso.test")
NAME = "lbsync-2f6d3c1e-0000-4000-8000-000000000001"


def tier_of(farm: LabFarm) -> ExchangeTier:
    """Explicit credentials of the lab's administrator."""
    return ExchangeTier(user=farm.user, password=lambda: farm.password)


def ask(farm: LabFarm, pool: SessionPool, name: str = NAME) -> tuple[str, Thumbprint | None, bool]:
    """Make a request, or find it again."""
    return certificates.request(pool, tier=tier_of(farm), subject=f"CN={HOSTS[0]}", domains=HOSTS, friendly_name=name)


def signed(ca: TestCA, request: str, *, days: int = 365, names: tuple[str, ...] = HOSTS) -> x509.Certificate:
    """What a CA makes of a request; it began a month ago."""
    start = datetime.now(UTC) - timedelta(days=30)
    return ca.sign(request.encode(), names=names, days=days, not_before=start)


def p7b(ca: TestCA, leaf: x509.Certificate) -> bytes:
    """The leaf with its whole chain, as Windows' CA gives it."""
    return pkcs7.serialize_certificates([ca.root.certificate, leaf, ca.issuer.certificate], Encoding.DER)


def alone(_ca: TestCA, leaf: x509.Certificate) -> bytes:
    """The leaf without anything, as a mail holds it."""
    return leaf.public_bytes(Encoding.PEM)


def statuses(farm: LabFarm, pool: SessionPool) -> dict[str, str | None]:
    """What Get-ExchangeCertificate says, by thumbprint."""
    params = {"exchange": tier_of(farm).params(pool.settings.tls_name), "servers": [pool.name]}
    return {one.thumbprint: one.status for one in farm_facts(pool.call("farm-facts", params)).certificates}


@pytest.mark.parametrize("dress", [p7b, alone])
def test_an_answer_becomes_a_certificate(
    lab: Lab, pool: Pool, dress: Callable[[TestCA, x509.Certificate], bytes]
) -> None:
    """The pending request becomes a valid certificate that can be exported with its key, and with the chain that came along."""
    farm, ca = lab(), TestCA.new("Public CA")
    session = pool(farm)
    request, pending, _ = ask(farm, session)
    leaf = signed(ca, request)
    answer = dress(ca, leaf)
    assert statuses(farm, session)[str(pending)] == "PendingRequest"
    thumbprint, already = complete_request(session, answer, tier=tier_of(farm), hosts=HOSTS)
    assert (thumbprint, already) == (describe(leaf).thumbprint, False)
    after = statuses(farm, session)
    assert after[thumbprint] == "Valid"
    assert str(pending) not in after
    bundle = certificates.export(session, thumbprint, tier=tier_of(farm))
    assert bundle.leaf == leaf
    assert bundle.chain == ((ca.issuer.certificate,) if dress is p7b else ())


def test_twice_is_once(lab: Lab, pool: Pool) -> None:
    """The same answer given again is there already; a chain that comes later is taken all the same."""
    farm, ca = lab(), TestCA.new("Public CA")
    session = pool(farm)
    leaf = signed(ca, ask(farm, session)[0])
    thumbprint, _ = complete_request(session, leaf.public_bytes(Encoding.DER), tier=tier_of(farm))
    for answer in (leaf.public_bytes(Encoding.PEM), p7b(ca, leaf), p7b(ca, leaf)):
        assert complete_request(session, answer, tier=tier_of(farm)) == (thumbprint, True)
    assert certificates.export(session, thumbprint).chain == (ca.issuer.certificate,)
    assert farm.servers["EX01"].state.store.authorities == [ca.issuer.certificate]


@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.DROP_AFTER, Fault.WSMAN])
@pytest.mark.parametrize("at", range(5))
def test_a_server_that_is_gone_in_between(lab: Lab, pool: Pool, at: int, fault: Fault) -> None:
    """Whichever message of it gets lost, it is done again, and the certificate is there once."""
    farm, ca = lab(), TestCA.new("Public CA")
    session = pool(farm)
    leaf = signed(ca, ask(farm, session)[0])
    farm.servers["EX01"].faults.script(*[None] * at, fault)
    thumbprint, _ = complete_request(session, p7b(ca, leaf), tier=tier_of(farm))
    assert statuses(farm, session)[thumbprint] == "Valid"
    assert "PendingRequest" not in statuses(farm, session).values()


def test_a_server_that_stays_away(lab: Lab, pool: Pool) -> None:
    """A server that is not there any more is Unreachable; when it is there again the same answer completes the request."""
    farm, ca = lab(), TestCA.new("Public CA")
    session = pool(farm)
    leaf = signed(ca, ask(farm, session)[0])
    faults = farm.servers["EX01"].faults
    faults.script(*[Fault.DROP_BEFORE] * 40)
    with pytest.raises(Unreachable):
        complete_request(session, p7b(ca, leaf), tier=tier_of(farm), deadline_s=5.0)
    faults.forget()
    assert complete_request(session, p7b(ca, leaf), tier=tier_of(farm))[1] is False


def test_an_answer_for_another_key_changes_nothing(lab: Lab, pool: Pool) -> None:
    """It is Rejected with its own code, and the request stays pending."""
    farm, ca = lab(), TestCA.new("Public CA")
    session = pool(farm)
    pending = str(ask(farm, session)[1])
    stranger = ca.issue(HOSTS)
    with pytest.raises(Rejected, match=stranger.thumbprint) as caught:
        complete_request(session, stranger.public_pem(), tier=tier_of(farm))
    assert caught.value.code == "no_pending_request"
    assert "lbsync csr" in caught.value.remedy
    assert statuses(farm, session)[pending] == "PendingRequest"
    assert farm.servers["EX01"].state.store.authorities == []
    assert stranger.thumbprint not in statuses(farm, session)


def test_what_cannot_be_served_is_refused_before_anything_is_sent(lab: Lab, pool: Pool) -> None:
    """Expired, self-signed, a host missing, a text file, a PFX: each has its code, and no request is used up for it."""
    farm, ca = lab(), TestCA.new("Public CA")
    session = pool(farm)
    request = ask(farm, session)[0]
    before = farm.servers["EX01"].state.winrm.requests
    der = Encoding.DER
    for answer, code in (
        (signed(ca, request, days=10).public_bytes(der), "expired"),
        (signed(ca, request, names=HOSTS[:1]).public_bytes(der), "name_missing"),
        (TestCA.self_signed(HOSTS).leaf.public_bytes(der), "self_signed"),
        (ca.issue(HOSTS, usages=[ExtendedKeyUsageOID.CLIENT_AUTH]).leaf.public_bytes(der), "not_for_servers"),
        (b"Dear customer, your certificate is attached.", "unreadable"),
        (request.encode(), "unreadable"),
        (write_pfx(ca.issue(HOSTS), b"secret"), "unreadable"),
        (ca.root_pem, "no_certificate"),
    ):
        with pytest.raises(CertificateError) as caught:
            complete_request(session, answer, tier=tier_of(farm), hosts=HOSTS)
        assert caught.value.code == code
        assert "nothing was changed" in caught.value.state
        assert caught.value.__context__ is None
    assert farm.servers["EX01"].state.winrm.requests == before


def test_it_needs_exchange(lab: Lab, pool: Pool) -> None:
    """Without the Exchange tier nothing is sent; without the right to import nothing is changed; a wrong password is Denied."""
    farm, ca = lab(missing_cmdlets=("Import-ExchangeCertificate",)), TestCA.new("Public CA")
    session = pool(farm)
    leaf = signed(ca, ask(farm, session)[0])
    before = farm.servers["EX01"].state.winrm.requests
    with pytest.raises(ConfigError):
        complete_request(session, p7b(ca, leaf), tier=NO_EXCHANGE)
    assert farm.servers["EX01"].state.winrm.requests == before
    with pytest.raises(Rejected, match="no right to run Import-ExchangeCertificate"):
        complete_request(session, p7b(ca, leaf), tier=tier_of(farm))
    assert farm.servers["EX01"].state.store.authorities == []
    with pytest.raises(Denied):
        complete_request(session, p7b(ca, leaf), tier=ExchangeTier(user=farm.user, password=lambda: "wrong"))


class Altered(SessionPool):
    """A session whose server answers something else than it did."""

    answers: Mapping[str, object] = MappingProxyType({})

    def call(
        self, script_name: ScriptName, params: Mapping[str, object], *, deadline_s: float = 120.0, retry: bool = False
    ) -> dict[str, object]:
        """As the base class, with these changes."""
        return {**super().call(script_name, params, deadline_s=deadline_s, retry=retry), **self.answers}


def test_a_certificate_without_its_key_is_no_success(lab: Lab, settings: Callable[..., SessionSettings]) -> None:
    """A server that imported it and has no key, or answers another thumbprint, is not believed."""
    farm, ca = lab(), TestCA.new("Public CA")
    with Altered(settings(farm)) as session:
        leaf = signed(ca, ask(farm, session)[0])
        for answers, code in (
            ({"outcome": "no_key"}, "no_private_key"),
            ({"thumbprint": "EF" * 20}, "read_back"),
            ({"outcome": "perhaps"}, "bad_answer"),
        ):
            session.answers = answers
            with pytest.raises(Rejected) as caught:
                complete_request(session, p7b(ca, leaf), tier=tier_of(farm))
            assert caught.value.code == code
            assert caught.value.remedy


def test_the_server_that_waits_is_found_by_the_key(lab: Lab, pool: Pool) -> None:
    """Of several servers with requests of one name the one is found whose key it is; afterwards the one that has it."""
    farm, ca = lab(servers=3), TestCA.new("Public CA")
    pools = [pool(farm, name) for name in farm.servers]
    requests = [ask(farm, one)[0] for one in pools]
    answers = [p7b(ca, signed(ca, request)) for request in requests]
    assert [request_holder(pools, answer) for answer in answers] == ["EX01", "EX02", "EX03"]
    complete_request(pools[1], answers[1], tier=tier_of(farm))
    assert request_holder(pools, answers[1]) == "EX02"


def test_nobody_waits_for_it(lab: Lab, pool: Pool) -> None:
    """A stranger's answer is told with what is pending instead, and where; a wrong file is refused before anybody is asked."""
    farm, ca = lab(servers=2), TestCA.new("Public CA")
    pools = [pool(farm, name) for name in farm.servers]
    pending = ask(farm, pools[1])[1]
    with pytest.raises(Rejected, match=f"{pending} on EX02 .{NAME}") as caught:
        request_holder(pools, ca.issue(HOSTS).public_pem())
    assert (caught.value.code, caught.value.where) == ("no_pending_request", "EX01, EX02")
    before = farm.servers["EX01"].state.winrm.requests
    with pytest.raises(CertificateError):
        request_holder(pools, b"not this one")
    assert farm.servers["EX01"].state.winrm.requests == before


def test_a_silent_server_matters_only_where_no_other_has_it(lab: Lab, pool: Pool) -> None:
    """One that does not answer may be the one that waits: that is told, and not that nobody waits."""
    farm, ca = lab(servers=2), TestCA.new("Public CA")
    pools = [pool(farm, "EX01"), pool(farm, "EX02", port=1)]
    answer = p7b(ca, signed(ca, ask(farm, pools[0])[0]))
    assert request_holder(pools, answer) == "EX01"
    with pytest.raises(Unreachable) as caught:
        request_holder(pools, ca.issue(HOSTS).public_pem())
    assert caught.value.where == "EX02"


def test_a_request_that_cannot_be_read_is_somebody_elses(lab: Lab, settings: Callable[..., SessionSettings]) -> None:
    """The REQUEST store holds what other programs put there; it is passed over."""
    farm, ca = lab(), TestCA.new("Public CA")
    with Altered(settings(farm)) as session:
        session.answers = {"requests": [{"thumbprint": "AB" * 20, "raw": "MAA="}]}
        with pytest.raises(Rejected, match=f"pending are: {'AB' * 20} on EX01\\.") as caught:
            request_holder([session], ca.issue(HOSTS).public_pem())
    assert caught.value.code == "no_pending_request"


@pytest.mark.parametrize("keeps", [False, True])
def test_the_next_request_has_a_key_of_its_own(lab: Lab, pool: Pool, keeps: bool) -> None:
    """A request that was answered is not handed out again, though its store should keep it."""
    farm, ca = lab(keeps_requests=keeps), TestCA.new("Public CA")
    session = pool(farm)
    request, _, _ = ask(farm, session)
    answer = p7b(ca, signed(ca, request))
    complete_request(session, answer, tier=tier_of(farm))
    again, _, already = ask(farm, session)
    assert not already
    assert again != request
    assert ask(farm, session)[0] == again
    assert complete_request(session, answer, tier=tier_of(farm))[1] is True
    assert complete_request(session, p7b(ca, signed(ca, again)), tier=tier_of(farm))[1] is False


def test_nothing_secret_is_logged(lab: Lab, pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    """No password and no certificate stands in any log line or command line of it."""
    caplog.set_level(logging.DEBUG)
    farm, ca = lab(), TestCA.new("Public CA")
    session = pool(farm)
    answer = p7b(ca, signed(ca, ask(farm, session)[0]))
    assert request_holder([session], answer) == "EX01"
    complete_request(session, answer, tier=tier_of(farm))
    told = caplog.text + "\n".join(farm.servers["EX01"].state.winrm.command_lines)
    assert farm.password not in told
    assert "MII" not in told
