"""From the scripts' JSON to facts: right where it is right, one clear word where it is not."""

from __future__ import annotations

import base64
import copy
import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, parse

import pytest

from lbsync.errors import Rejected
from lbsync.exchange.facts import farm_facts, server_facts, with_exchange
from lbsync.exchange.version import normal_version
from lbsync.facts import ServerFacts, TokenChecking
from lbsync.services import FRONT_END_SITE, SERVICES, Service
from lbsync.testing.ca import TestCA
from lbsync_certs.info import describe, load_der

CLIXML = "{http://schemas.microsoft.com/powershell/2004/04}"
SSL = "Ssl, Ssl128"

Answer = dict[str, Any]


def elements(path: Path, tag: str, name: str) -> list[Element]:
    """The elements of a CLIXML file with this tag and property name."""
    root = parse(path).getroot()  # noqa: S314  captured data of a public repository, read in place
    return [node for node in root.iter(f"{CLIXML}{tag}") if node.get("N") == name]


@pytest.fixture
def answer(exchange_data: Path) -> Answer:
    """What server-facts would answer on the captured Exchange 2019 server with Extended Protection off."""
    config = (exchange_data / "e19_applicationHost_EPoff.config").read_text(encoding="utf-8-sig")
    locations = [FRONT_END_SITE, *dict.fromkeys(spec.location for spec in SERVICES.values())]
    raw = elements(exchange_data / "e16_GetExchangeCertificate.xml", "BA", "RawData")
    certificates: list[dict[str, Any]] = []
    for node in raw:
        der = base64.b64decode(node.text or "")
        certificates.append(
            {
                "thumbprint": describe(load_der(der)).thumbprint,
                "raw": base64.b64encode(der).decode(),
                "has_private_key": True,
                "exportable": None,
            }
        )
    leaf = certificates[0]["thumbprint"]
    return {
        "server": "EX01",
        "fqdn": "EX01.contoso.test",
        "setup_version": "15.2.986.5",
        "exsetup_version": "15.02.0986.029",
        "setup_running": False,
        "setup_incomplete": False,
        "administrator": True,
        "suppress_extended_protection": 0,
        "config": config,
        "effective": [
            {
                "location": place,
                "ssl_flags": "None" if place.endswith("/Rpc") else "Ssl,Ssl128",
                "token_checking": "None",
            }
            for place in locations
        ],
        "redirects": [{"location": "default web site", "destination": "/owa"}],
        "rewrites": [{"location": "Default Web Site/OWA", "name": "rule 1"}],
        "bindings": [
            {"site": FRONT_END_SITE, "protocol": "http", "information": "*:80:", "thumbprint": None},
            {"site": FRONT_END_SITE, "protocol": "https", "information": ":443:", "thumbprint": leaf.lower()},
            {"site": FRONT_END_SITE, "protocol": "https", "information": "[::1]:443:mail", "thumbprint": leaf},
            {"site": FRONT_END_SITE, "protocol": "net.pipe", "information": "*", "thumbprint": None},
        ],
        "pools": [{"name": "MSExchangeOWAAppPool", "state": "Started"}],
        "components": [{"component": "OwaProxy", "state": "Active"}],
        "certificates": certificates,
    }


def test_a_server_is_read_whole(answer: Answer) -> None:
    """Versions, directories, bindings, certificates and live states of one server, without a problem."""
    facts = server_facts(answer, name="EX01")
    assert (facts.version, facts.build, facts.problems) == ("15.2.986.5", "15.2.986.29", ())
    owa = facts.vdir(Service.OWA)
    assert owa is not None
    assert (owa.own_ssl_flags, owa.ssl_flags, owa.pool) == (None, SSL, "MSExchangeOWAAppPool")
    assert (owa.rewrite_rules, owa.token_checking) == (("rule 1",), TokenChecking.NONE)
    ews = facts.vdir(Service.MRSPROXY)
    assert ews is not None
    assert ews.services == (Service.EWS, Service.MRSPROXY)
    assert facts.live.pools == {"MSExchangeOWAAppPool": "Started"}
    assert facts.live.components == {"OwaProxy": "Active"}
    assert facts.front_end_leaf == facts.certificates[0]


def test_the_root_and_the_children_are_there_too(answer: Answer) -> None:
    """Every application of the front end is a fact, in the table's order; the root carries its redirect."""
    vdirs = {vdir.location: vdir for vdir in server_facts(answer, name="EX01").vdirs}
    assert list(vdirs)[:2] == [FRONT_END_SITE, "Default Web Site/owa"]
    assert vdirs[FRONT_END_SITE].redirect == "/owa"
    assert vdirs["Default Web Site/owa/Calendar"].ssl_flags == "None"
    assert vdirs["Default Web Site/PowerShell"].client_certificates
    assert "Default Web Site/Microsoft-Server-ActiveSync/Proxy" in vdirs
    assert not any(location.startswith("Exchange Back End") for location in vdirs)


def test_bindings_have_address_port_and_host(answer: Answer) -> None:
    """An empty address is any; IPv6 and host names are kept apart; other protocols are left out."""
    bindings = server_facts(answer, name="EX01").bindings
    assert [(b.protocol, b.address, b.port, b.host) for b in bindings] == [
        ("http", "*", 80, ""),
        ("https", "*", 443, ""),
        ("https", "[::1]", 443, "mail"),
    ]
    assert bindings[1].thumbprint == bindings[2].thumbprint


def test_bindings_fall_back_to_the_configuration(answer: Answer) -> None:
    """Without Get-WebBinding's answer the written bindings are read, certificate hashes included where they stand."""
    answer["bindings"] = None
    answer["config"] = answer["config"].replace(
        'bindingInformation=":443:"', 'bindingInformation=":443:" certificateHash="' + "ab" * 20 + '"', 1
    )
    bindings = server_facts(answer, name="EX01").bindings
    assert ("AB" * 20) in {b.thumbprint for b in bindings}
    assert {b.port for b in bindings} == {80, 443, 81, 444}


def test_iis_is_believed_and_the_difference_told(answer: Answer) -> None:
    """Where IIS answers otherwise than the file, its answer holds and both stand in the problems."""
    answer["effective"][1] |= {"ssl_flags": "None", "token_checking": "2"}
    facts = server_facts(answer, name="EX01")
    owa = facts.vdir(Service.OWA)
    assert owa is not None
    assert (owa.ssl_flags, owa.token_checking, owa.own_ssl_flags) == ("None", TokenChecking.REQUIRE, None)
    assert [problem.split(":")[0] for problem in facts.problems] == ["Default Web Site/owa"] * 2


def test_another_machine_is_noticed(answer: Answer) -> None:
    """A machine that calls itself otherwise than the configuration is told as a problem; case does not matter."""
    assert server_facts(answer, name="ex01").problems == ()
    assert "EX02" in server_facts(answer, name="EX02").problems[0]
    assert server_facts(answer, name="EX02").server == "EX02"


def test_an_unreadable_certificate_is_a_problem_not_the_end(answer: Answer) -> None:
    """The others are read, and the bad one is named."""
    count = len(answer["certificates"])
    answer["certificates"][1]["raw"] = base64.b64encode(b"nonsense").decode()
    facts = server_facts(answer, name="EX01")
    assert len(facts.certificates) == count - 1
    assert answer["certificates"][1]["thumbprint"] in facts.problems[0]


def test_an_unknown_token_checking_is_rejected(answer: Answer) -> None:
    """A value IIS does not know is no reason to guess."""
    answer["effective"][0]["token_checking"] = "Perhaps"
    with pytest.raises(Rejected, match="Perhaps") as caught:
        server_facts(answer, name="EX01")
    assert caught.value.code == "bad_token_checking"


@pytest.mark.parametrize("field", ["server", "config", "effective", "setup_version", "administrator"])
@pytest.mark.parametrize("value", ["missing", 7, {"a": []}])
def test_a_wrong_shape_is_rejected_with_its_place(answer: Answer, field: str, value: object) -> None:
    """A part that is missing or of another type is named; no KeyError, and nothing of the answer's content."""
    answer[field] = value
    if value == "missing":
        del answer[field]
    with pytest.raises(Rejected, match=field) as caught:
        server_facts(answer, name="EX01")
    assert caught.value.code == "bad_answer"
    assert caught.value.__cause__ is None


def test_many_wrong_things_are_counted() -> None:
    """An answer that is nothing like it names three places and counts the rest."""
    with pytest.raises(Rejected, match=r"server: .*; fqdn: .*; setup_version: .* \(and \d+ more\)"):
        server_facts({}, name="EX01")


def test_a_newer_script_may_say_more(answer: Answer) -> None:
    """Fields nobody here knows are left out."""
    before = server_facts(answer, name="EX01")
    answer["later"] = {"a": 1}
    answer["pools"][0]["later"] = True
    assert server_facts(answer, name="EX01") == before


@pytest.mark.parametrize("field", ["setup_version", "exsetup_version"])
def test_a_version_that_is_none(answer: Answer, field: str) -> None:
    """A version that cannot be read is Rejected with its text."""
    answer[field] = "fifteen"
    with pytest.raises(Rejected, match="fifteen"):
        server_facts(answer, name="EX01")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Version 15.2 (Build 986.5)", "15.2.986.5"),
        ("15.02.0986.029", "15.2.986.29"),
        (" 15.2.2562.17 ", "15.2.2562.17"),
    ],
)
def test_versions_come_to_one_form(text: str, version: str) -> None:
    """AdminDisplayVersion, ExSetup.exe and the registry say the same in different words."""
    assert normal_version(text) == version


@pytest.mark.parametrize(
    ("name", "version"), [("e16_ExSetup.xml", r"15\.1\.\d+\.\d+"), ("e19_ExSetup.xml", r"15\.2\.986\.\d+")]
)
def test_captured_exsetup_versions(exchange_data: Path, name: str, version: str) -> None:
    """FileVersion of captured ExSetup.exe files of 2016 and 2019 is read."""
    (node,) = elements(exchange_data / name, "S", "FileVersion")
    assert re.fullmatch(version, normal_version(node.text or ""))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("e16_GetExchangeCertificate.xml", 3),
        ("GetExchangeCertificateBroken.xml", None),
        ("GetExchangeCertificateMultipleMatches.xml", None),
        ("auth_GetExchangeCertificate.xml", 8),
        ("NewExchangeCertificateDefaultTransport.xml", None),
    ],
)
def test_captured_certificates_are_told_apart_by_thumbprint(
    exchange_data: Path, answer: Answer, name: str, count: int | None
) -> None:
    """The raw bytes of every captured certificate are described; several of one subject stay several."""
    raw = [base64.b64decode(node.text or "") for node in elements(exchange_data / name, "BA", "RawData")]
    assert raw
    assert count is None or len(raw) == count
    answer["certificates"] = [
        {"thumbprint": "", "raw": base64.b64encode(der).decode(), "has_private_key": True, "exportable": False}
        for der in raw
    ]
    facts = server_facts(answer, name="EX01")
    assert len({stored.info.thumbprint for stored in facts.certificates}) == len(set(raw))
    assert facts.problems == ()
    assert all(facts.certificate(stored.info.thumbprint) == stored for stored in facts.certificates)


def test_captured_bindings(exchange_data: Path, answer: Answer) -> None:
    """Get-WebBinding as captured: 443 serves one certificate on any address and on 127.0.0.1, the back end its own."""
    path = exchange_data / "e19_GetWebBinding.xml"
    information = [node.text or "" for node in elements(path, "S", "bindingInformation")]
    hashes = [node.text or None for node in elements(path, "S", "certificateHash")]
    places = [node.text or "" for node in elements(path, "S", "ItemXPath")]
    sites = [re.findall(r"@name='([^']*)'", place)[0] for place in places]
    protocols = [node.text or "" for node in elements(path, "S", "protocol")]
    answer["bindings"] = [
        {"site": site, "protocol": protocol, "information": info, "thumbprint": thumbprint}
        for site, protocol, info, thumbprint in zip(sites, protocols, information, hashes, strict=True)
    ]
    found = {(b.site, b.address, b.port): b.thumbprint for b in server_facts(answer, name="EX01").bindings}
    leaf = "12FD38FA8F58C8A74B3039962882DEFE4199D453"
    assert found[FRONT_END_SITE, "*", 443] == found[FRONT_END_SITE, "127.0.0.1", 443] == leaf
    assert found["Exchange Back End", "*", 444] == leaf
    assert found[FRONT_END_SITE, "*", 80] is None


FARM: Answer = {
    "outlook_anywhere": [
        {
            "server": "EX01",
            "ssl_offloading": True,
            "internal_hostname": "",
            "external_hostname": "mail.contoso.test",
            "internal_clients_require_ssl": False,
            "external_clients_require_ssl": True,
            "internal_authentication": "Ntlm",
            "external_authentication": None,
            "iis_authentication": ["Basic", "Ntlm"],
        }
    ],
    "mrsproxy": [{"server": "EX01", "enabled": True}],
    "oauth": {"oauth2_client_profile_enabled": False, "evosts_is_default": True, "hybrid_configuration": False},
    "certificates": [
        {"server": "ex01", "thumbprint": "ab" * 20, "services": ["IIS"], "status": "Valid", "exportable": True}
    ],
    "missing_cmdlets": ["New-ExchangeCertificate"],
}


def test_the_farm_is_read() -> None:
    """Outlook Anywhere (an empty host name is none), MRSProxy, OAuth, certificates and missing rights."""
    farm = farm_facts(FARM)
    outlook_anywhere = farm.outlook_anywhere_of("ex01")
    assert outlook_anywhere is not None
    assert (outlook_anywhere.internal_hostname, outlook_anywhere.iis_authentication) == (None, ("Basic", "Ntlm"))
    assert farm.read
    assert farm.oauth.in_use
    assert farm.mrsproxy_enabled == {"EX01": True}
    assert farm.missing_cmdlets == ("New-ExchangeCertificate",)


def test_a_farm_of_another_shape_is_rejected() -> None:
    """A server whose Outlook Anywhere lacks a field is named by its place."""
    wrong = copy.deepcopy(FARM)
    del wrong["outlook_anywhere"][0]["ssl_offloading"]
    with pytest.raises(Rejected, match=r"outlook_anywhere\.0\.ssl_offloading"):
        farm_facts(wrong)


def one_certificate(exportable: bool | None) -> tuple[ServerFacts, str]:
    """A server EX01 with one stored certificate, and its thumbprint."""
    info = TestCA.new("c").issue(["mail.contoso.test"], key="ec256").info
    stored = {"info": info, "has_private_key": True, "exportable": exportable}
    facts = ServerFacts.model_validate(
        {"server": "EX01", "fqdn": "e", "version": "15.2.1.1", "build": "15.2.1.1", "certificates": [stored]}
    )
    return facts, info.thumbprint


@pytest.mark.parametrize(("local", "told", "both"), [(None, True, True), (True, None, True), (True, False, False)])
def test_certificates_are_completed_by_exchange(local: bool | None, told: bool | None, both: bool | None) -> None:
    """Services and status come from Exchange, exportability from whoever knows; other servers' words do not count."""
    facts, thumbprint = one_certificate(local)
    answer = copy.deepcopy(FARM)
    answer["certificates"] = [
        {
            "server": "ex01",
            "thumbprint": thumbprint.lower(),
            "services": ["IIS"],
            "status": "Valid",
            "exportable": told,
        },
        {"server": "EX02", "thumbprint": thumbprint, "services": ["SMTP"], "status": "Revoked", "exportable": None},
    ]
    ((stored,),) = (server.certificates for server in with_exchange([facts], farm_facts(answer)))
    assert (stored.services, stored.status, stored.exportable) == (("IIS",), "Valid", both)


def test_what_exchange_does_not_name_stays_as_it_is() -> None:
    """A certificate Exchange says nothing of keeps what the store told."""
    facts, _ = one_certificate(exportable=True)
    (same,) = with_exchange([facts], farm_facts(FARM | {"certificates": []}))
    assert same == facts
