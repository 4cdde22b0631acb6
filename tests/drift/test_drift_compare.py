"""What differs, in an administrator's words: facts before, facts now, lines out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lbsync.desired import FactSet
from lbsync.drift.baseline import Baseline, kept, outdated, sighted
from lbsync.drift.compare import compare
from lbsync.facts import BalancerLive, BindingFacts, FarmFacts, OAuthFacts, ServerLive, StoredCertificate, TokenChecking
from lbsync.model import Mode
from lbsync.run import RunPhase, RunSummary
from lbsync.services import FRONT_END_SITE, REQUIRE_SSL, Service
from lbsync.testing.farm_facts import NOW, all_modes, balancer_facts, outlook_anywhere_facts, server_facts
from lbsync_certs import CertificateInfo
from tests.drift.looks import (
    BACK,
    FRONT,
    NEW,
    at_vdir,
    balancer,
    baseline,
    bound,
    compared,
    edited,
    farm,
    on_balancer,
    on_server,
    told,
)


def shown(info: CertificateInfo) -> str:
    """As differences name it."""
    return f"{info.thumbprint} ({info.subject}, until {info.not_after:%Y-%m-%d})"


def with_farm(**changes: object) -> FactSet:
    """AD with these settings."""
    facts = farm()
    return facts.model_copy(update={"farm": facts.farm.model_copy(update=changes)})


def held(
    *extra: StoredCertificate, without: CertificateInfo | None = None, **services: tuple[str, ...] | None
) -> FactSet:
    """EX01's store with more, less, or other services."""
    mine = [one for one in farm().servers[0].certificates if one.info != without]
    given = {"FRONT": FRONT.thumbprint, "BACK": BACK.thumbprint}
    for key, value in services.items():
        mine = [
            one.model_copy(update={"services": value}) if one.info.thumbprint == given[key] else one for one in mine
        ]
    return on_server(certificates=(*mine, *extra))


FRESH = StoredCertificate(info=NEW, has_private_key=True, exportable=True)
OWN = {"own_ssl_flags": None, "ssl_flags": REQUIRE_SSL}
MORE = BindingFacts(
    site="Other", protocol="https", address="10.0.0.1", port=443, host="a.test", thumbprint=NEW.thumbprint
)

CASES = {
    "nothing": (farm(), []),
    "what changes by itself": (on_server(live=ServerLive(pools={"p": "Stopped"}), problems=("odd",), setup_running=True), []),
    "require ssl": (at_vdir(Service.EWS, **OWN), [f"EX01: EWS: Require SSL is on again: None -> {REQUIRE_SSL} (inherited)"]),
    "inherited": (
        at_vdir(Service.OWA, own_ssl_flags=None),
        ["EX01: OWA: sslFlags now inherited, was written at the vdir: None -> None (inherited)"],
    ),
    "client certificates": (
        at_vdir(Service.ACTIVESYNC, own_ssl_flags="SslNegotiateCert", ssl_flags="SslNegotiateCert"),
        ["EX01: Microsoft-Server-ActiveSync: client certificates are asked for: None -> SslNegotiateCert"],
    ),
    "other flags": (
        at_vdir(Service.OAB, own_ssl_flags="Ssl128", ssl_flags="Ssl128"),
        ["EX01: OAB: sslFlags changed: None -> Ssl128"],
    ),
    "same flags": (at_vdir(Service.OAB, own_ssl_flags="none", ssl_flags="none"), []),
    "protection": (
        at_vdir(Service.MAPI, token_checking=TokenChecking.REQUIRE),
        ["EX01: MAPI: Extended Protection changed: None -> Require"],
    ),
    "log-on": (
        at_vdir(Service.OAB, authentication=("basic",), providers=()),
        [
            "EX01: OAB: ways to log on changed: windows -> basic",
            "EX01: OAB: providers of Windows authentication changed: Negotiate, NTLM -> nothing",
        ],
    ),
    "route": (
        at_vdir(Service.OAB, pool="P", redirect="https://x", rewrite_rules=("r",)),
        [
            "EX01: OAB: runs in another pool: MSExchangeOABAppPool -> P",
            "EX01: OAB: redirects otherwise: nothing -> https://x",
            "EX01: OAB: URL Rewrite rules changed: nothing -> r",
        ],
    ),
    "directories": (
        edited(lambda vdir: vdir.model_copy(update={"location": FRONT_END_SITE}) if Service.OWA in vdir.services else vdir),
        [f"EX01: /: is new: nothing -> {FRONT_END_SITE}", "EX01: OWA: is gone: Default Web Site/owa -> nothing"],
    ),
    "registry": (
        on_server(suppress_extended_protection=1),
        ["EX01: registry: SuppressExtendedProtection changed: 0 -> 1"],
    ),
    "cumulative update": (
        on_server(version="15.2.1544.4", build="15.2.1544.9"),
        ["EX01: Exchange: another version: 15.2.986.5 -> 15.2.1544.4"],
    ),
    "security update": (on_server(build="15.2.986.30"), ["EX01: Exchange: another version: 15.2.986.29 -> 15.2.986.30"]),
    "leaf": (
        on_server(bindings=bound(FRONT.thumbprint, NEW.thumbprint)),
        [f"EX01: Front End 443, 127.0.0.1:443: holds another certificate: {shown(FRONT)} -> {NEW.thumbprint}"],
    ),
    "back end": (
        on_server(bindings=bound(BACK.thumbprint, FRONT.thumbprint)),
        [f"EX01: Back End 444: holds another certificate: {shown(BACK)} -> {shown(FRONT)}"],
    ),
    "no certificate": (
        on_server(bindings=bound(BACK.thumbprint, "")),
        [f"EX01: Back End 444: holds another certificate: {shown(BACK)} -> nothing"],
    ),
    "bindings": (
        on_server(bindings=(*farm().servers[0].bindings[1:], MORE)),
        [
            "EX01: Other: a binding is new: nothing -> https 10.0.0.1:443 a.test",
            "EX01: Front End: a binding is gone: http 80 -> nothing",
        ],
    ),
    "store": (
        held(FRESH, without=FRONT, BACK=None),
        [
            f"EX01: certificates: a certificate is new in the store: nothing -> {shown(NEW)}",
            f"EX01: certificates: a certificate is gone from the store: {shown(FRONT)} -> nothing",
        ],
    ),
    "services": (
        held(FRONT=("IIS", "SMTP", "IMAP"), BACK=()),
        [
            f"EX01: IMAP: has another certificate: nothing -> {shown(FRONT)}",
            f"EX01: SMTP: has another certificate: {shown(FRONT)}; {shown(BACK)} -> {shown(FRONT)}",
        ],
    ),
    "outlook anywhere": (
        with_farm(
            outlook_anywhere=(
                outlook_anywhere_facts("EX01", offloading=True).model_copy(
                    update={"internal_hostname": None, "iis_authentication": ("Basic", "Ntlm")}
                ),
                outlook_anywhere_facts("EX09"),
            )
        ),
        [
            "EX01: Outlook Anywhere (AD): SSLOffloading: $false -> $true",
            "EX01: Outlook Anywhere (AD): InternalHostname: mail.contoso.test -> nothing",
            "EX01: Outlook Anywhere (AD): IISAuthenticationMethods: nothing -> Basic, Ntlm",
        ],
    ),
    "oauth": (
        with_farm(oauth=OAuthFacts(hybrid_configuration=True)),
        ["directory: OAuth: hybrid configuration: $false -> $true"],
    ),
    "not published": (
        on_balancer(published=False, leaf=None, modes={}),
        ["lb1: publication: nothing of ours is loaded any more"],
    ),
    "modes": (
        on_balancer(modes=all_modes(Mode.OFFLOAD) | {Service.OWA: Mode.BRIDGE}, image={"files": {"exchange.map": "c"}}),
        ["lb1: owa: is in another mode: offload -> bridge"],
    ),
    "mode unknown": (
        on_balancer(modes={s: m for s, m in all_modes(Mode.OFFLOAD).items() if s is not Service.OWA}),
        ["lb1: owa: is in another mode: offload -> nothing"],
    ),
    "served": (
        on_balancer(leaf=NEW.fingerprint, installed=(FRONT.fingerprint, NEW.fingerprint)),
        [f"lb1: certificate: serves another one: {FRONT.fingerprint} -> {NEW.fingerprint}"],
    ),
    "serves nothing": (on_balancer(leaf=None), [f"lb1: certificate: serves another one: {FRONT.fingerprint} -> nothing"]),
    "installed": (
        on_balancer(installed=(FRONT.fingerprint, NEW.fingerprint)),
        [f"lb1: certificate: one more is installed: nothing -> {NEW.fingerprint}"],
    ),
    "files": (
        on_balancer(structure="s2", image={"files": {"exchange.cfg": "x", "new.cfg": ""}}),
        ["lb1: file exchange.cfg: differs", "lb1: file exchange.map: is gone", "lb1: file new.cfg: is new"],
    ),
    "structure": (
        on_balancer(structure="s2"),
        ["lb1: our configuration: differs from what was loaded"],
    ),
    "structure unknown": (
        on_balancer(structure=None),
        ["lb1: our configuration: what runs and what is stored disagree"],
    ),
    "software": (on_balancer(version="2.8.2"), ["lb1: software: another version: memory 2.8.1 -> memory 2.8.2"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_difference_in_words(case: str) -> None:
    """Each change is told once, with where, and what was and is."""
    facts, lines = CASES[case]
    assert told(facts) == lines
    assert Baseline.model_validate_json(baseline(facts).model_dump_json()) == baseline(facts)


def test_the_other_way_round() -> None:
    """What goes is told as what comes."""
    before = baseline(at_vdir(Service.EWS, **OWN))
    assert told(farm(), before) == [f"EX01: EWS: Require SSL is off: {REQUIRE_SSL} (inherited) -> None"]
    before = baseline(at_vdir(Service.OWA, own_ssl_flags=None))
    assert told(farm(), before) == [
        "EX01: OWA: sslFlags now written at the vdir, was inherited: None (inherited) -> None"
    ]
    before = baseline(at_vdir(Service.OAB, own_ssl_flags="SslRequireCert", ssl_flags="SslRequireCert"))
    assert told(farm(), before)[0].startswith("EX01: OAB: client certificates are asked for no more")
    before = baseline(on_balancer(published=False))
    assert told(farm(), before) == ["lb1: publication: our listeners are loaded"]
    before = baseline(on_balancer(installed=(FRONT.fingerprint, NEW.fingerprint)))
    assert told(farm(), before) == [f"lb1: certificate: one more is gone: {NEW.fingerprint} -> nothing"]
    before = baseline(with_farm(mrsproxy_enabled={"EX01": True}))
    assert told(with_farm(mrsproxy_enabled={"EX01": False, "EX02": True}), before) == [
        "EX01: MRSProxy (AD): is off: $true -> $false"
    ]


def test_a_pair_and_its_objects() -> None:
    """Another unit is told where both are known; objects are compared one by one."""
    thing = {"collection": "ltm/pool", "path": "/Common/p", "body": {"a": 1}}
    image = {"things": [thing, "no object"]}
    first = on_balancer(live=BalancerLive(unit="bigip1"), image=image)
    other = {"things": [{**thing, "body": {"a": 2}}]}
    second = on_balancer(live=BalancerLive(unit="bigip2"), image=other)
    assert told(second, baseline(first)) == [
        "lb1: active unit: another device answers: bigip1 -> bigip2",
        "lb1: ltm/pool /Common/p: differs",
    ]
    assert told(on_balancer(image=image), baseline(first)) == []
    assert kept(kept(first)) == kept(first)
    bare = first.model_copy(update={"balancers": (balancer(first).model_copy(update={"image": {"parts": 1}}),)})
    assert balancer(kept(bare)).image == {"parts": {}}
    raw = baseline().model_copy(update={"facts": on_balancer(image={})})
    assert [one.subject for one in compared(farm(), raw).differences] == ["file exchange.cfg", "file exchange.map"]


def test_members_come_and_go() -> None:
    """What the configuration names anew, and no more, on both sides."""
    more = farm().model_copy(
        update={
            "servers": (*farm().servers[1:], server_facts("EX03")),
            "balancers": (balancer_facts("lb2", modes=all_modes(Mode.BRIDGE)),),
        }
    )
    found = compared(more, names=("EX02", "EX03", "lb2"))
    assert [f"{one.target}: {one.told}" for one in found.differences] == [
        "EX03: server: is new in the configuration: nothing -> EX03",
        "lb2: balancer: is new in the configuration: nothing -> lb2",
        "EX01: server: left the configuration: EX01 -> nothing",
        "lb1: balancer: left the configuration: lb1 -> nothing",
    ]
    assert (found.unseen, found.unknown) == ({}, {})


def test_who_could_not_be_read_is_named() -> None:
    """Then, or now: with the reason, and with no difference made up."""
    part = farm().model_copy(update={"servers": farm().servers[1:], "farm": FarmFacts(read=False), "balancers": ()})
    today = sighted(part, ("EX01", "EX02", "lb1"), [("EX01", "no route"), ("directory", "refused")])
    found = compare(baseline(), today)
    assert found.differences == ()
    assert found.unseen == {"EX01": "no route", "lb1": "it did not answer", "directory": "refused"}
    before = baseline(part, missing=today.silent)
    assert compare(before, sighted(farm(), ("EX01", "EX02", "lb1"))).unknown == today.silent
    assert compare(before, sighted(farm(), ("EX01", "EX02", "lb1"))).differences == ()
    assert (
        compared(farm(), baseline(part, missing={"EX01": "a", "lb1": "b"})).unknown["directory"]
        == "it was not read then"
    )
    bare = compare(before, sighted(part, ("EX01", "EX02", "lb1")))
    assert set(bare.unseen) == {"EX01", "lb1"}
    assert bare.unknown == {}


@pytest.mark.parametrize(
    ("phase", "farm_name", "minutes", "run", "late"),
    [
        (RunPhase.APPLIED, "contoso", 1, "r2", True),
        (RunPhase.APPLIED, "contoso", -1, "r2", False),
        (RunPhase.APPLIED, "other", 1, "r2", False),
        (RunPhase.UNDONE, "contoso", 1, "r2", False),
        (RunPhase.UNDONE, "contoso", 1, "r1", True),
    ],
)
def test_a_run_that_the_baseline_does_not_know(
    phase: RunPhase, farm_name: str, minutes: int, run: str, late: bool
) -> None:
    """One applied later, or the baseline's own taken back since."""
    last = NOW + timedelta(minutes=minutes)
    ended = RunSummary(run, farm_name, "alice", "host", NOW, last, phase, interrupted=False)
    assert outdated(baseline(), [ended]) == (run if late else None)
    assert outdated(baseline(origin="rolled back"), [ended]) == (run if late and run == "r2" else None)


def test_where_a_baseline_comes_from() -> None:
    """In words."""
    assert baseline().told == "2026-06-01 00:00 UTC (run r1, by alice)"
    assert baseline(origin="rolled back").told == "2026-06-01 00:00 UTC (run r1, taken back, by alice)"
    assert baseline(origin="adopted", run=None).told == "2026-06-01 00:00 UTC (adopted, by alice)"
