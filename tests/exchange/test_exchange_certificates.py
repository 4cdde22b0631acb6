"""Certificates with their keys: out of a server, into a server, and nothing of them anywhere else."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

import pytest
from cryptography import x509

from lbsync.changes import EnableCertificate, ImportCertificate
from lbsync.errors import CertificateError, ConfigError, Denied, Rejected
from lbsync.exchange import certificates
from lbsync.exchange.facts import server_facts
from lbsync.exchange.scripts import ScriptName
from lbsync.exchange.session import SessionPool, SessionSettings
from lbsync.exchange.tier import NO_EXCHANGE, ExchangeTier
from lbsync.facts import ServerFacts
from lbsync.lab.farm import LabFarm
from lbsync.lab.faults import Fault
from lbsync_certs import Thumbprint

Lab = Callable[..., LabFarm]
Pool = Callable[..., SessionPool]


def tier_of(farm: LabFarm) -> ExchangeTier:
    """Explicit credentials of the lab's administrator."""
    return ExchangeTier(user=farm.user, password=lambda: farm.password)


def facts_of(pool: SessionPool) -> ServerFacts:
    """What server-facts tells of a server."""
    return server_facts(pool.call("server-facts", {}), name=pool.name)


def test_export_by_exchange(lab: Lab, pool: Pool) -> None:
    """The bundle has the leaf asked for, its chain and the key that matches; the store's fallback is not used."""
    farm = lab()
    bundle = certificates.export(pool(farm), farm.leaf.thumbprint, tier=tier_of(farm))
    assert bundle == farm.leaf
    assert bundle.pem() == farm.leaf.pem()
    assert farm.servers["EX01"].state.winrm.scripts == {"export-certificate.ps1": 1}
    assert farm.servers["EX01"].state.winrm.requests <= 9


def test_export_from_the_store(lab: Lab, pool: Pool) -> None:
    """Without Exchange cmdlets the machine's store gives it."""
    farm = lab()
    assert certificates.export(pool(farm), farm.leaf.thumbprint, tier=NO_EXCHANGE) == farm.leaf
    assert farm.servers["EX01"].state.winrm.scripts == {"export-certificate-store.ps1": 1}


def test_the_store_is_the_fallback(lab: Lab, pool: Pool) -> None:
    """An account without the cmdlet still exports, from the store."""
    farm = lab(missing_cmdlets=("Export-ExchangeCertificate",))
    assert certificates.export(pool(farm), farm.leaf.thumbprint, tier=tier_of(farm)) == farm.leaf


def test_a_newer_windows_writes_another_pfx(lab: Lab, pool: Pool) -> None:
    """AES files open like the old 3DES ones."""
    farm = lab(old_pfx=False)
    assert certificates.export(pool(farm), farm.leaf.thumbprint, tier=tier_of(farm)) == farm.leaf


def test_a_key_that_is_not_exportable(lab: Lab, pool: Pool) -> None:
    """Both ways fail: one error that tells what each said and what can be done."""
    farm = lab(not_exportable=("EX01",))
    with pytest.raises(CertificateError, match=r"exportable.*Key not valid for use") as caught:
        certificates.export(pool(farm), farm.leaf.thumbprint, tier=tier_of(farm))
    assert caught.value.code == "export_failed"
    assert "-PrivateKeyExportable $true" in caught.value.remedy
    assert caught.value.where == "EX01"


def test_a_certificate_that_is_not_there(lab: Lab, pool: Pool) -> None:
    """A thumbprint the server does not know is told with it."""
    with pytest.raises(CertificateError, match="AB" * 20):
        certificates.export(pool(lab()), Thumbprint("AB" * 20))


def test_a_rejected_inner_login_is_not_tried_another_way(lab: Lab, pool: Pool) -> None:
    """Exchange's session rejects the password: Denied at once, the store is not asked."""
    farm = lab()
    with pytest.raises(Denied):
        certificates.export(
            pool(farm), farm.leaf.thumbprint, tier=ExchangeTier(user=farm.user, password=lambda: "wrong")
        )
    assert farm.servers["EX01"].state.winrm.scripts == {"export-certificate.ps1": 1}


class Altered(SessionPool):
    """A session whose server does something else than it was asked: parameters or answer are changed on the way."""

    asks: Mapping[str, object] = MappingProxyType({})
    answers: Mapping[str, object] = MappingProxyType({})

    def call(
        self, script_name: ScriptName, params: Mapping[str, object], *, deadline_s: float = 120.0, retry: bool = False
    ) -> dict[str, object]:
        """As the base class, with these changes."""
        answer = super().call(script_name, {**params, **self.asks}, deadline_s=deadline_s, retry=retry)
        return {**answer, **self.answers}


def test_another_certificate_is_not_taken(lab: Lab, settings: Callable[..., SessionSettings]) -> None:
    """What comes out is compared with what was asked for: several certificates may share a subject."""
    farm = lab()
    other = farm.ca.issue(["mail.contoso.test"])
    with Altered(settings(farm)) as session:
        certificates.import_bundle(session, other, tier=tier_of(farm))
        session.asks = {"thumbprint": other.thumbprint}
        with pytest.raises(CertificateError) as caught:
            certificates.export(session, farm.leaf.thumbprint)
    assert caught.value.code == "thumbprint_mismatch"


def test_a_pfx_that_does_not_open(lab: Lab, settings: Callable[..., SessionSettings]) -> None:
    """Bytes that are no PFX are a CertificateError with the reason of lbsync_certs."""
    farm = lab()
    with Altered(settings(farm)) as session:
        session.answers = {"pfx": base64.b64encode(b"nothing").decode()}
        with pytest.raises(CertificateError) as caught:
            certificates.export(session, farm.leaf.thumbprint)
    assert caught.value.code == "not_pfx"
    assert caught.value.__context__ is None


def test_an_import_that_answers_another_thumbprint(lab: Lab, settings: Callable[..., SessionSettings]) -> None:
    """A server that says it imported something else is not believed."""
    farm = lab()
    with Altered(settings(farm)) as session:
        session.answers = {"thumbprint": "EF" * 20}
        with pytest.raises(Rejected, match="EF" * 20) as caught:
            certificates.import_bundle(session, farm.ca.issue(["new.contoso.test"]), tier=tier_of(farm))
    assert caught.value.code == "read_back"


def test_import_is_exportable_again(lab: Lab, pool: Pool) -> None:
    """What was imported can be exported: a bundle makes the round through a server unchanged."""
    farm = lab()
    session = pool(farm)
    bundle = farm.ca.issue(["new.contoso.test"])
    assert certificates.import_bundle(session, bundle, tier=tier_of(farm)) == (bundle.thumbprint, False)
    assert certificates.import_bundle(session, bundle, tier=tier_of(farm)) == (bundle.thumbprint, True)
    assert certificates.export(session, bundle.thumbprint, tier=tier_of(farm)).pem() == bundle.pem()
    assert farm.servers["EX01"].state.containers == {}


@pytest.mark.parametrize("at", [3, 8])
def test_an_import_whose_answer_is_lost(lab: Lab, pool: Pool, at: int) -> None:
    """The answer of wrap-key or of the import gets lost: it is done again, and the certificate is there once."""
    farm = lab()
    session = pool(farm)
    session.prove()
    bundle = farm.ca.issue(["new.contoso.test"])
    farm.servers["EX01"].faults.script(*[None] * at, Fault.DROP_AFTER)
    thumbprint, _ = certificates.import_bundle(session, bundle, tier=tier_of(farm))
    assert facts_of(session).certificate(thumbprint) is not None


def test_import_needs_exchange(lab: Lab, pool: Pool) -> None:
    """Without the Exchange tier nothing is sent."""
    farm = lab()
    with pytest.raises(ConfigError):
        certificates.import_bundle(pool(farm), farm.leaf, tier=NO_EXCHANGE)
    assert farm.servers["EX01"].state.winrm.requests == 0


def test_enable_binds_iis_and_nothing_else(lab: Lab, pool: Pool) -> None:
    """The front end's 443 serves it, the back end keeps its own, Require SSL is as before."""
    farm = lab()
    session = pool(farm)
    before = facts_of(session)
    bundle = farm.ca.issue(["new.contoso.test"])
    certificates.import_bundle(session, bundle, tier=tier_of(farm))
    bindings = certificates.enable(session, bundle.thumbprint, tier=tier_of(farm)).bindings
    assert {b.thumbprint for b in bindings if b.site == "Default Web Site" and b.protocol == "https"} == {
        bundle.thumbprint
    }
    after = facts_of(session)
    assert after.vdirs == before.vdirs
    leaf = after.front_end_leaf
    assert leaf is not None
    assert leaf.info.fingerprint == bundle.fingerprint
    back = {b.thumbprint for b in after.bindings if b.site == "Exchange Back End"}
    assert back == {b.thumbprint for b in before.bindings if b.site == "Exchange Back End"}


def test_enable_of_a_stranger_is_rejected(lab: Lab, pool: Pool) -> None:
    """A certificate that is not in the store cannot be bound."""
    farm = lab()
    with pytest.raises(Rejected, match="was not found"):
        certificates.enable(pool(farm), Thumbprint("CD" * 20), tier=tier_of(farm))


def test_a_request_is_found_again(lab: Lab, pool: Pool) -> None:
    """The same friendly name gives the same pending request; it is PKCS#10 for the names asked for."""
    farm = lab()
    session = pool(farm)

    def ask() -> tuple[str, Thumbprint | None, bool]:
        return certificates.request(
            session,
            tier=tier_of(farm),
            subject="CN=mail.contoso.test",
            domains=["mail.contoso.test", "autodiscover.contoso.test"],
            friendly_name="lbsync-2f6d3c1e-0000-4000-8000-000000000001",
        )

    text, thumbprint, already = ask()
    assert not already
    pem = text.replace("NEW CERTIFICATE", "CERTIFICATE").encode()
    names = x509.load_pem_x509_csr(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mail.contoso.test", "autodiscover.contoso.test"]
    assert ask() == (text, thumbprint, True)


def test_what_members_need(lab: Lab, pool: Pool) -> None:
    """Distribution: nothing for who serves it, enabling for who has it, import and enabling for the others."""
    farm = lab(servers=3)
    pools = {name: pool(farm, name) for name in farm.servers}
    new = farm.ca.issue(["mail.contoso.test"])
    certificates.import_bundle(pools["EX01"], new, tier=tier_of(farm))
    certificates.enable(pools["EX01"], new.thumbprint, tier=tier_of(farm))
    certificates.import_bundle(pools["EX02"], new, tier=tier_of(farm))
    enabling = EnableCertificate(before=farm.leaf.thumbprint, after=new.thumbprint)
    assert certificates.distribution(new.info, [facts_of(one) for one in pools.values()]) == {
        "EX02": (enabling,),
        "EX03": (ImportCertificate(leaf=new.fingerprint, thumbprint=new.thumbprint), enabling),
    }
    bare = facts_of(pools["EX03"]).model_copy(update={"bindings": ()})
    assert certificates.distribution(new.info, [bare])["EX03"][-1] == EnableCertificate(
        before=None, after=new.thumbprint
    )


def test_no_key_and_no_password_is_logged(lab: Lab, pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the key nor a PFX nor its password stands in any log line or command line of an export and an import."""
    caplog.set_level(logging.DEBUG)
    farm = lab()
    session = pool(farm)
    bundle = certificates.export(session, farm.leaf.thumbprint, tier=tier_of(farm))
    certificates.import_bundle(session, farm.ca.issue(["new.contoso.test"]), tier=tier_of(farm))
    told = caplog.text + "\n".join(farm.servers["EX01"].state.winrm.command_lines)
    key = bundle.pem().split(b"PRIVATE KEY-----")[1].decode().split()
    assert [line for line in key[1:-1] if line in told] == []
    assert farm.password not in told
    assert "MII" not in told
