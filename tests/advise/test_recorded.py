"""Recorded IIS of Exchange 2013, 2016 and 2019, read by the real readers and judged: what the documentation demands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lbsync.advice import Advice, Verdict
from lbsync.advise import advise
from lbsync.desired import Desired, FactSet
from lbsync.facts import ServerFacts
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import NOW, all_modes, desired, fact_set, leaf_info
from lbsync.testing.recorded import recorded_server

BUILDS = {"e15": "15.0.1497.2", "e16": "15.1.2507.6", "e19": "15.2.1258.12"}
OFF = ("e15_applicationHost_EPoff_both", "e16_applicationHost_EPoff", "e19_applicationHost_EPoff")
ON = ("e15_applicationHost_EPon_both", "e19_applicationHost_EPon", "e19_applicationHost1_EPon_RpcSsl")
ABLE = {"lb1": Capabilities()}
BRIDGED = all_modes(Mode.BRIDGE)

Recorded = Callable[..., FactSet]


@pytest.fixture
def recorded(exchange_data: Path) -> Recorded:
    """A farm of EX01, EX02 and so on, each with the IIS of one recording."""

    def farm(*names: str, version: str | None = None) -> FactSet:
        servers = tuple(f"EX{number:02d}" for number in range(1, len(names) + 1))
        facts = fact_set(*servers)
        read = tuple(
            recorded_server(
                server, (exchange_data / f"{name}.config").read_bytes(), version=version or BUILDS[name[:3]]
            )
            for server, name in zip(servers, names, strict=True)
        )
        return facts.model_copy(update={"servers": read})

    return farm


def judge(facts: FactSet, wish: Desired | None = None) -> Advice:
    """Advice on a farm in front of which everything is possible."""
    return advise(wish or desired(), facts, ABLE, NOW)


def words(advice: Advice, mode: Mode) -> dict[Service, str]:
    """What a mode is, by service."""
    return {
        verdict.service: judgement.word
        for verdict in advice.services
        for judgement in verdict.judgements
        if judgement.mode is mode
    }


def rules(verdict: Verdict, mode: Mode) -> set[str]:
    """What is behind it."""
    return {rule for judgement in verdict.judgements if judgement.mode is mode for rule in judgement.rules}


@pytest.mark.parametrize("name", OFF)
def test_without_extended_protection_eight_may_be_offloaded(recorded: Recorded, name: str) -> None:
    """Nothing that set-up leaves forbids it, OAuthAuthentication on EWS least of all; bridging is recommended."""
    advice = judge(recorded(name, name))
    assert advice.refusals == ()
    assert words(advice, Mode.OFFLOAD) == dict.fromkeys(Service, "fine") | {Service.MRSPROXY: "must not"}
    assert words(advice, Mode.BRIDGE) == dict.fromkeys(Service, "recommended") | {Service.MRSPROXY: "must"}
    undocumented = {"offload-undocumented"} if name[:3] != "e15" else set()
    assert rules(advice.services[0], Mode.BRIDGE) == undocumented
    assert all(verdict.groups == () for verdict in advice.services)


@pytest.mark.parametrize("name", ON)
def test_with_extended_protection_everything_must_be_bridged(recorded: Recorded, name: str) -> None:
    """Offload is refused for all of them; bridging is not, with the certificate that the servers hold."""
    advice = judge(recorded(name, name), desired(BRIDGED))
    assert advice.refusals == ()
    assert set(words(advice, Mode.OFFLOAD).values()) == {"must not"}
    assert set(words(advice, Mode.BRIDGE).values()) == {"must"}
    assert rules(advice.services[0], Mode.BRIDGE) == {"extended-protection"}
    assert {finding.rule for finding in judge(recorded(name, name)).refusals} == {"extended-protection"}


@pytest.mark.parametrize("name", ON)
def test_with_extended_protection_and_another_certificate_nothing_is_possible(recorded: Recorded, name: str) -> None:
    """But Autodiscover, which has no Extended Protection of its own."""
    advice = judge(recorded(name), desired(BRIDGED, leaf=leaf_info(2)))
    assert {finding.rule for finding in advice.refusals} == {"bridge-another-certificate"}
    assert words(advice, Mode.BRIDGE) == dict.fromkeys(Service, "must not") | {Service.AUTODISCOVER: "must"}


@pytest.mark.parametrize("version", ["15.2.1544.4", "15.2.1748.10", "15.2.2562.17"])
def test_where_set_up_turns_it_on_bridging_is_to_be_expected(recorded: Recorded, version: str) -> None:
    """Off now, offload is possible still and warned of."""
    advice = judge(recorded("e19_applicationHost_EPoff", version=version))
    assert advice.refusals == ()
    assert rules(advice.services[0], Mode.BRIDGE) == {"extended-protection-by-default", "offload-undocumented"}
    assert {finding.rule for finding in advice.services[0].findings if finding.severity == "warn"} == {
        "extended-protection-by-default",
        "offload-undocumented",
    }
    assert judge(recorded("e19_applicationHost_EPoff", version=version), desired(BRIDGED)).services[0].findings == ()


def test_a_mixed_farm_is_shown_as_such(recorded: Recorded) -> None:
    """EX01 takes plain HTTP by its flags and could go on; EX02 and EX03 are protected; MRSProxy is the same everywhere."""
    facts = recorded("e19_applicationHost_EPoff", "e19_applicationHost_EPon", "e19_applicationHost_EPon")
    first, *others = facts.servers
    vdirs = tuple(one.model_copy(update={"ssl_flags": "None"}) for one in first.vdirs)
    servers = (first.model_copy(update={"vdirs": vdirs}), *others)
    advice = judge(facts.model_copy(update={"servers": servers}))
    owa, mrsproxy = advice.services[0], advice.services[-1]
    assert [(group.servers, group.plain_http) for group in owa.groups] == [(("EX01",), True), (("EX02", "EX03"), False)]
    assert [[judgement.word for judgement in group.judgements] for group in owa.groups] == [
        ["fine", "recommended"],
        ["must not", "must"],
    ]
    assert {judgement.word for judgement in owa.judgements} == {"must not", "must"}
    assert mrsproxy.groups == ()


def test_many_servers_are_told_in_few_findings(recorded: Recorded) -> None:
    """What is said alike is said once, however many servers; and no server's locations are walked again and again."""
    (one,) = recorded("e19_applicationHost_EPon").servers
    reads = 0

    class Counted(ServerFacts):
        def __getattribute__(self, name: str) -> object:
            nonlocal reads
            reads += name == "vdirs"
            return super().__getattribute__(name)

    counted = Counted.model_validate(one.model_dump() | {"suppress_extended_protection": 1, "problems": ("odd",)})
    names = [f"EX{number:03d}" for number in range(100)]
    servers = tuple(counted.model_copy(update={"server": name}) for name in names)
    facts = fact_set(*names).model_copy(update={"servers": servers})
    reads = 0
    unsafe = {"lb1": Capabilities(ntlm_safe=frozenset[Mode]())}
    for modes in (BRIDGED, all_modes(Mode.OFFLOAD)):
        advice = advise(desired(modes), facts, unsafe, NOW)
        told = [*advice.farm, *(finding for verdict in advice.services for finding in verdict.findings)]
        assert len(set(told)) < 12
        assert {len(finding.where) for finding in told if finding.where != ("lb1",)} <= {0, 100}
    assert reads <= 2 * 12 * len(names), "a few times for each server, whatever their number"


def test_each_server_is_judged_by_what_was_seen_on_it(recorded: Recorded) -> None:
    """Mendable or not is another word for bridging there; the third could go on."""
    facts = recorded("e19_applicationHost_EPoff", "e19_applicationHost_EPon", "e19_applicationHost_EPoff")
    first, second, third = facts.servers
    first = first.model_copy(update={"bindings": first.bindings[1:]})
    advice = judge(facts.model_copy(update={"servers": (first, second, third)}))
    rpc = next(verdict for verdict in advice.services if verdict.service is Service.OUTLOOK_ANYWHERE)
    told = [(group.servers, [(one.word, one.rules) for one in group.judgements]) for group in rpc.groups]
    undocumented = ("offload-undocumented",)
    assert told == [
        (("EX01",), [("must not", ("no-http-binding",)), ("recommended", ("no-http-binding", *undocumented))]),
        (("EX02",), [("must not", ("extended-protection",)), ("must", ("extended-protection",))]),
        (("EX03",), [("fine", undocumented), ("recommended", undocumented)]),
    ]
