"""From a change to steps on a BIG-IP, each with its way back."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from pydantic import JsonValue

from lbsync.changes import (
    Drain,
    EnableCertificate,
    InstallCertificate,
    Mark,
    Publish,
    SwitchCertificate,
    SwitchMode,
    Undrain,
)
from lbsync.errors import UnsupportedMode
from lbsync.facts import BalancerFacts, FarmFacts
from lbsync.model import Action, Mode, Step
from lbsync.services import SERVICES, Service
from lbsync.target import Member
from lbsync_certs import Thumbprint
from lbsync_f5 import plugin, things
from lbsync_f5.judge import judge
from lbsync_f5.lowering import Lowering, differences
from lbsync_f5.render import names_of, render
from lbsync_f5.settings import F5Settings
from lbsync_f5.things import Thing, things_of
from lbsync_f5.wish import Wish
from tests.f5.samples import (
    APART,
    ATTACHED,
    BRIDGED,
    CONNECTIONS,
    LEAF,
    NAME,
    OFFLOADED,
    OTHER,
    PASSWORD,
    REQUESTS,
    SPEC,
    VIRTUAL,
    WAYS,
    nothing,
    published,
    settings,
)

every_way = pytest.mark.parametrize("way", list(WAYS.values()), ids=list(WAYS))
ALL = tuple(service for service, spec in SERVICES.items() if spec.offloadable)
MIXED = {**BRIDGED, Service.OWA: Mode.OFFLOAD}


def bare(way: F5Settings) -> BalancerFacts:
    """Facts of a device without anything of ours."""
    return judge(SPEC, way, nothing(way), SERVICES)


def full(way: F5Settings, modes: dict[Service, Mode] = BRIDGED) -> BalancerFacts:
    """Facts of one that is published."""
    return judge(SPEC, way, published(way, modes), SERVICES)


def publish(way: F5Settings, seen: BalancerFacts, modes: dict[Service, Mode] = BRIDGED) -> Step:
    """The only step of a publication."""
    (step,) = Lowering(SPEC, way).lower(Publish(leaf=LEAF, modes=modes), seen)
    return step


def args(action: Action | None) -> dict[str, Any]:
    """The arguments of an action that is there."""
    assert action is not None
    return dict(action.args)


# --- publish ------------------------------------------------------------------------------------------------------------


@every_way
def test_a_first_publication_is_undone_to_nothing(way: F5Settings) -> None:
    """Its undo has no object, and waits until none of ours is there; an attached virtual server gets back what it had."""
    seen = bare(way)
    step = publish(way, seen)
    assert step.sign == "+"
    do, undo = args(step.do), args(step.undo)
    assert things_of(do["things"]) == render(SPEC, way)
    assert (do["leaf"], do["modes"]) == (LEAF, {service.value: "bridge" for service in SERVICES})
    assert (undo["things"], undo["leaf"], undo["modes"]) == ([], None, {})
    assert [check.verb for check in step.until] == ["published", "serving"]
    assert step.until[0].args == {"structure": seen.wanted_structure}
    assert [(check.verb, check.args) for check in step.undo_until] == [("published", {"structure": None})]
    assert f"make {len(render(SPEC, way))} objects named /Common/lbsync_lb1_" in step.summary
    if way.attach is None:
        assert do["attachment"] is undo["attachment"] is None
    else:
        image: Any = seen.image["attached"]
        assert do["attachment"] == {"virtual": VIRTUAL, "profiles": image["wanted"]}
        assert undo["attachment"] == {"virtual": VIRTUAL, "profiles": image["profiles"], "policies": []}
        assert image["wanted"] != image["profiles"]


@every_way
def test_a_later_publication_goes_back_to_what_was(way: F5Settings) -> None:
    """With its leaf, its modes and its objects, and waits for their structure and leaf."""
    seen = full(way)
    wider = SPEC.model_copy(
        update={"members": (*SPEC.members, Member(name="EX04", address="10.0.0.14", tls_name=NAME))}
    )
    (step,) = Lowering(wider, way).lower(Publish(leaf=OTHER, modes=BRIDGED), seen)
    assert step.sign == "~"
    undo = args(step.undo)
    assert undo["things"] == seen.image["things"]
    assert (undo["leaf"], undo["modes"]) == (LEAF, {service.value: "bridge" for service in SERVICES})
    assert [(check.verb, check.args) for check in step.undo_until] == [
        ("published", {"structure": seen.structure}), ("serving", {"leaf": LEAF}),
    ]  # fmt: skip
    assert {line.rpartition(":")[0].split(" ")[2] for line in step.details if line.startswith("~ ")} >= {"members:"}
    assert all("10.0.0.14" in line for line in step.details)


def test_the_way_back_from_what_was_left_half_done_waits_for_that_and_no_leaf() -> None:
    """Objects without a policy are not published: going back makes them again, and they serve nothing."""
    seen = full(CONNECTIONS).model_copy(update={"published": False})
    step = publish(CONNECTIONS, seen)
    assert [(check.verb, check.args) for check in step.undo_until] == [("published", {"structure": seen.structure})]


def test_modes_that_nobody_said_are_bridged() -> None:
    """In the action, so that a policy is whole."""
    step = publish(REQUESTS, bare(REQUESTS), {Service.OWA: Mode.OFFLOAD})
    assert args(step.do)["modes"] == {
        service.value: "offload" if service == "owa" else "bridge" for service in SERVICES
    }


@every_way
def test_an_action_is_read_back_as_a_wish(way: F5Settings) -> None:
    """What lowering wrote is what publishing does, in both directions."""
    for seen in (bare(way), full(way)):
        step = publish(way, seen)
        forward, back = Wish.of(args(step.do)), Wish.of(args(step.undo))
        assert (forward.things, forward.leaf, forward.modes) == (render(SPEC, way), LEAF, BRIDGED)
        assert list(back.things) == list(things_of(seen.image["things"]))
        assert (back.leaf, dict(back.modes)) == (seen.leaf, seen.modes)


# --- details ------------------------------------------------------------------------------------------------------------


def test_new_objects_are_counted_and_changed_ones_told() -> None:
    """A line for each collection, one for each property that changes, one for each object that goes."""
    old = render(SPEC, CONNECTIONS)
    new = render(SPEC, settings(resumption=False, monitor_interval_s=5, http_port=0, snat="none"))
    lines = differences(old, new)
    assert "+ 1 ltm/virtual" not in lines
    assert "- /Common/lbsync_lb1_http" in lines
    assert "~ /Common/lbsync_lb1_owa_bridge interval: 10 → 5" in lines
    assert "~ /Common/lbsync_lb1_https sourceAddressTranslation: {'type': 'automap'} → {'type': 'none'}" in lines
    assert "~ /Common/lbsync_lb1_client-ssl cacheSize: 262144 → 0" in lines
    assert not any("description" in line for line in lines)
    fresh = differences((), old)
    assert "+ 26 ltm/pool" in fresh
    assert "+ 2 ltm/virtual" in fresh
    assert differences(old, old) == ()


def test_numbers_that_a_device_writes_as_text_are_no_change() -> None:
    """14.1 shows ``"1800"`` where 1800 was written."""
    old = Thing(collection=things.TCP, path="/Common/t", body={"idleTimeout": "1800", "description": "x"})
    new = Thing(collection=things.TCP, path="/Common/t", body={"idleTimeout": 1800, "description": "y"})
    assert differences([old], [new]) == ()
    (line,) = differences([old], [new.model_copy(update={"body": {"idleTimeout": 60}})])
    assert line == "~ /Common/t idleTimeout: 1800 → 60"


def test_objects_are_read_from_lists_alone() -> None:
    """Anything else was not written by this provider."""
    values: tuple[JsonValue, ...] = (None, {}, "x")
    for value in values:
        with pytest.raises(TypeError, match="must be a list"):
            things_of(value)
    for seen in (bare(CONNECTIONS),):
        with pytest.raises(TypeError):
            publish(CONNECTIONS, seen.model_copy(update={"image": {}}))


# --- switching ----------------------------------------------------------------------------------------------------------


@every_way
def test_a_certificate_is_switched_by_one_change_and_back_by_another(way: F5Settings) -> None:
    """The undo mirrors it, and so do the checks."""
    (step,) = Lowering(SPEC, way).lower(SwitchCertificate(before=LEAF, after=OTHER), full(way))
    assert (args(step.do), args(step.undo)) == ({"leaf": OTHER}, {"leaf": LEAF})
    assert step.do is not None
    assert step.undo is not None
    assert step.do.verb == step.undo.verb == "switch-certificate"
    assert [check.args["leaf"] for check in (*step.until, *step.undo_until)] == [OTHER, LEAF]


@pytest.mark.parametrize(
    ("way", "services", "told"),
    [
        (REQUESTS, (Service.OWA,), "switch-mode:owa:offload"),
        (REQUESTS, (Service.OWA, Service.EWS), "switch-mode:all:offload"),
        (CONNECTIONS, ALL, "switch-mode:all:offload"),
        (APART, ALL, "switch-mode:all:offload"),
    ],
)
def test_modes_are_switched_in_one_step(way: F5Settings, services: tuple[Service, ...], told: str) -> None:
    """By another policy, and back by the one before."""
    change = SwitchMode(services=services, before=Mode.BRIDGE, after=Mode.OFFLOAD)
    (step,) = Lowering(SPEC, way).lower(change, full(way))
    assert step.id == f"lb1:{told}"
    assert (args(step.do)["mode"], args(step.undo)["mode"]) == ("offload", "bridge")
    assert args(step.do)["services"] == args(step.undo)["services"] == [service.value for service in services]
    assert [check.args["mode"] for check in (*step.until, *step.undo_until)] == ["offload", "bridge"]
    assert "by another policy" in step.summary


@pytest.mark.parametrize("way", [CONNECTIONS, APART, ATTACHED], ids=["connections", "apart", "attached"])
def test_mixed_modes_are_refused_where_connections_belong_to_clients(way: F5Settings) -> None:
    """In a publication and in a switch, with the ways out."""
    lowering = Lowering(SPEC, way)
    for change in (
        Publish(leaf=LEAF, modes=MIXED),
        Publish(leaf=LEAF, modes={Service.OWA: Mode.OFFLOAD}),
        SwitchMode(services=(Service.OWA,), before=Mode.BRIDGE, after=Mode.OFFLOAD),
        SwitchMode(services=ALL[:-1], before=Mode.BRIDGE, after=Mode.OFFLOAD),
    ):
        with pytest.raises(UnsupportedMode, match="all services share one mode") as caught:
            lowering.lower(change, full(way))
        assert 'ntlm = "unused"' in caught.value.remedy
    for modes in (BRIDGED, OFFLOADED):
        assert lowering.lower(Publish(leaf=LEAF, modes=modes), full(way))


def test_mixed_modes_go_where_each_request_goes_by_itself() -> None:
    """Each service its own."""
    assert args(publish(REQUESTS, bare(REQUESTS), MIXED).do)["modes"]["owa"] == "offload"


@pytest.mark.parametrize("services", [(Service.OWA, Service.MRSPROXY), (Service.MRSPROXY,)])
def test_mrsproxy_does_not_count_for_the_one_mode(services: tuple[Service, ...]) -> None:
    """It is bridged always; alone it is nobody's other mode."""
    spec = SPEC.model_copy(update={"services": services})
    lowering = Lowering(spec, APART)
    offloaded = {service: OFFLOADED[service] for service in services}
    assert lowering.lower(Publish(leaf=LEAF, modes=offloaded), bare(APART))
    if Service.OWA in services:
        assert lowering.lower(SwitchMode(services=(Service.OWA,), before=Mode.BRIDGE, after=Mode.OFFLOAD), full(APART))


# --- what every balancer has ---------------------------------------------------------------------------------------------


def test_a_certificate_is_installed_once_and_taken_away_again() -> None:
    """As file objects in our place; what is installed is not installed again, so nothing would remove it."""
    lowering = Lowering(SPEC, settings(partition="Exchange", folder="mail"))
    (step,) = lowering.lower(InstallCertificate(leaf=OTHER), full(CONNECTIONS))
    assert "into /Exchange/mail as file objects" in step.summary
    assert (args(step.do)["leaf"], args(step.undo)["leaf"]) == (OTHER, OTHER)
    assert lowering.lower(InstallCertificate(leaf=LEAF), full(CONNECTIONS)) == ()


@every_way
def test_what_a_drained_server_still_has_is_called_by_its_name(way: F5Settings) -> None:
    """Connections where clients keep them, requests else; a drain that cuts has two steps, one that stops has one."""
    word = "request" if way.ntlm == "unused" else "connection"
    lowering = Lowering(SPEC, way)
    drain, cut = lowering.lower(Drain(server="EX01", timeout_s=9, on_timeout="cut"), full(way))
    assert f"wait up to 9 s for the {word}s at EX01" in cut.summary
    assert (args(drain.do)["state"], args(drain.undo)["state"]) == ("drain", "ready")
    (alone,) = lowering.lower(Drain(server="EX01", timeout_s=9, on_timeout="stop"), full(way))
    assert [check.verb for check in alone.until] == ["drained"]
    (back,) = lowering.lower(Undrain(server="EX01", timeout_s=9, on_timeout="cut"), full(way))
    assert (args(back.do)["state"], args(back.undo)) == (
        "ready", {"server": "EX01", "state": "drain", "cut_after_s": 9.0},
    )  # fmt: skip


def test_the_run_marker_is_named_where_it_is() -> None:
    """In our partition and folder."""
    way = settings(partition="Exchange", folder="mail")
    (step,) = Lowering(SPEC, way).lower(Mark(marker="run 7", present=True), bare(CONNECTIONS))
    assert names_of(SPEC, way).marker in step.summary
    assert (args(step.do), args(step.undo)) == ({"marker": "run 7"}, {"marker": "run 7"})


CHANGES = (
    Publish(leaf=OTHER, modes=BRIDGED),
    SwitchCertificate(before=LEAF, after=OTHER),
    SwitchMode(services=ALL, before=Mode.BRIDGE, after=Mode.OFFLOAD),
    InstallCertificate(leaf=OTHER),
    Drain(server="EX01", timeout_s=9, on_timeout="cut"),
    Undrain(server="EX01", timeout_s=9, on_timeout="stop"),
    Mark(marker="run", present=True),
    Mark(marker="run", present=False),
)


@every_way
@pytest.mark.parametrize("change", CHANGES, ids=lambda one: str(one.kind))
def test_lowering_is_pure_and_its_steps_can_be_stored(way: F5Settings, change: Any) -> None:
    """The same facts give the same steps and stay as they are; a step is JSON, with no key and no password in it."""
    for seen in (bare(way), full(way)):
        before = copy.deepcopy(seen)
        steps = Lowering(SPEC, way).lower(change, seen)
        assert steps == Lowering(SPEC, way).lower(change, seen)
        assert seen == before
        for step in steps:
            stored = step.model_dump_json()
            assert Step.model_validate_json(stored) == step
            assert "PRIVATE" not in stored
            assert PASSWORD not in stored
            assert step.target == "lb1"
            assert json.loads(stored)["do"]["verb"]


def test_what_cannot_be_is_refused_while_planning() -> None:
    """MRSProxy in clear, a service that is not published, another target's change or facts."""
    lowering = Lowering(SPEC, REQUESTS)
    with pytest.raises(UnsupportedMode):
        lowering.lower(Publish(leaf=LEAF, modes={Service.MRSPROXY: Mode.OFFLOAD}), bare(REQUESTS))
    narrow = Lowering(SPEC.model_copy(update={"services": (Service.OWA,)}), REQUESTS)
    with pytest.raises(UnsupportedMode):
        narrow.lower(SwitchMode(services=(Service.EWS,), before=Mode.BRIDGE, after=Mode.OFFLOAD), bare(REQUESTS))
    with pytest.raises(TypeError):
        lowering.lower(EnableCertificate(before=None, after=Thumbprint("A" * 40)), bare(REQUESTS))
    raw = {**REQUESTS.model_dump(), "hosts": ("127.0.0.1",)}
    with plugin.open(SPEC, raw) as provider:
        assert provider.name == "lb1"
        assert provider.capabilities.per_path_modes is True
        assert provider.lower(SwitchCertificate(before=LEAF, after=OTHER), bare(REQUESTS))
        with pytest.raises(TypeError):
            provider.lower(SwitchCertificate(before=LEAF, after=OTHER), FarmFacts())
