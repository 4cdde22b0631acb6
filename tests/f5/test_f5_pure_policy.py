"""Where each request goes by the rules of a policy: an evaluator of F5's rules, written for this test, asks them.

It knows what F5's policy reference says of these conditions: the path is what stands before the question mark, undecoded;
segments are counted from 1; conditions must all be met, of values one; the first rule that is met decides alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as tried
from hypothesis import strategies as st

from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync_f5.names import Names
from lbsync_f5.policy import live_names, modes_of, mrsproxy_policy, one_mode, policy
from lbsync_f5.project import is_whole
from lbsync_f5.things import Thing
from lbsync_f5.wire import plain_rules
from tests.balancers.paths import (
    CANONICAL,
    EVERY,
    HARMLESS,
    MRSPROXY,
    may_be_in_clear,
    may_lead_to,
    named,
    readings,
)
from tests.balancers.routing import spellings
from tests.f5.samples import BRIDGED, OFFLOADED, shown

NAMES = Names("Common", None, "lb1")
_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "equals": str.__eq__,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": str.__contains__,
}
_HOW = frozenset(
    {"name", "caseInsensitive", "request", "values", "httpUri", "path", "pathSegment", "index", "httpHeader", "tmName"}
)


def holds(condition: Mapping[str, Any], target: str, headers: Mapping[str, str]) -> bool:
    """Whether a request meets a condition."""
    (operator,) = set(condition) - _HOW
    path = target.partition("?")[0]
    if condition.get("pathSegment"):
        segments = path.split("/")
        seen = segments[condition["index"]] if condition["index"] < len(segments) else None
    else:
        seen = headers.get(condition["tmName"]) if condition.get("httpHeader") else path
    compare = _COMPARE[operator]
    return seen is not None and any(compare(seen.lower(), value.lower()) for value in condition["values"])


def judge(rules: Iterable[Mapping[str, Any]], target: str, **headers: str) -> tuple[str, str]:
    """``reset``, ``redirect``, ``http`` or ``https``, and the pool's name."""
    for rule in sorted(rules, key=lambda one: int(one["ordinal"])):
        if all(holds(one, target, headers) for one in rule["conditions"]):
            actions = rule["actions"]
            if any(one.get("shutdown") for one in actions):
                return "reset", ""
            if any(one.get("redirect") for one in actions):
                return "redirect", ""
            (pool,) = (one["pool"] for one in actions if one.get("forward"))
            plain = any(one.get("serverSsl") and one.get("disable") for one in actions)
            return "http" if plain else "https", pool.rpartition("lb1_")[2]
    raise AssertionError("the last rule matches everything")


def rules(
    modes: Mapping[Service, Mode], services: Iterable[Service] = SERVICES, *, ntlm: bool = False, apart: bool = False
) -> list[dict[str, Any]]:
    """The rules of a policy as a device gives them back."""
    return plain_rules(shown(policy(NAMES, services, modes, ntlm=ntlm, apart=apart)))


def plain_text(target: str) -> bool:
    """Whether a policy can name each character of a target: raw bytes above 0x7e and control characters it cannot.

    http.sys refuses control characters itself, and reads raw bytes as UTF-8, in which none stands for a letter of ours.
    """
    return all("\x20" < one <= "\x7e" for one in target)


BY_REQUEST = rules(OFFLOADED)
"""Every service in clear that may be, each request by itself."""
BRIDGING = rules(BRIDGED)
ONE_MODE = {
    "offload": rules(OFFLOADED, ntlm=True),
    "offload, apart": rules(OFFLOADED, ntlm=True, apart=True),
    "bridge": rules(BRIDGED, ntlm=True),
    "bridge, apart": rules(BRIDGED, ntlm=True, apart=True),
}
EWS_ALONE = rules(OFFLOADED, [Service.EWS])
APART = plain_rules(shown(mrsproxy_policy(NAMES)))
ALL = {"by request": BY_REQUEST, "bridged": BRIDGING, **ONE_MODE}


def only_what_may(found: list[dict[str, Any]], target: str) -> None:
    """What is true of every target and policy."""
    ends, pool = judge(found, target)
    if ends == "http" and plain_text(target):
        assert may_be_in_clear(target)
    if ends == "http":
        assert not may_lead_to(target, "ews", "mrsproxy.svc")
        assert pool.endswith("_offload")
    if ends == "https":
        assert pool.endswith("_bridge")
    if ends in {"http", "https"}:
        assert not may_lead_to(target, "powershell")
        prefixes = {spec.prefix.split("/")[1] for spec in SERVICES.values()}
        assert all(not one or one[0] in prefixes for one in readings(target))


@pytest.mark.parametrize("target", EVERY, ids=named)
def test_only_what_may_reaches_a_server(target: str) -> None:
    """A plain pool gets canonical paths only; nobody gets PowerShell, or what may climb out of what is published."""
    for way in ALL.values():
        only_what_may(way, target)


@tried(deadline=None, max_examples=500)
@given(target=spellings())
@example(target="/owa/%u002e%u002e/%70owershell")
@example(target="/owa/x%u002f../%u002f../x")
def test_no_spelling_gets_further(target: str) -> None:
    """Made of the words that matter, joined in every way."""
    for way in ALL.values():
        only_what_may(way, target)


@pytest.mark.parametrize(("target", "ends"), CANONICAL, ids=[named(target) for target, _ in CANONICAL])
def test_a_canonical_path_follows_its_mode(target: str, ends: str) -> None:
    """To its service's pool in clear where that is offloaded, over TLS else, whether or not connections belong to clients."""
    if ends != "http":
        return
    prefix = target.lower().partition("?")[0].split("/")[1]
    (service,) = (one for one, spec in SERVICES.items() if spec.prefix == f"/{prefix}")
    for way in (BY_REQUEST, ONE_MODE["offload"], ONE_MODE["offload, apart"]):
        assert judge(way, target) == ("http", f"{service}_offload")
    for way in (BRIDGING, ONE_MODE["bridge"], ONE_MODE["bridge, apart"]):
        assert judge(way, target) == ("https", f"{service}_bridge")


@pytest.mark.parametrize("target", MRSPROXY, ids=named)
def test_mrsproxy_is_never_in_clear(target: str) -> None:
    """By any spelling over TLS or nowhere; in one mode in clear, or with a place of its own, nowhere."""
    assert judge(BY_REQUEST, target)[0] in {"https", "reset"}
    assert judge(ONE_MODE["bridge"], target)[0] in {"https", "reset"}
    for way in ("offload", "offload, apart", "bridge, apart"):
        assert judge(ONE_MODE[way], target) == ("reset", "")


@pytest.mark.parametrize(
    "target", ["/ews/mrsproxy.svc", "/EWS/MRSProxy.svc/", "/ews/mrsproxy.svc?x", "/ews/mrsproxy.svc/x"]
)
def test_mrsproxy_has_its_own_pool(target: str) -> None:
    """Matched before EWS, whatever mode that is in."""
    for way in (BY_REQUEST, BRIDGING, ONE_MODE["bridge"]):
        assert judge(way, target) == ("https", "mrsproxy_bridge")


@tried(deadline=None)
@given(target=st.sampled_from(EVERY) | spellings())
def test_where_all_is_in_clear_nothing_opens_a_connection_over_tls(target: str) -> None:
    """Nor the other way round: what a client's connection to a server is decides for all its requests."""
    for way in ("offload", "offload, apart"):
        assert judge(ONE_MODE[way], target)[0] != "https"
    for way in ("bridge", "bridge, apart"):
        assert judge(ONE_MODE[way], target)[0] != "http"


@tried(deadline=None)
@given(target=st.sampled_from(EVERY) | spellings())
def test_mrsproxys_own_virtual_server_has_nothing_else(target: str) -> None:
    """Its path, in plain spelling, over TLS."""
    ends, pool = judge(APART, target)
    assert ends in {"https", "reset"}
    if ends == "https":
        assert pool == "mrsproxy_bridge"
        assert all(one[:2] == ("ews", "mrsproxy.svc") for one in readings(target))


@pytest.mark.parametrize("target", [one for one in HARMLESS if one.startswith("/owa/")])
def test_odd_spellings_of_real_clients_are_served_over_tls(target: str) -> None:
    """Where each request goes its own way; where all is in clear they are not served."""
    for way in (BY_REQUEST, BRIDGING, ONE_MODE["bridge"], ONE_MODE["bridge, apart"]):
        assert judge(way, target)[0] == "https"
    assert judge(ONE_MODE["offload"], target)[0] == "reset"


def test_the_root_leads_to_owa() -> None:
    """By the servers over TLS, where Require SSL stays on it; by the device itself where all is in clear."""
    for target in ("/", "/?x=1"):
        assert judge(BY_REQUEST, target) == ("https", "owa_bridge")
        assert judge(ONE_MODE["bridge"], target) == ("https", "owa_bridge")
        assert judge(ONE_MODE["offload"], target) == ("redirect", "")
        assert judge(rules(BRIDGED, [Service.EWS]), target) == ("reset", "")


@pytest.mark.parametrize(
    "services",
    [
        (Service.OWA,),
        (Service.EWS,),
        (Service.MRSPROXY,),
        (Service.OWA, Service.MRSPROXY),
        (Service.OWA, Service.EWS, Service.MRSPROXY),
        (Service.ECP, Service.MAPI),
    ],
    ids="+".join,
)
def test_what_is_not_published_is_nowhere(services: tuple[Service, ...]) -> None:
    """Not by an odd spelling below a path that is, nor MRSProxy by way of EWS, nor EWS by way of MRSProxy."""
    modes = {service: OFFLOADED[service] for service in services}
    for way in (rules(modes, services), rules(BRIDGED, services), rules(BRIDGED, services, ntlm=True)):
        for target in EVERY:
            ends, _ = judge(way, target)
            only_what_may(way, target)
            if ends in {"http", "https"} and target.partition("?")[0] != "/":
                assert all(_published(one, services) for one in readings(target)), target


def _published(segments: tuple[str, ...], services: Iterable[Service]) -> bool:
    """The longest prefix decides whose a path is; what has no segment at all is nobody's and harmless."""
    prefixes = {tuple(spec.prefix.split("/")[1:]): service for service, spec in SERVICES.items()}
    for length in (2, 1):
        if (owner := prefixes.get(segments[:length])) is not None:
            return owner in services
    return not segments


@pytest.mark.parametrize("scheme", ["NTLM TlRM", "Negotiate YII=", "negotiate", "ntlm x"])
def test_identities_of_connections_are_refused_where_connections_are_shared(scheme: str) -> None:
    """Declared as unused, and refused so that no one's login becomes everybody's."""
    assert judge(BY_REQUEST, "/owa/", Authorization=scheme) == ("reset", "")
    assert judge(BRIDGING, "/ews/mrsproxy.svc", Authorization=scheme) == ("reset", "")
    assert judge(ONE_MODE["bridge"], "/owa/", Authorization=scheme)[0] == "https"
    for other in ("Basic dXNlcjpw", "Bearer ntlm"):
        assert judge(BY_REQUEST, "/owa/", Authorization=other)[0] == "http"


def _maps() -> Iterable[dict[Service, Mode]]:
    for chosen in itertools.product(*[list(Mode) if spec.offloadable else [Mode.BRIDGE] for spec in SERVICES.values()]):
        yield dict(zip(SERVICES, chosen, strict=True))


def test_the_modes_are_read_back_from_the_rules() -> None:
    """Every one of them, for every choice of modes; and every choice is a policy of its own."""
    found = set[str]()
    for modes in _maps():
        made = policy(NAMES, SERVICES, modes, ntlm=False, apart=False)
        assert modes_of(plain_rules(shown(made)), NAMES) == modes
        found.add(made.path)
    assert len(found) == 2 ** sum(spec.offloadable for spec in SERVICES.values())


def test_modes_of_one_mode_are_read_back_too() -> None:
    """MRSProxy has none where it is not served here."""
    for modes, way in ((OFFLOADED, "offload"), (OFFLOADED, "offload, apart"), (BRIDGED, "bridge, apart")):
        wanted = {service: mode for service, mode in modes.items() if service is not Service.MRSPROXY}
        assert modes_of(ONE_MODE[way], NAMES) == wanted
    assert modes_of(ONE_MODE["bridge"], NAMES) == BRIDGED


@pytest.mark.parametrize("modes", [BRIDGED, OFFLOADED], ids=["bridge", "offload"])
@pytest.mark.parametrize("apart", [False, True])
def test_which_pools_are_live_is_read_back_from_the_rules(modes: Mapping[Service, Mode], apart: bool) -> None:
    """Also where nothing is bridged, so that no pool tells; the modes are the same, and each is a policy of its own."""
    made = [policy(names, SERVICES, modes, ntlm=True, apart=apart) for names in (NAMES, NAMES.turned)]
    pairs = (made, [mrsproxy_policy(NAMES), mrsproxy_policy(NAMES.turned)])
    for first, twins in pairs:
        assert first.path != twins.path
        for names in (NAMES, NAMES.turned):
            found = [live_names(plain_rules(shown(one)), names) for one in (first, twins)]
            assert found == [NAMES, NAMES.turned]
    assert modes_of(plain_rules(shown(made[0])), NAMES) == modes_of(plain_rules(shown(made[1])), NAMES)
    assert live_names([], NAMES) == NAMES


def test_a_pool_and_its_twin_are_closed_by_turns() -> None:
    """Only what bridges has a twin: Extended Protection needs TLS to the servers."""
    assert NAMES.pool(Service.OWA, Mode.BRIDGE) in NAMES.turned.closed - NAMES.closed
    assert NAMES.turned.pool(Service.OWA, Mode.BRIDGE) in NAMES.closed - NAMES.turned.closed
    assert NAMES.turned.pool(Service.OWA, Mode.OFFLOAD) == NAMES.pool(Service.OWA, Mode.OFFLOAD)
    assert NAMES.turned.turned == NAMES


def test_rules_of_others_say_nothing_of_modes() -> None:
    """Names, pools and shapes that are none of ours."""
    theirs: list[dict[str, Any]] = [
        {"name": "owa", "actions": [{"pool": "/Common/theirs", "forward": True}]},
        {"name": "mine", "actions": [{"pool": NAMES.pool(Service.OWA, Mode.BRIDGE)}]},
        {"name": "ews", "actions": None},
        {"name": "oab", "actions": ["x", {"pool": 7}]},
    ]
    assert modes_of(theirs, NAMES) == {}


@pytest.mark.parametrize(("ntlm", "apart"), list(itertools.product([True, False], repeat=2)))
def test_a_policy_is_named_by_its_rules(ntlm: bool, apart: bool) -> None:
    """The same wish has the same name, whatever the order it is told in; it is marked; its rules are numbered from 0."""
    made = policy(NAMES, SERVICES, BRIDGED, ntlm=ntlm, apart=apart)
    again = policy(NAMES, reversed(list(SERVICES)), dict(reversed(BRIDGED.items())), ntlm=ntlm, apart=apart)
    assert made == again
    assert made.path.startswith("/Common/lbsync_lb1_modes_")
    assert is_whole(shown(made))
    edited = made.model_copy(update={"body": {**made.body, "rules": _rules(made)[1:]}})
    assert not is_whole(shown(edited))
    assert [rule["ordinal"] for rule in _rules(made)] == list(range(len(_rules(made))))
    assert _rules(made)[-1]["conditions"] == []


def test_digests_do_not_change_by_themselves() -> None:
    """Another name would be a publish for everybody: whoever changes rules changes this, and knows."""
    found = {
        way: policy(NAMES, SERVICES, modes, ntlm=ntlm, apart=apart).path.rpartition("_")[2]
        for way, modes, ntlm, apart in (
            ("by request", OFFLOADED, False, False),
            ("offload, apart", OFFLOADED, True, True),
            ("bridge", BRIDGED, True, False),
        )
    } | {"mrsproxy": mrsproxy_policy(NAMES).path.rpartition("_")[2]}
    assert found == DIGESTS


DIGESTS = {
    "by request": "d6072f49d872935f",
    "offload, apart": "39737d7e3b5f20d7",
    "bridge": "c7268bbb0b9d58f1",
    "mrsproxy": "fdabf91ca70ff5d3",
}


def _rules(made: Thing) -> list[dict[str, Any]]:
    found: Any = made.body["rules"]
    return list(found)


def test_only_actions_that_f5_has_are_used() -> None:
    """Each a verb with its own words, at the request; server-ssl is switched before the headers, by every rule."""
    for way in ALL.values():
        for rule in way:
            for action in rule["actions"]:
                verbs = {"forward", "disable", "enable", "replace", "shutdown", "redirect"} & set(action)
                assert len(verbs) == 1, action
                assert action["request"] is True
            for condition in rule["conditions"]:
                assert len(set(condition) - _HOW) == 1
                assert condition["request"] is condition["caseInsensitive"] is True
            assert [one["name"] for one in rule["actions"]] == [str(at) for at in range(len(rule["actions"]))]


def test_servers_are_told_of_tls_whatever_a_client_claims() -> None:
    """Both headers are replaced on every way to a server."""
    for rule in (rule for way in ALL.values() for rule in way):
        if any(one.get("forward") for one in rule["actions"]):
            replaced = {one["tmName"]: one["value"] for one in rule["actions"] if one.get("replace")}
            assert replaced == {"X-Forwarded-Proto": "https", "Front-End-Https": "on"}


def test_one_mode_is_that_of_all_that_may_be_in_either() -> None:
    """MRSProxy does not count; mixed modes are none."""
    assert one_mode(OFFLOADED) is Mode.OFFLOAD
    assert one_mode(BRIDGED) is Mode.BRIDGE
    assert one_mode({**OFFLOADED, Service.OWA: Mode.BRIDGE}) is None
    assert one_mode({Service.MRSPROXY: Mode.BRIDGE}) is None


@tried(deadline=None)
@given(st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12))
def test_what_follows_a_published_path_decides_nothing_unseen(tail: str) -> None:
    """Any printable tail behind /owa/ and /ews/ keeps to the same rules."""
    for start in ("/owa/", "/ews/", "/ews/mrsproxy.svc", "/owa"):
        for way in (*ALL.values(), EWS_ALONE):
            only_what_may(way, start + tail)
