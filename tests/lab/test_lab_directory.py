"""The directory behind the inner Exchange session, and what the service host makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lbsync.lab.farm import LabFarm, LabServer

Lab = Callable[..., LabFarm]
Remote = Callable[..., Any]
Inner = Callable[[LabFarm, LabServer], dict[str, object]]


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
    assert farm.state.changes.wait_for(lambda: all(iis.own_ssl_flags(rpc) == "None" for iis in servers), 30.0)
    assert servers[0].methods(rpc) == ("windows",)


def test_what_somebody_wrote_to_rpc_is_overwritten(lab: Lab) -> None:
    """Writing Rpc's sslFlags in IIS does not last: the service host brings back what AD holds."""
    farm = lab()
    iis = farm.servers["EX01"].state.iis
    iis.write_ssl_flags("Default Web Site/Rpc", "None")
    assert iis.own_ssl_flags("Default Web Site/Rpc") == "None"
    assert farm.state.changes.wait_for(lambda: iis.own_ssl_flags("Default Web Site/Rpc") == "Ssl, Ssl128", 30.0)


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
