"""What would change if: each key the adviser may be asked by, what follows from it, and what it does not know."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lbsync.advise import advise, reasons
from lbsync.advise.compare import Comparison, compare
from lbsync.advise.what_if import KEYS, VERSIONS, implied, suppose, supposition
from lbsync.desired import Desired, FactSet
from lbsync.errors import ConfigError
from lbsync.facts import TokenChecking, VdirFacts
from lbsync.model import Mode
from lbsync.services import NO_SSL, SERVICES, Service
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import NOW, all_modes, balancer_facts, desired, fact_set

ABLE = {"lb1": Capabilities()}
EIGHT = tuple(service for service in Service if SERVICES[service].offloadable)
UNSAFE = Capabilities(ntlm_safe=frozenset[Mode]())
ONE_MODE = Capabilities(per_path_modes=False)


def what_if(
    words: Sequence[str], wish: Desired | None = None, facts: FactSet | None = None, form: Capabilities | None = None
) -> Comparison:
    """The difference it makes on a sound farm, or on the one given."""
    now = (wish or desired(), facts or fact_set(), ABLE)
    then = suppose(supposition(words), *now, form)
    return compare(
        now[0].modes,
        (advise(*now, NOW).farm, reasons(*now, NOW)),
        (advise(*then, NOW).farm, reasons(*then, NOW)),
    )


def turned(change: Comparison) -> dict[tuple[Service, Mode], bool]:
    """Whose verdict is another one then, and which."""
    return {(one.service, one.mode): one.after for one in change.verdicts if one.before is not one.after}


def offloading(services: Sequence[Service], *, after: bool) -> dict[tuple[Service, Mode], bool]:
    """Offload becomes possible, or refused, for these and nothing else changes."""
    return {(service, Mode.OFFLOAD): after for service in services}


def rules(findings: Sequence[object]) -> set[str]:
    """The ids of the rules."""
    return {str(getattr(finding, "rule", "")) for finding in findings}


def protected(facts: FactSet) -> FactSet:
    """The farm with Extended Protection on, below ActiveSync too, where servers talk to one another."""
    below = VdirFacts(
        location="Default Web Site/Microsoft-Server-ActiveSync/Proxy",
        own_ssl_flags=None,
        ssl_flags=NO_SSL,
        token_checking=TokenChecking.ALLOW,
    )
    _, facts, _ = suppose({"ep": "on"}, desired(), facts, ABLE)
    servers = tuple(one.model_copy(update={"vdirs": (*one.vdirs, below)}) for one in facts.servers)
    return facts.model_copy(update={"servers": servers})


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["ep=on"], "extended-protection"),
        (["oauth=on"], "oauth-in-use"),
        (["trusted_leg=false"], "leg-not-trusted"),
        (["encrypt_inside=true"], "encrypt-inside"),
        (["version=2019CU14"], "extended-protection"),
        (["version=SE"], "extended-protection"),
    ],
)
def test_what_forbids_offloading_is_told_for_each_service(words: list[str], rule: str) -> None:
    """Offload becomes impossible for all eight, with its reason; bridging stays."""
    change = what_if(words)
    assert turned(change) == offloading(EIGHT, after=False)
    assert rules(change.appearing) == {rule}
    assert not change.vanishing
    assert all(one.wanted for one in change.verdicts if one.service in EIGHT)


def test_a_mode_that_is_not_wanted_is_judged_too() -> None:
    """Whoever bridges everything learns what would no longer be possible."""
    change = what_if(["ep=on"], desired(all_modes(Mode.BRIDGE)))
    assert turned(change) == offloading(EIGHT, after=False)
    assert not any(one.wanted for one in change.verdicts if one.mode is Mode.OFFLOAD)


def test_extended_protection_is_supposed_as_the_script_of_microsoft_sets_it() -> None:
    """Allow where clients without it must still come in, None for Autodiscover, and nothing where no service is."""
    _, facts, _ = suppose({"ep": "on"}, desired(), protected(fact_set()), ABLE)
    assert {
        vdir.location.removeprefix("Default Web Site/"): vdir.token_checking.value for vdir in facts.servers[0].vdirs
    } == {
        "owa": "Require",
        "ecp": "Require",
        "Rpc": "Require",
        "OAB": "Allow",
        "Microsoft-Server-ActiveSync": "Allow",
        "EWS": "Allow",
        "Autodiscover": "None",
        "mapi": "Require",
        "Microsoft-Server-ActiveSync/Proxy": "Allow",
    }


def test_without_extended_protection_offloading_becomes_possible() -> None:
    """It is off everywhere then, also where no service is published."""
    change = what_if(["ep=off"], facts=protected(fact_set()))
    assert turned(change) == offloading(EIGHT, after=True)
    assert rules(change.vanishing) == {"extended-protection"}


def test_a_version_changes_what_is_said_of_it() -> None:
    """Offloading is documented for 2013 only; its members are alike again, whatever they ran before."""
    change = what_if(["version=2013"])
    assert turned(change) == {}
    assert rules(change.vanishing) == {"offload-undocumented"}
    facts = fact_set()
    mixed = (facts.servers[0].model_copy(update={"build": "15.2.986.49"}), *facts.servers[1:])
    change = what_if(["version=2019"], facts=facts.model_copy(update={"servers": mixed}))
    assert rules(change.vanishing) == {"version-drift"}


@pytest.mark.parametrize(
    ("words", "follows"),
    [
        (["version=SE"], {"ep": "on"}),
        (["version=2019CU14"], {"ep": "on"}),
        (["version=2019CU14", "ep=off"], {}),
        (["version=2019"], {}),
        (["ep=on"], {}),
        ([], {}),
    ],
)
def test_extended_protection_follows_from_a_version_unless_it_is_said(words: list[str], follows: object) -> None:
    """Set-up turns it on from 2019 CU14 on; who knows better says ep=off."""
    assert implied(supposition(words)) == follows


@pytest.mark.parametrize("words", [["ep=off"], ["oauth=off"], ["trusted_leg=true"], ["version=2019"], []])
def test_what_is_so_already_changes_nothing(words: list[str]) -> None:
    """No verdict, no reason."""
    assert what_if(words).empty


def test_mrsproxy_decides_where_a_balancer_has_one_mode_only() -> None:
    """Enabled, it is in the way of offloading there; disabled, it is not; and that is the farm's own reason."""
    one_mode = {"lb1": ONE_MODE}
    wish, facts, able = suppose({"mrsproxy": "off"}, desired(), fact_set(), one_mode)
    assert facts.farm.mrsproxy_enabled == {"EX01": False, "EX02": False}
    assert "mrsproxy-on-shared-listener" not in rules(advise(wish, facts, able, NOW).farm)
    wish, facts, able = suppose({"mrsproxy": "on"}, wish, facts, able)
    assert "mrsproxy-on-shared-listener" in rules(advise(wish, facts, able, NOW).farm)


def test_another_balancer_is_judged_by_what_it_can_do() -> None:
    """Services that log on by NTLM are refused in both modes; what spoke of the one before is gone with it."""
    blocked = balancer_facts(modes=all_modes(Mode.BRIDGE)).model_copy(update={"blockers": ("no admin socket",)})
    change = what_if(["balancer=nginx"], facts=fact_set(balancers=(blocked,)), form=UNSAFE)
    assert {service for service, _ in turned(change)} >= {Service.EWS, Service.MAPI, Service.MRSPROXY}
    assert (Service.ACTIVESYNC, Mode.BRIDGE) not in turned(change)
    assert rules(change.appearing) == {"balancer-ntlm"}
    assert rules(change.vanish) == {"balancer-blocked"}
    assert not change.appear


def test_a_balancer_may_be_supposed_where_there_is_none() -> None:
    """It is named after its form, and holds nothing yet."""
    _, facts, able = suppose({"balancer": "nginx-stream"}, desired(), fact_set(balancers=()), {}, ONE_MODE)
    assert able == {"nginx-stream": ONE_MODE}
    assert [(one.balancer, one.provider, one.published) for one in facts.balancers] == [
        ("nginx-stream", "nginx", False)
    ]


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        (["colour=red"], "nothing is known by 'colour'", "version=2013|2016|2019|2019CU14|SE"),
        (["EP=on"], "nothing is known by 'EP'", "ep=on|off"),
        (["ep"], "this is not KEY=VALUE", "trusted_leg=true|false"),
        ([""], "this is not KEY=VALUE", "oauth=on|off"),
        (["ep="], "ep cannot be ''", "give one of: on, off"),
        (["ep=yes"], "ep cannot be 'yes'", "give one of: on, off"),
        (["trusted_leg=on"], "trusted_leg cannot be 'on'", "give one of: true, false"),
        (["version=2010"], "version cannot be '2010'", "2013, 2016, 2019, 2019CU14, SE"),
        (["balancer=netscaler"], "balancer cannot be 'netscaler'", "haproxy, nginx, nginx-http, nginx-stream, bigip"),
        (["ep=on", "oauth=on", "ep=off"], "ep is given twice", "give each key once"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(words: list[str], message: str, remedy: str) -> None:
    """Each fault names its word and lists what may be given."""
    with pytest.raises(ConfigError, match=message) as caught:
        supposition(words)
    assert remedy in caught.value.remedy
    assert caught.value.where == f"--if {words[-1]}"


def test_every_key_and_value_is_understood() -> None:
    """No pair of the table is left without a meaning: each gives a farm that can be judged."""
    for key, values in KEYS.items():
        for value in values:
            then = suppose(
                supposition([f"{key}={value}"]), desired(), fact_set(), ABLE, ONE_MODE if key == "balancer" else None
            )
            assert len(advise(*then, NOW).services) == len(Service)
    assert set(VERSIONS) == set(KEYS["version"])


def test_corrections_name_what_is_refused_and_can_be_mended() -> None:
    """Bridging instead of offloading where that is possible; nothing for what is wanted rightly, or refused either way."""
    assert advise(desired(), fact_set(), ABLE, NOW).corrections == {}
    _, guarded, _ = suppose({"ep": "on"}, desired(), fact_set(), ABLE)
    assert advise(desired(), guarded, ABLE, NOW).corrections == dict.fromkeys(EIGHT, Mode.BRIDGE)
    both = advise(desired(), guarded, {"lb1": UNSAFE}, NOW)
    assert set(both.corrections) == {Service.OWA, Service.ECP, Service.ACTIVESYNC}
