"""From a change to steps on an NGINX, each with its way back."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
from lbsync_certs import Fingerprint, Thumbprint
from lbsync_nginx import plugin
from lbsync_nginx.judge import judge
from lbsync_nginx.layout import TEXT_FILES, main_file
from lbsync_nginx.lowering import Lowering
from lbsync_nginx.render import render, structure_of
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import NO_LEAF, NginxState, state_of
from tests.nginx.samples import (
    BRIDGED,
    HTTP,
    LEAF,
    OFFLOADED,
    OLD,
    OTHER,
    SPEC,
    STREAM,
    VARIABLE,
    WAYS,
    nothing,
    published,
)

every_way = pytest.mark.parametrize("way", list(WAYS.values()), ids=list(WAYS))
ALL = tuple(service for service, spec in SERVICES.items() if spec.offloadable)


def bare(way: NginxSettings) -> BalancerFacts:
    """Facts of an NGINX without anything of ours."""
    return judge(SPEC, way, nothing(way), SERVICES)


def full(way: NginxSettings) -> BalancerFacts:
    """Facts of one that is published, everything bridged and EX02 drained."""
    return judge(SPEC, way, published(way), SERVICES)


def publish(
    way: NginxSettings, seen: BalancerFacts, modes: dict[Service, Mode] = BRIDGED, leaf: Fingerprint = LEAF
) -> Step:
    """The only step of a publication."""
    (step,) = Lowering(SPEC, way).lower(Publish(leaf=leaf, modes=modes), seen)
    return step


def args(action: Action | None) -> dict[str, Any]:
    """The arguments of an action that is there."""
    assert action is not None
    return dict(action.args)


@every_way
def test_a_first_publication_is_undone_to_nothing(way: NginxSettings) -> None:
    """Its undo removes every file and the link, and waits until nothing of ours runs."""
    step = publish(way, bare(way))
    assert step.sign == "+"
    assert args(step.undo)["files"] == dict.fromkeys(TEXT_FILES)
    assert args(step.undo)["link"] is None
    assert [check.verb for check in step.until] == ["published", "serving"]
    assert [(check.verb, check.args) for check in step.undo_until] == [("published", {"structure": None})]
    assert args(step.do)["files"] == {**render(SPEC, way, OLD, NginxState(structure="", leaf=LEAF, modes=BRIDGED))}
    assert args(step.do)["link"] == (LEAF if way is VARIABLE else None)
    assert step.until[0].args == {"structure": bare(way).wanted_structure}
    place = "/etc/nginx/lbsync" if way is STREAM else "/etc/nginx/conf.d/lbsync.conf"
    assert f"upstreams into {place}, test" in step.summary


@every_way
def test_a_later_publication_shows_what_changes_and_goes_back_to_it(way: NginxSettings) -> None:
    """Line by line in the plan; the undo carries the texts of before, and waits for their leaf."""
    seen = full(way)
    wider = SPEC.model_copy(update={"members": (*SPEC.members, SPEC.members[0].model_copy(update={"name": "EX04"}))})
    (step,) = Lowering(wider, way).lower(Publish(leaf=OTHER, modes=BRIDGED), seen)
    assert step.sign == "~"
    assert any(line.startswith("+    server 10.0.0.11:80; # member EX04") for line in step.details)
    assert not any("EX01" in line for line in step.details)
    assert args(step.undo)["files"] == seen.image["files"]
    assert [check.verb for check in step.undo_until] == ["published", "serving"]
    assert step.undo_until[0].args == {"structure": seen.structure}
    assert step.undo_until[1].args == {"leaf": LEAF}


@every_way
def test_what_is_drained_stays_drained_by_a_publication(way: NginxSettings) -> None:
    """But for a member that is none any more."""
    seen = full(way)
    for members, down in ((SPEC.members, ("EX02",)), (SPEC.members[:1], ())):
        (step,) = Lowering(SPEC.model_copy(update={"members": members}), way).lower(
            Publish(leaf=LEAF, modes=BRIDGED), seen
        )
        found = state_of(args(step.do)["files"][main_file(way)])
        assert found is not None
        assert (found.down, found.modes) == (down, BRIDGED)


def test_a_publication_over_files_without_a_leaf_waits_for_none_on_its_way_back() -> None:
    """As the first run left them, killed before its own certificate was there."""
    files = {**render(SPEC, HTTP, OLD)}
    seen = bare(HTTP).model_copy(update={"image": {**bare(HTTP).image, "files": files}})
    step = publish(HTTP, seen)
    assert state_of(files[main_file(HTTP)]) is not None
    assert NO_LEAF in json.dumps(files)
    assert [check.verb for check in step.undo_until] == ["published"]


@every_way
def test_every_reload_forward_is_based_on_the_administrators_files(way: NginxSettings) -> None:
    """Their digest goes with each action forward, and with none back: a way back is not held up by what others did."""
    seen = full(way)
    assert isinstance(seen.image["foreign"], str)
    changes = (
        Publish(leaf=OTHER, modes=BRIDGED),
        SwitchCertificate(before=LEAF, after=OTHER),
        SwitchMode(services=ALL, before=Mode.BRIDGE, after=Mode.OFFLOAD),
        Drain(server="EX01", timeout_s=9, on_timeout="stop"),
        Undrain(server="EX02", timeout_s=9, on_timeout="stop"),
    )
    for change in changes:
        (step,) = Lowering(SPEC, way).lower(change, seen)
        assert args(step.do)["foreign"] == seen.image["foreign"]
        assert "foreign" not in args(step.undo)
        assert args(step.do)["warnings"] == args(step.undo)["warnings"] == []
    for other in (InstallCertificate(leaf=OTHER), Mark(marker="run", present=True)):
        (step,) = Lowering(SPEC, way).lower(other, seen)
        assert "foreign" not in args(step.do)


def test_a_certificate_is_switched_as_its_form_has_it() -> None:
    """By a reload, or by the link alone; and back in the same way."""
    for way, how in ((HTTP, "by a reload"), (STREAM, "by a reload"), (VARIABLE, "without a reload")):
        (step,) = Lowering(SPEC, way).lower(SwitchCertificate(before=LEAF, after=OTHER), full(way))
        assert step.summary.endswith(how)
        assert (args(step.do)["leaf"], args(step.undo)["leaf"]) == (OTHER, LEAF)
        assert [check.args["leaf"] for check in (*step.until, *step.undo_until)] == [OTHER, LEAF]


@every_way
def test_modes_are_switched_in_one_step(way: NginxSettings) -> None:
    """One reload for all services of the change."""
    (step,) = Lowering(SPEC, way).lower(SwitchMode(services=ALL, before=Mode.BRIDGE, after=Mode.OFFLOAD), full(way))
    assert (args(step.do)["mode"], args(step.undo)["mode"]) == ("offload", "bridge")
    assert args(step.do)["services"] == args(step.undo)["services"] == [service.value for service in ALL]
    assert [check.args["mode"] for check in (*step.until, *step.undo_until)] == ["offload", "bridge"]
    assert "by one reload" in step.summary


def test_a_stream_refuses_mixed_modes() -> None:
    """No path is seen: all services that may be offloaded are in one mode, in a publication and in a switch."""
    lowering = Lowering(SPEC, STREAM)
    for change in (
        Publish(leaf=LEAF, modes={**BRIDGED, Service.OWA: Mode.OFFLOAD}),
        Publish(leaf=LEAF, modes={Service.OWA: Mode.OFFLOAD}),
        SwitchMode(services=(Service.OWA, Service.EWS), before=Mode.BRIDGE, after=Mode.OFFLOAD),
    ):
        with pytest.raises(UnsupportedMode, match="one mode for all services"):
            lowering.lower(change, full(STREAM))
    for modes in (BRIDGED, OFFLOADED):
        assert lowering.lower(Publish(leaf=LEAF, modes=modes), full(STREAM))
    narrow = SPEC.model_copy(update={"services": (Service.OWA, Service.MRSPROXY)})
    assert Lowering(narrow, STREAM).lower(
        SwitchMode(services=(Service.OWA,), before=Mode.BRIDGE, after=Mode.OFFLOAD), full(STREAM)
    )


def test_a_change_of_ways_does_not_take_mrsproxy_to_port_80() -> None:
    """From http with services offloaded to a stream without a name for MRSProxy: not even until the modes are switched."""
    nameless, seen = STREAM.model_copy(update={"mrsproxy_host": None}), full(HTTP)
    with pytest.raises(UnsupportedMode, match="port 80") as caught:
        publish(nameless, seen, OFFLOADED)
    assert "bridge every service first" in caught.value.remedy
    assert publish(nameless, seen, BRIDGED).do is not None
    assert publish(STREAM, seen, OFFLOADED).do is not None
    assert publish(nameless, full(nameless), OFFLOADED).do is not None


def test_http_takes_mixed_modes() -> None:
    """Each service its own."""
    step = publish(HTTP, bare(HTTP), {**BRIDGED, Service.OWA: Mode.OFFLOAD})
    assert "http://lbsync_plain; # mode owa" in args(step.do)["files"][main_file(HTTP)]


def test_what_a_drained_server_still_has_is_called_by_its_name() -> None:
    """Requests where they are seen, connections else."""
    for way, word in ((HTTP, "request"), (STREAM, "connection")):
        drain, cut = Lowering(SPEC, way).lower(Drain(server="EX01", timeout_s=9, on_timeout="cut"), full(way))
        assert f"wait up to 9 s for the {word}s at EX01" in cut.summary
        assert (args(drain.do)["state"], args(drain.undo)["state"]) == ("drain", "ready")


@every_way
def test_what_is_installed_is_not_installed_again(way: NginxSettings) -> None:
    """No step, so no undo that would remove it."""
    assert Lowering(SPEC, way).lower(InstallCertificate(leaf=LEAF), full(way)) == ()


@pytest.mark.parametrize("way", [HTTP, VARIABLE], ids=["http", "variable"])
def test_the_plan_is_written_for_the_version_that_was_seen(way: NginxSettings) -> None:
    """And for the oldest where none was."""
    newer = bare(way).model_copy(update={"version": "1.29.7"})
    assert args(publish(way, newer).do)["files"] != args(publish(way, bare(way)).do)["files"]
    unknown = bare(way).model_copy(update={"version": ""})
    assert args(publish(way, unknown).do)["files"] == args(publish(way, bare(way)).do)["files"]


@every_way
def test_steps_hold_no_key_and_survive_being_stored(way: NginxSettings) -> None:
    """A plan is JSON; texts name files and fingerprints."""
    for step in (publish(way, bare(way)), publish(way, full(way))):
        assert Step.model_validate_json(step.model_dump_json()) == step
        assert "PRIVATE" not in step.model_dump_json()
    files = args(publish(way, bare(way)).do)["files"]
    assert structure_of(files) == bare(way).wanted_structure


def test_what_cannot_be_is_refused_while_planning() -> None:
    """MRSProxy in clear, a service that is not published, another target's change or facts."""
    lowering = Lowering(SPEC, HTTP)
    with pytest.raises(UnsupportedMode):
        lowering.lower(Publish(leaf=LEAF, modes={Service.MRSPROXY: Mode.OFFLOAD}), bare(HTTP))
    narrow = Lowering(SPEC.model_copy(update={"services": (Service.OWA,)}), HTTP)
    with pytest.raises(UnsupportedMode):
        narrow.lower(SwitchMode(services=(Service.EWS,), before=Mode.BRIDGE, after=Mode.OFFLOAD), bare(HTTP))
    with pytest.raises(TypeError):
        lowering.lower(EnableCertificate(before=None, after=Thumbprint("A" * 40)), bare(HTTP))
    with pytest.raises(TypeError):
        lowering.lower(Publish(leaf=LEAF, modes=BRIDGED), bare(HTTP).model_copy(update={"image": {}}))
    with plugin.open(SPEC, {"ntlm": "unused"}) as provider, pytest.raises(TypeError):
        provider.lower(SwitchCertificate(before=LEAF, after=OTHER), FarmFacts())
