"""Certificates come and go by the scripts as Exchange lets them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from lbsync.lab.farm import LabFarm, LabServer
from lbsync.lab.store import StoredEntry, to_pfx
from lbsync.testing.ca import TestCA
from lbsync_certs.bundle import assemble

Lab = Callable[..., LabFarm]
Remote = Callable[..., Any]
Inner = Callable[[LabFarm, LabServer], dict[str, object]]

_OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303  .NET 4.5 knows no other


def _der(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def _b64(number: int, size: int) -> str:
    return base64.b64encode(number.to_bytes(size, "big")).decode()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """The ephemeral key of a client."""
    return rsa.generate_private_key(65537, 3072)


def _public(key: rsa.RSAPrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {"modulus": _b64(numbers.n, 384), "exponent": _b64(numbers.e, 3)}


@pytest.mark.parametrize("old", [True, False])
def test_export(lab: Lab, remote: Remote, inner: Inner, key: rsa.RSAPrivateKey, old: bool) -> None:
    """The PFX opens with the password wrapped for the caller's key, and holds key and chain, both ways of the cmdlets."""
    farm = lab(old_pfx=old)
    server = farm.servers["EX01"]
    params: dict[str, object] = {"thumbprint": farm.leaf.info.thumbprint, **_public(key)}
    client = remote(farm, server)
    for name, more in (
        ("export-certificate", {"exchange": inner(farm, server), "server": "EX01"}),
        ("export-certificate-store", {}),
    ):
        answer = client.result(name, params | more)
        password = key.decrypt(base64.b64decode(answer["key"]), _OAEP)
        content = load_pkcs12(base64.b64decode(answer["pfx"]), password)
        assert content.cert is not None
        assert content.key is not None
        assert content.cert.certificate == farm.leaf.leaf
        assert len(content.additional_certs) == 1
        assert len(base64.b64decode(password)) == 32


def test_export_of_what_cannot_be_exported(lab: Lab, remote: Remote, inner: Inner, key: rsa.RSAPrivateKey) -> None:
    """A key that is not exportable and a thumbprint nobody has give Exchange's own texts."""
    farm = lab(not_exportable=("EX01",))
    server = farm.servers["EX01"]
    client = remote(farm, server)
    cmdlet: dict[str, object] = {"exchange": inner(farm, server), "server": "EX01", **_public(key)}
    leaf = farm.leaf.info.thumbprint
    error = client.error("export-certificate", cmdlet | {"thumbprint": leaf})
    assert error["message"] == (
        "A special Rpc error occurs on server EX01: The private key couldn't be exported as PKCS-12. "
        "It either couldn't be accessed or isn't exportable."
    )
    assert error["category"] == "InvalidOperation"
    error = client.error("export-certificate", cmdlet | {"thumbprint": "AB" * 20})
    assert error["message"].endswith(f"The certificate with thumbprint {'AB' * 20} was not found.")
    error = client.error("export-certificate", cmdlet | {"thumbprint": leaf, "server": "EX77"})
    assert "EX77" in error["message"]
    store = {**_public(key), "thumbprint": leaf}
    assert client.error("export-certificate-store", store)["fqid"] == "CryptographicException"
    missing = {**_public(key), "thumbprint": "AB" * 20}
    assert client.error("export-certificate-store", missing)["category"] == "OperationStopped"
    broken = {"thumbprint": leaf, "modulus": "?", "exponent": "AQAB"}
    assert client.error("export-certificate-store", broken)["category"] == "InvalidData"


def _imported(farm: LabFarm, server: LabServer, client: Any, exchange: dict[str, object], password: bytes) -> Any:
    container = "lbsync-00000000-0000-0000-0000-000000000001"
    public = client.result("wrap-key", {"container": container})
    numbers = rsa.RSAPublicNumbers(
        int.from_bytes(base64.b64decode(public["exponent"]), "big"),
        int.from_bytes(base64.b64decode(public["modulus"]), "big"),
    )
    renewed = farm.ca.issue([server.fqdn, *farm.spec.hosts])
    pfx = to_pfx(renewed, b"secret", old=False)
    params = {
        "exchange": exchange,
        "server": server.name,
        "thumbprint": renewed.info.thumbprint,
        "container": container,
        "pfx": base64.b64encode(pfx).decode(),
        "key": base64.b64encode(numbers.public_key().encrypt(password, _OAEP)).decode(),
    }
    return renewed, params, client.run("import-certificate", params)


def test_import_and_enable(lab: Lab, remote: Remote, inner: Inner) -> None:
    """A certificate comes in with a wrapped password, exportable, and is served once enabled; Require SSL stays."""
    farm = lab()
    server = farm.servers["EX01"]
    client, exchange = remote(farm, server), inner(farm, server)
    renewed, params, answer = _imported(farm, server, client, exchange, b"secret")
    assert answer["result"] == {"thumbprint": renewed.info.thumbprint, "already": False}
    assert server.state.containers == {}
    assert server.state.store.entries[renewed.info.thumbprint].exportable
    client.result("wrap-key", {"container": params["container"]})
    again = client.result("import-certificate", params)
    assert again == {"thumbprint": renewed.info.thumbprint, "already": True}
    before = server.state.iis.own_values()
    enable = {"exchange": exchange, "server": "EX01", "thumbprint": renewed.info.thumbprint}
    bindings = client.result("enable-certificate", enable)["bindings"]
    assert {b["thumbprint"] for b in bindings if b["information"] == ":443:"} == {renewed.info.thumbprint}
    assert server.state.iis.bound == renewed.info.thumbprint
    assert server.state.iis.own_values() == before
    unknown = enable | {"thumbprint": "AB" * 20}
    assert "was not found" in client.error("enable-certificate", unknown)["message"]


def test_import_with_a_wrong_password(lab: Lab, remote: Remote, inner: Inner) -> None:
    """The wrong password is told as Exchange tells it, and the container is gone anyway."""
    farm = lab()
    server = farm.servers["EX01"]
    client, exchange = remote(farm, server), inner(farm, server)
    _renewed, params, answer = _imported(farm, server, client, exchange, b"wrong")
    expected = "The source data cannot be imported or the wrong password was specified."
    assert answer["error"]["message"].endswith(expected)
    assert server.state.containers == {}
    assert client.error("import-certificate", params)["fqid"] == "CryptographicException"
    assert client.error("wrap-key", {"container": "other"})["category"] == "OperationStopped"


def test_a_request_waits_for_its_certificate(lab: Lab, remote: Remote, inner: Inner, key: rsa.RSAPrivateKey) -> None:
    """A new request is pending, found again by its friendly name, and exports as PKCS#10."""
    farm = lab()
    server = farm.servers["EX01"]
    client, exchange = remote(farm, server), inner(farm, server)
    params = {
        "exchange": exchange,
        "server": "EX01",
        "subject": "CN=mail.contoso.test",
        "domains": ["mail.contoso.test", "autodiscover.contoso.test"],
        "key_size": 2048,
        "friendly_name": "lbsync-x",
    }
    first = client.result("new-certificate-request", params)
    second = client.result("new-certificate-request", params)
    assert (first["already"], second["already"]) == (False, True)
    assert first["thumbprint"] == second["thumbprint"]
    body = base64.b64decode("".join(first["request"].splitlines()[1:-1]))
    request = x509.load_der_x509_csr(body)
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mail.contoso.test", "autodiscover.contoso.test"]
    listed = client.result("farm-facts", {"exchange": exchange, "servers": ["EX01"]})["certificates"]
    assert {c["status"] for c in listed if c["thumbprint"] == first["thumbprint"]} == {"PendingRequest"}
    assert first["thumbprint"] not in [c["thumbprint"] for c in client.result("server-facts", {})["certificates"]]
    export = {"exchange": exchange, "server": "EX01", "thumbprint": first["thumbprint"], **_public(key)}
    assert base64.b64decode(client.result("export-certificate", export)["pfx"]) == body
    enable = {"exchange": exchange, "server": "EX01", "thumbprint": first["thumbprint"]}
    assert "PrivateKeyMissing" in client.error("enable-certificate", enable)["message"]
    wrong = params | {"friendly_name": "y", "key_size": "big"}
    assert client.error("new-certificate-request", wrong)["category"] == "InvalidData"


def test_an_answer_takes_the_place_of_its_request(lab: Lab, remote: Remote, inner: Inner) -> None:
    """The answer for a pending key is imported with that key; what matches none is not; its chain is served and exported."""
    farm = lab()
    server = farm.servers["EX01"]
    client, exchange = remote(farm, server), inner(farm, server)
    where = {"exchange": exchange, "server": "EX01"}
    asked = {
        "subject": "CN=mail.contoso.test",
        "domains": ["mail.contoso.test"],
        "key_size": 2048,
        "friendly_name": "x",
    }
    pending = client.result("new-certificate-request", where | asked)["thumbprint"]
    waiting = server.state.store.entries[pending].bundle.key
    assert isinstance(waiting, rsa.RSAPrivateKey)
    answer, stranger = farm.ca.issue(["mail.contoso.test"], private_key=waiting), farm.ca.issue(["mail.contoso.test"])
    leaf = {"leaf": _der(answer.leaf), "intermediates": [_der(above) for above in answer.chain]}
    look = {"thumbprint": answer.thumbprint}

    refused = client.result("complete-certificate-request", where | {"leaf": _der(stranger.leaf), "intermediates": []})
    assert refused == {"thumbprint": stranger.thumbprint, "outcome": "no_request"}
    before = client.result("certificate-requests", look)
    assert (before["present"], [one["thumbprint"] for one in before["requests"]]) == (False, [pending])
    done = client.result("complete-certificate-request", where | leaf)
    assert done == {"thumbprint": answer.thumbprint, "outcome": "completed"}
    assert client.result("complete-certificate-request", where | leaf)["outcome"] == "already"
    assert client.result("certificate-requests", look) == {"present": True, "requests": []}
    assert server.state.store.entries[answer.thumbprint].bundle == answer
    client.result("enable-certificate", where | look)
    assert server.state.iis.bound == answer.thumbprint


def test_an_answer_that_ended_and_one_that_is_none(lab: Lab, remote: Remote, inner: Inner) -> None:
    """Exchange takes an expired certificate and shows it as DateInvalid; bytes that are no certificate are an error."""
    farm = lab(keeps_requests=True)
    server = farm.servers["EX01"]
    client, exchange = remote(farm, server), inner(farm, server)
    where = {"exchange": exchange, "server": "EX01", "intermediates": []}
    asked = {
        "subject": "CN=mail.contoso.test",
        "domains": ["mail.contoso.test"],
        "key_size": 2048,
        "friendly_name": "x",
    }
    pending = client.result("new-certificate-request", where | asked)["thumbprint"]
    waiting = server.state.store.entries[pending].bundle.key
    assert isinstance(waiting, rsa.RSAPrivateKey)
    old = farm.ca.issue(["mail.contoso.test"], private_key=waiting, not_before=datetime(2020, 1, 1, tzinfo=UTC))
    assert client.result("complete-certificate-request", where | {"leaf": _der(old.leaf)})["outcome"] == "completed"
    assert server.state.store.entries[old.thumbprint].status == "DateInvalid"
    assert server.state.store.entries[pending].pending, "a knob: the request stays"
    assert client.error("complete-certificate-request", where | {"leaf": "MAA="})["category"] == "InvalidOperation"
    wrong = where | {"leaf": _der(old.leaf), "intermediates": ["?"]}
    assert client.error("complete-certificate-request", wrong)["category"] == "InvalidData"


def test_a_cmdlet_pointed_at_another_server_is_found_out(lab: Lab, remote: Remote, inner: Inner) -> None:
    """Import-ExchangeCertificate works on -Server: where that is another machine the key is not here, which is told."""
    farm = lab(servers=2)
    server = farm.servers["EX01"]
    client, exchange = remote(farm, server), inner(farm, server)
    asked = {
        "subject": "CN=mail.contoso.test",
        "domains": ["mail.contoso.test"],
        "key_size": 2048,
        "friendly_name": "x",
    }
    here = {"exchange": exchange, "server": "EX01"}
    pending = client.result("new-certificate-request", here | asked)["thumbprint"]
    waiting = server.state.store.entries[pending].bundle.key
    assert isinstance(waiting, rsa.RSAPrivateKey)
    answer = farm.ca.issue(["mail.contoso.test"], private_key=waiting)
    there = here | {"server": "EX02", "leaf": _der(answer.leaf), "intermediates": []}
    assert client.result("complete-certificate-request", there)["outcome"] == "no_key"


def test_an_intermediate_of_another_key_is_none(lab: Lab) -> None:
    """A store that holds last year's intermediate of the same name still takes the certificate, without a chain."""
    store = lab().servers["EX01"].state.store
    old, new = TestCA.new(), TestCA.new()
    store.add_authorities([old.issuer.certificate])
    leaf = new.issue(["mail.contoso.test"], key="ec256")
    alone = assemble(leaf.key, [leaf.leaf])
    store.add(StoredEntry(alone))
    assert store.entries[leaf.thumbprint].bundle.chain == ()
    store.add_authorities([new.issuer.certificate])
    assert store.entries[leaf.thumbprint].bundle == leaf
