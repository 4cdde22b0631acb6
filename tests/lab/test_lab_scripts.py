"""The models of the scripts, asked over WinRM as the product asks them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from lbsync.lab import scripts
from lbsync.lab.farm import LabFarm, LabServer
from lbsync.lab.store import to_pfx

Lab = Callable[..., LabFarm]
Remote = Callable[..., Any]
Inner = Callable[[LabFarm, LabServer], dict[str, object]]

_OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303  .NET 4.5 knows no other
OWA = "Default Web Site/owa"


def _b64(number: int, size: int) -> str:
    return base64.b64encode(number.to_bytes(size, "big")).decode()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """The ephemeral key of a client."""
    return rsa.generate_private_key(65537, 3072)


def _public(key: rsa.RSAPrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {"modulus": _b64(numbers.n, 384), "exponent": _b64(numbers.e, 3)}


def test_every_script_of_the_package_has_a_model() -> None:
    """No script is shipped without a model, and no model without its script."""
    library = scripts.Library.shipped()
    assert set(library.names) == {*scripts.MODELS, scripts.BOOTSTRAP}


def test_server_facts(lab: Lab, remote: Remote) -> None:
    """One answer has version, configuration, effective values, bindings, pools, components and certificates."""
    farm = lab()
    facts = remote(farm, farm.servers["EX01"]).result("server-facts", {})
    assert (facts["server"], facts["fqdn"], facts["exsetup_version"]) == ("EX01", "ex01.contoso.test", "15.02.1258.038")
    assert (facts["setup_running"], facts["setup_incomplete"], facts["administrator"]) == (False, False, True)
    effective = {entry["location"]: entry for entry in facts["effective"]}
    assert effective[OWA] == {"location": OWA, "ssl_flags": "Ssl, Ssl128", "token_checking": "None"}
    assert len(effective) == 10
    leaf = farm.leaf.info.thumbprint
    front = [b for b in facts["bindings"] if b["site"] == "Default Web Site" and b["protocol"] == "https"]
    assert {b["information"]: b["thumbprint"] for b in front} == {":443:": leaf, "127.0.0.1:443:": leaf}
    back = [b["thumbprint"] for b in facts["bindings"] if b["information"] == "*:444:"]
    stored = {c["thumbprint"]: c for c in facts["certificates"]}
    assert set(stored) == {leaf, *back}
    assert x509.load_der_x509_certificate(base64.b64decode(stored[leaf]["raw"])) == farm.leaf.leaf
    assert {"component": "OwaProxy", "state": "Active"} in facts["components"]
    assert {"name": "MSExchangeOWAAppPool", "state": "Started"} in facts["pools"]
    assert facts["redirects"] == facts["rewrites"] == []


def test_server_facts_of_the_bad_cases(lab: Lab, remote: Remote) -> None:
    """The knobs show where a reader looks for them."""
    farm = lab(
        version="2013rtm",
        setup_running=("EX01",),
        setup_incomplete=("all",),
        not_exportable=("EX01",),
        client_certificates=("EX01",),
        drift=("EX01",),
        administrator=False,
    )
    server = farm.servers["EX01"]
    location = server.state.iis.locations["default web site"]
    location.redirect = "/owa"
    server.state.suppress_extended_protection = 1
    server.state.iis.locations[OWA.lower()].rewrite_rules = ("rule 1",)
    facts = remote(farm, server).result("server-facts", {})
    assert (facts["setup_version"], facts["setup_running"], facts["setup_incomplete"]) == ("15.0.516.32", True, True)
    assert (facts["administrator"], facts["suppress_extended_protection"]) == (False, 1)
    assert facts["redirects"] == [{"location": "Default Web Site", "destination": "/owa"}]
    assert facts["rewrites"] == [{"location": OWA, "name": "rule 1"}]
    effective = {entry["location"]: entry["ssl_flags"] for entry in facts["effective"]}
    assert effective[OWA] == "None"
    assert "SslNegotiateCert" in effective["Default Web Site/Microsoft-Server-ActiveSync"]
    assert "Default Web Site/mapi" not in effective
    assert [c["exportable"] for c in facts["certificates"]] == [False, True]


def test_require_ssl_is_written_recycled_and_read_back(lab: Lab, remote: Remote) -> None:
    """An own value is set and cleared again: after the way back the location inherits as before."""
    farm = lab()
    server = farm.servers["EX01"]
    before = server.state.iis.own_values()
    client = remote(farm, server)
    off = client.result(
        "set-require-ssl", {"changes": [{"location": OWA, "own": "None"}], "recycle": ["MSExchangeOWAAppPool"]}
    )
    assert off["vdirs"] == [{"location": OWA, "own": "None", "effective": "None"}]
    assert off["recycled"] == ["MSExchangeOWAAppPool"]
    assert server.state.iis.pools["msexchangeowaapppool"].recycles == 1
    back = client.result("set-require-ssl", {"changes": [{"location": OWA, "own": None}], "recycle": []})
    assert back["vdirs"] == [{"location": OWA, "own": None, "effective": "Ssl, Ssl128"}]
    assert server.state.iis.own_values() == before


def test_a_stopped_pool_is_not_recycled(lab: Lab, remote: Remote) -> None:
    """A pool that somebody stopped stays stopped."""
    farm = lab()
    server = farm.servers["EX01"]
    server.state.iis.pools["msexchangeowaapppool"].state = "Stopped"
    answer = remote(farm, server).result("set-require-ssl", {"changes": [], "recycle": ["MSExchangeOWAAppPool"]})
    assert (answer["recycled"], answer["pools"]) == ([], [{"name": "MSExchangeOWAAppPool", "state": "Stopped"}])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"changes": [{"location": "Default Web Site/Rpc", "own": "None"}]}, "refused: Default Web Site/Rpc"),
        ({"changes": [{"location": "Exchange Back End/owa", "own": "None"}]}, "refused: Exchange Back End/owa"),
        ({"changes": [{"location": "Default Web Site/nothing", "own": "None"}]}, "there is no"),
        ({"changes": [], "recycle": ["NoPool"]}, "Cannot find path"),
        ({"changes": "x"}, "argument transformation"),
        ({"changes": ["x"]}, "argument transformation"),
    ],
)
def test_what_may_not_be_written(lab: Lab, remote: Remote, params: dict[str, object], message: str) -> None:
    """Rpc, the back end and what does not exist are refused with an error."""
    farm = lab()
    assert message in remote(farm, farm.servers["EX01"]).error("set-require-ssl", params)["message"]


def test_without_administrator_rights_nothing_is_written(lab: Lab, remote: Remote) -> None:
    """IIS does not let others read its redirection.config."""
    farm = lab(administrator=False)
    error = remote(farm, farm.servers["EX01"]).error("set-require-ssl", {"changes": [{"location": OWA, "own": "None"}]})
    assert error["fqid"].startswith("System.UnauthorizedAccessException")


def test_farm_facts(lab: Lab, remote: Remote, inner: Inner) -> None:
    """Outlook Anywhere, MRSProxy, OAuth and certificates of every server named."""
    farm = lab(servers=2, hybrid=True, expired=("EX02",))
    server = farm.servers["EX01"]
    facts = remote(farm, server).result("farm-facts", {"exchange": inner(farm, server), "servers": ["EX01", "EX02"]})
    assert [entry["server"] for entry in facts["outlook_anywhere"]] == ["EX01", "EX02"]
    assert facts["outlook_anywhere"][0]["iis_authentication"] == ["Basic", "Ntlm", "Negotiate"]
    assert facts["mrsproxy"] == [{"server": "EX01", "enabled": True}, {"server": "EX02", "enabled": True}]
    assert facts["oauth"] == {
        "oauth2_client_profile_enabled": False,
        "evosts_is_default": False,
        "hybrid_configuration": True,
    }
    statuses = {(c["server"], c["status"]) for c in facts["certificates"] if "IIS" in c["services"]}
    assert statuses == {("EX01", "Valid"), ("EX02", "DateInvalid")}
    assert facts["missing_cmdlets"] == []


def test_farm_facts_without_rights(lab: Lab, remote: Remote, inner: Inner) -> None:
    """What the roles do not offer is named, and its part is empty; changing is refused."""
    farm = lab(missing_cmdlets=("Get-OutlookAnywhere", "Get-ExchangeCertificate"))
    server = farm.servers["EX01"]
    client, exchange = remote(farm, server), inner(farm, server)
    facts = client.result("farm-facts", {"exchange": exchange, "servers": ["EX01"]})
    assert facts["missing_cmdlets"] == ["Get-OutlookAnywhere", "Get-ExchangeCertificate"]
    assert facts["outlook_anywhere"] == facts["certificates"] == []
    error = client.error("set-outlook-anywhere", {"exchange": exchange, "settings": []})
    assert "no right to run Get-OutlookAnywhere" in error["message"]
    user, password = farm.reader
    facts = client.result("farm-facts", {"exchange": exchange | {"user": user, "password": password}, "servers": []})
    assert len(facts["missing_cmdlets"]) == 11


@pytest.mark.parametrize(
    ("changed", "fqid"),
    [
        ({"password": "wrong"}, "LogonFailure,PSSessionOpenFailed"),
        ({"user": None, "password": None}, "1312,PSSessionOpenFailed"),
        ({"server": "elsewhere"}, "CannotConnect,PSSessionOpenFailed"),
    ],
)
def test_the_inner_session_fails(lab: Lab, remote: Remote, inner: Inner, changed: dict[str, object], fqid: str) -> None:
    """A wrong password, a logon without a second hop, and an unknown server each fail in their way."""
    farm = lab()
    server = farm.servers["EX01"]
    exchange = inner(farm, server) | changed
    error = remote(farm, server).error("farm-facts", {"exchange": exchange, "servers": ["EX01"]})
    assert (error["fqid"], error["category"]) == (fqid, "OpenError")
    assert farm.state.accounts.wrong["lbsync"] == (1 if "wrong" in changed.values() else 0)


def test_a_server_nobody_knows(lab: Lab, remote: Remote, inner: Inner) -> None:
    """Asking for a server that is not in AD is an error with its name."""
    farm = lab()
    server = farm.servers["EX01"]
    error = remote(farm, server).error("farm-facts", {"exchange": inner(farm, server), "servers": ["EX99"]})
    assert "EX99" in error["message"]


def test_outlook_anywhere_reaches_iis_later(lab: Lab, remote: Remote, inner: Inner) -> None:
    """AD shows it at once, IIS of each server within the lag, and authentication with it."""
    farm = lab(servers=2)
    server = farm.servers["EX01"]
    settings = [
        {"server": name, "ssl_offloading": True, "internal_hostname": None, "iis_authentication": ["Ntlm"]}
        for name in ("EX01", "EX02")
    ]
    answer = remote(farm, server).result(
        "set-outlook-anywhere", {"exchange": inner(farm, server), "settings": settings}
    )
    assert [(o["ssl_offloading"], o["internal_hostname"]) for o in answer["outlook_anywhere"]] == [(True, None)] * 2
    rpc = "Default Web Site/Rpc"
    servers = [s.state.iis for s in farm.servers.values()]
    assert farm.state.changes.wait_for(lambda: all(iis.own_ssl_flags(rpc) == "None" for iis in servers), 5.0)
    assert servers[0].methods(rpc) == ("windows",)


def test_what_somebody_wrote_to_rpc_is_overwritten(lab: Lab) -> None:
    """Writing Rpc's sslFlags in IIS does not last: the service host brings back what AD holds."""
    farm = lab()
    iis = farm.servers["EX01"].state.iis
    iis.write_ssl_flags("Default Web Site/Rpc", "None")
    assert iis.own_ssl_flags("Default Web Site/Rpc") == "None"
    assert farm.state.changes.wait_for(lambda: iis.own_ssl_flags("Default Web Site/Rpc") == "Ssl, Ssl128", 5.0)


def test_offloading_is_demanded_where_ssl_is_not(lab: Lab, remote: Remote, inner: Inner) -> None:
    """SSLOffloading must be true while either RequireSsl is false; off again needs all three."""
    farm = lab(oa_offloaded=True)
    server = farm.servers["EX01"]
    client, exchange = remote(farm, server), inner(farm, server)
    half = {"exchange": exchange, "settings": [{"server": "EX01", "ssl_offloading": False}]}
    assert client.error("set-outlook-anywhere", half)["category"] == "InvalidOperation"
    whole = {
        "server": "EX01",
        "ssl_offloading": False,
        "internal_clients_require_ssl": True,
        "external_clients_require_ssl": True,
    }
    answer = client.result("set-outlook-anywhere", {"exchange": exchange, "settings": [whole]})
    assert answer["outlook_anywhere"][0]["ssl_offloading"] is False
    wrong = {"exchange": exchange, "settings": [{"server": "EX01", "ssl_offloading": "yes"}]}
    assert client.error("set-outlook-anywhere", wrong)["category"] == "InvalidData"


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


def test_no_secret_on_the_command_line(lab: Lab, remote: Remote, inner: Inner) -> None:
    """What a command line shows is the bootstrap alone."""
    farm = lab()
    server = farm.servers["EX01"]
    remote(farm, server).result("farm-facts", {"exchange": inner(farm, server), "servers": []})
    lines = list(server.state.winrm.command_lines)
    assert len(lines) == 1
    assert farm.password not in lines[0]
    assert farm.password not in base64.b64decode(lines[0].split()[-1]).decode("utf-16-le")
