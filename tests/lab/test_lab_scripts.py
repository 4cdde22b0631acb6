"""The models of the local scripts, asked over WinRM as the product asks them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509

from lbsync.lab import scripts
from lbsync.lab.farm import LabFarm, LabServer

Lab = Callable[..., LabFarm]
Remote = Callable[..., Any]
Inner = Callable[[LabFarm, LabServer], dict[str, object]]

OWA = "Default Web Site/owa"


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


def test_no_secret_on_the_command_line(lab: Lab, remote: Remote, inner: Inner) -> None:
    """What a command line shows is the bootstrap alone."""
    farm = lab()
    server = farm.servers["EX01"]
    remote(farm, server).result("farm-facts", {"exchange": inner(farm, server), "servers": []})
    lines = list(server.state.winrm.command_lines)
    assert len(lines) == 1
    assert farm.password not in lines[0]
    assert farm.password not in base64.b64decode(lines[0].split()[-1]).decode("utf-16-le")
