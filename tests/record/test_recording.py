"""A recording: what it keeps, what it never holds, and that pseudonyms change no verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest

from lbsync.advise import advise, reasons
from lbsync.desired import FactSet
from lbsync.errors import LbsyncError
from lbsync.facts import ServerFacts, TokenChecking
from lbsync.model import Mode
from lbsync.recording import Recording, disguise, leaks, read, render, taken
from lbsync.recording.disguise import coarse
from lbsync.recording.pseudonyms import Pseudonyms
from lbsync.recording.wishes import AS_IT_IS, IN_WORDS
from lbsync.recording.words import Words
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import (
    NOW,
    all_modes,
    balancer_facts,
    desired,
    fact_set,
    leaf_info,
    outlook_anywhere_facts,
    server_facts,
)
from lbsync_certs.names import covers

REAL = ("mail.contoso.com", "autodiscover.contoso.com")
ABLE = {"edge-lb": Capabilities(mrsproxy_host="mrs.contoso.com", mrsproxy_address="10.20.30.40")}


def real_leaf(number: int = 0xABCDEF0123456789ABCD, **more: object) -> object:
    """A leaf as a real company has it."""
    base = leaf_info(number, names=(*REAL, "*.fabrikam.co.uk", "EX01")).model_dump()
    told = {
        "subject": 'CN=mail.contoso.com,O="Contoso, Ltd",L=Zürich',
        "issuer": "CN=Contoso Issuing CA 7,DC=contoso,DC=com",
        "serial": "6F00AA11BB22CC33DD44",
        "addresses": ("10.20.30.41", "fe80::1234"),
    }
    return type(leaf_info()).model_validate(base | told | more)


def real_farm() -> Recording:
    """Odd in every way a rule or a reader knows of, and full of names."""
    leaf: object = real_leaf()
    other = real_leaf(0xFEDCBA9876543210FEDC, not_after=NOW - timedelta(hours=2), names=("*.contoso.com",))
    ex01, ex02, ex03 = (server_facts(name, held) for name, held in (("EX01", leaf), ("EX02", leaf), ("ZRH-MX3", other)))  # type: ignore[arg-type]
    vdirs = [vdir.model_copy(update={"token_checking": TokenChecking.ALLOW}) for vdir in ex02.vdirs]
    custom = vdirs[0].model_copy(
        update={"location": "Default Web Site/owa/Contoso", "services": (), "pool": "ContosoPool",
                "providers": ("NTLM", "ContosoSSP"),
                "redirect": "https://intranet.contoso.com/owa", "rewrite_rules": ("to contoso portal",)}
    )  # fmt: skip
    site = ex01.bindings[0].model_copy(
        update={"site": "Contoso Portal", "host": "portal.contoso.com", "address": "10.20.30.40"}
    )
    ex01 = ex01.model_copy(
        update={
            "fqdn": "EX01.corp.contoso.com",
            "bindings": (*ex01.bindings, site),
            "problems": (
                (
                    r"EX01.corp.contoso.com: C:\Contoso\web.config written by CONTOSO\svc-lbsync (admin@contoso.com) "
                    "from 10.9.8.7 or fe80::99 at 12:30:45; ex01.other.local, webmail.contoso.com, "
                    "/etc/contoso/lb.cfg, S-1-5-21-11-22-33-500, 6f00aa11bb22cc33dd44, contosoadmin; farm.exchange; "
                    "balancers.settings.ntlm; Default Web Site/owa/Contoso; 8.8.8.8:443; "
                    "lb1:/srv/jsmith.pem; file:///srv/x/jsmith/x; https://jsmith:pw@owa.contoso.com:8443/; "
                    "CN=Jane Smith,O=Zweig GmbH; "
                    "AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD"
                ),
            ),
        }
    )
    ex02 = ex02.model_copy(
        update={"vdirs": (*vdirs, custom), "suppress_extended_protection": 1, "fqdn": "ex02.corp.contoso.com"}
    )
    ex03 = ex03.model_copy(update={"fqdn": "zrh-mx3.contoso.local", "administrator": False, "setup_running": True})
    balancer = balancer_facts("edge-lb", modes=all_modes(Mode.BRIDGE)).model_copy(
        update={
            "marker": "run-7 by root@jump.contoso.com",
            "version": "17.1.0.3",
            "blockers": ("/Common/contoso_vs on 10.20.30.40 belongs to somebody",),
            "notes": ("A reload of edge-lb costs connections.",),
            "image": {"files": {"a.cfg": "bind 10.20.30.40 # contoso"}},
        }
    )
    facts = fact_set("EX01", "EX02", "ZRH-MX3", balancers=(balancer, balancer_facts("dmz-lb")))
    outlook = tuple(
        outlook_anywhere_facts(name, offloading=name == "EX01").model_copy(
            update={"external_hostname": "oa.contoso.com"}
        )
        for name in ("EX01", "EX02", "ZRH-MX3")
    )
    farm = facts.farm.model_copy(
        update={"outlook_anywhere": outlook, "mrsproxy_enabled": {"EX01": True, "ex02": False},
                "problems": ("DC7.contoso.local does not answer",), "missing_cmdlets": ("Get-AuthServer",)}
    )  # fmt: skip
    wish = desired(
        leaf=leaf,
        hosts=REAL,
        tls_names={"EX01": "mail.contoso.com", "EX02": "a.fabrikam.co.uk", "ZRH-MX3": "mail.contoso.com"},
        leaf_problem="",
        farm="contoso",
        trusted_leg=False,
        outlook_anywhere={"external_hostname": "oa.contoso.com"},
        addresses={"EX01": "10.20.30.41", "EX02": "ex02.corp.contoso.com", "ZRH-MX3": "10.99.0.3"},
        policy={"trusted_networks": ("10.20.0.0/16", "2001:db9::/32"), "legacy_hosts": ("legacy.contoso.com",)},
        groups={"EX01": "fabrikam canary", "EX02": ""},
        only=("EX01",),
        remembered={
            "flags": {"EX02": {"default web site/owa/contoso": "Ssl"}},
            "outlook_anywhere": {"ZRH-MX3": {"ssl_offloading": False}},
        },
    )
    full = facts.model_copy(update={"servers": (ex01, ex02, ex03), "farm": farm})
    return taken(wish, full, ABLE, NOW, version="1.0")


def healthy() -> Recording:
    """Nothing odd, and nothing that some fields may hold."""
    facts = fact_set(balancers=(balancer_facts(),))
    return taken(desired(leaf=None, leaf_problem="nothing on EX01"), facts, {}, NOW, version="1.0")


def verdicts(recording: Recording) -> object:
    """Rules, severities and modes; how many servers and balancers each names."""
    arguments = (recording.desired, recording.facts, recording.capabilities, recording.taken)
    advice = advise(*arguments)
    said = [(one.rule, one.severity, len(one.where)) for one in advice.farm]
    services = [(one.service, one.wanted, one.possible) for one in advice.services]
    why = {
        key: [(one.rule, one.severity, len(one.where)) for one in found] for key, found in reasons(*arguments).items()
    }
    return said, services, why


@pytest.mark.parametrize("made", [real_farm, healthy])
def test_a_recording_comes_back_as_it_was(made: Callable[[], Recording]) -> None:
    """Written and read, it is the same, and so are its verdicts; an image of a balancer is not in it."""
    recording = made()
    again = read(render(recording), "case.json")
    assert again == recording
    assert verdicts(again) == verdicts(recording)
    assert all(not one.image for one in again.facts.balancers)


ORIGINAL = re.compile(
    r"contoso|fabrikam|EX0\d|ZRH|mx3|edge-lb|dmz-lb|svc-lbsync|10\.\d+\.|8\.8\.8\.8|fe80|ABCDEF01|FEDCBA98|6F00AA|AA:BB|"
    r"Zürich|S-1-5|intranet|webmail|other\.local|C:\\|/etc|/Common|jump|DC7|a\.cfg|"
    r"jsmith|Jane|Zweig",
    re.IGNORECASE,
)


@pytest.mark.parametrize("made", [real_farm, healthy])
def test_pseudonyms_hide_every_name_and_change_no_verdict(made: Callable[[], Recording]) -> None:
    """No name, host, address, account, path or thumbprint of the original is anywhere in the text."""
    recording = made()
    hidden, names = disguise(recording)
    text = render(hidden)
    assert not ORIGINAL.findall(text)
    for server in recording.facts.servers:
        for stored in server.certificates:
            assert stored.info.thumbprint not in text
            assert stored.info.fingerprint not in text
    assert leaks(text, names) == ()
    assert verdicts(hidden) == verdicts(recording)
    assert verdicts(read(text, "case.json")) == verdicts(recording)
    assert hidden.pseudonyms
    assert disguise(hidden)[0].facts.servers[0].version == recording.facts.servers[0].version


def test_every_field_of_a_wish_is_hidden_or_holds_no_name() -> None:
    """A field that is added to a wish is thought of here too; which servers are in trusted networks stays."""
    recording = real_farm()
    wish = disguise(recording)[0].desired
    kept = {name for name in type(wish).model_fields if getattr(wish, name) == getattr(recording.desired, name)}
    assert kept == AS_IT_IS | IN_WORDS
    networks = [ip_network(network) for network in wish.policy.trusted_networks]
    assert [str(network.num_addresses) for network in networks] == ["1"]
    assert ip_address(wish.addresses["SRV1"]) in networks[0]
    assert ip_address(wish.addresses["SRV3"]) not in networks[0]
    outside = recording.desired.model_copy(update={"addresses": {"EX01": "10.99.0.1"}})
    alone = disguise(recording.model_copy(update={"desired": outside}))[0].desired
    assert len(alone.policy.trusted_networks) == 1
    assert ip_address(alone.addresses["SRV1"]) not in ip_network(alone.policy.trusted_networks[0])


def test_equal_things_stay_equal() -> None:
    """A server is the same everywhere, and its full name is of its name; loopback stays; our own words stay."""
    hidden, _ = disguise(real_farm())
    first, second, _ = hidden.facts.servers
    assert first.server == "SRV1"
    assert first.fqdn.startswith("srv1.")
    assert "farm.exchange" in first.problems[0]
    assert "12:30:45" in first.problems[0]
    assert "balancers.settings.ntlm" in first.problems[0]
    assert [one.version for one in hidden.facts.balancers] == ["17.1.0.3", ""]
    assert first.bindings[2].address == "127.0.0.1"
    assert first.certificates[0].info == second.certificates[0].info == hidden.desired.leaf
    assert hidden.desired.leaf is not None
    assert covers(hidden.desired.leaf, hidden.desired.tls_names["SRV2"])
    assert hidden.desired.hosts[1].startswith("autodiscover.")
    assert hidden.facts.farm.outlook_anywhere[0].server == "SRV1"


@pytest.mark.parametrize(
    ("wildcard", "name", "covered"),
    [
        ("*.contoso.com", "mail.contoso.com", True),
        ("*.contoso.com", "a.mail.contoso.com", False),
        ("*.corp", "mail.corp", True),
        ("*.corp", "a.mail.corp", False),
        ("*.contoso.com", "mail.contoso.net", False),
        ("*.example.com", "srv1.example.com", True),
    ],
)
def test_a_wildcard_covers_what_it_covered(wildcard: str, name: str, covered: bool) -> None:
    """Labels keep their places; an original that looks like a pseudonym is hidden too."""
    names = Pseudonyms(["EX01"], [wildcard, name])
    told = names.host(name)
    assert told != name
    assert covers(leaf_info(names=(names.host(wildcard),)), told) is covered


@pytest.mark.parametrize(
    ("kind", "original", "told"),
    [
        ("address", "10.0.0.1", "192.0.2.1"),
        ("address", "[2001:db9::7]", "[2001:db8::1]"),
        ("address", "127.0.1.9", "127.0.1.9"),
        ("address", "*", "*"),
        ("address", "::", "::"),
        ("address", "lb.contoso.com", "host1.example.com"),
        ("host", "", ""),
        ("host", "EX01", "srv1"),
        ("host", "lone", "host1"),
        ("server", "", ""),
        ("distinguished", "", ""),
        ("distinguished", "Contoso", "name1"),
        ("distinguished", "CN=EX01,O=", "CN=srv1,O="),
        ("hexadecimal", "ff", "01"),
    ],
)
def test_each_kind_of_name(kind: str, original: str, told: str) -> None:
    """Addresses are those for documentation, hosts those for examples; nothing stays nothing."""
    names = Pseudonyms(["EX01"], [])
    assert getattr(names, kind)(original) == told
    assert getattr(names, kind)(original) == told


def test_a_pseudonym_is_never_an_original() -> None:
    """Else one could not tell which of the two is meant."""
    names = Pseudonyms(["SRV1"], ["example.com", "host1.example.net"], ["192.0.2.1", "2001:db8::1", "0" * 39 + "1"])
    assert names.server("SRV1") == "SRV2"
    assert names.host("host1.example.net") == "host2.zone1.test"
    assert names.address("10.0.0.1") == "192.0.2.2"
    assert names.address("fd00::1") == "2001:db8::2"
    assert names.hexadecimal("F" * 40) == "0" * 39 + "2"


def test_leaks_are_found() -> None:
    """The last look tells what is still there."""
    names = Pseudonyms([], [])
    names.host("mail.contoso.com")
    assert leaks("x Mail.Contoso.com y", names) == ("mail.contoso.com",)
    assert leaks("webmail.contoso.com", names) == ()
    assert Words(names).told("nothing, and /owa") == "nothing, and /owa"


@pytest.mark.parametrize("hours", [-30, -1, 1, 30])
def test_a_date_stays_on_its_side(hours: int) -> None:
    """Expired stays expired, valid stays valid; the time of day is gone."""
    moment = NOW + timedelta(hours=hours, minutes=7)
    noon = NOW + timedelta(hours=0, minutes=5)
    assert (coarse(moment, noon) < noon) == (moment < noon)
    assert coarse(moment, noon).minute == 0


def changed(**fields: object) -> str:
    """A recording's text with something changed in it."""
    return json.dumps(json.loads(render(healthy())) | fields)


def damaged(edit: Callable[[ServerFacts], ServerFacts]) -> str:
    """A recording whose servers were edited."""
    recording = real_farm()
    facts = recording.facts.model_copy(update={"servers": tuple(edit(one) for one in recording.facts.servers)})
    return render(recording.model_copy(update={"facts": facts}))


def without_zone(server: ServerFacts) -> ServerFacts:
    """Dates without a time zone."""
    info = server.certificates[0].info.model_copy(update={"not_after": datetime(2027, 1, 1)})  # noqa: DTZ001
    return server.model_copy(update={"certificates": (server.certificates[0].model_copy(update={"info": info}),)})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "not-json"),
        ("hello", "not-json"),
        ("[" * 100_000, "not-a-recording"),
        ("{'a': 1}", "not-json"),
        ("[]", "not-a-recording"),
        ("{}", "not-a-recording"),
        ('{"lbsync_plan": 1}', "not-a-recording"),
        (changed(lbsync_recording="1"), "not-a-recording"),
        (changed(lbsync_recording=2), "newer-format"),
        (changed(desired={}), "damaged"),
        (changed(surprise=1), "damaged"),
        (changed(taken="2026-01-01T00:00:00"), "damaged"),
        (render(healthy())[:2000], "truncated"),
        (render(healthy())[:-3], "truncated"),
        (damaged(lambda s: s.model_copy(update={"version": "new"})), "damaged"),
        (damaged(lambda s: s.model_copy(update={"server": "EX01"})), "damaged"),
        (damaged(without_zone), "damaged"),
        (render(healthy().model_copy(update={"facts": FactSet(servers=(), farm=fact_set().farm, balancers=())})), "damaged"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_said_to_be_none(text: str, code: str) -> None:
    """Whatever the file is, one sentence, and what to do."""
    with pytest.raises(LbsyncError) as raised:
        read(text, "case.json")
    assert (raised.value.code, raised.value.where) == (code, "case.json")
    assert raised.value.remedy
