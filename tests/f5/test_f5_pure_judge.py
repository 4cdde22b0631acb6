"""From a look at a BIG-IP to facts: what is there, and what disagrees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import Member
from lbsync_f5 import things
from lbsync_f5.judge import (
    front_of,
    installed,
    judge,
    live_modes,
    live_policy,
    marker,
    own_things,
    policy_for,
    served_leaf,
    server_of,
    structure,
)
from lbsync_f5.render import names_of, render
from lbsync_f5.seen import Seen
from lbsync_f5.settings import F5Settings
from lbsync_f5.things import Thing
from tests.f5.samples import (
    APART,
    ATTACHED,
    ATTACHED_REQUESTS,
    BRIDGED,
    CONNECTIONS,
    LEAF,
    NAME,
    OFFLOADED,
    OTHER,
    REQUESTS,
    SPEC,
    VERSION,
    VIRTUAL,
    WAYS,
    edited,
    nothing,
    objects,
    published,
    settings,
    told,
)

every_way = pytest.mark.parametrize("way", list(WAYS.values()), ids=list(WAYS))
NAMES = names_of(SPEC, CONNECTIONS)


def troubled(way: F5Settings, seen: Seen) -> str:
    """Every problem, in one text."""
    return "\n".join(judge(SPEC, way, seen, SERVICES).problems)


@every_way
def test_a_sound_look_is_published_and_not_in_its_own_way(way: F5Settings) -> None:
    """Our own objects are nobody else's; the structure is the wanted one."""
    found = judge(SPEC, way, published(way), SERVICES)
    assert (found.published, found.leaf, found.modes, found.blockers) == (True, LEAF, BRIDGED, ())
    assert found.structure == found.wanted_structure
    assert (found.provider, found.balancer, found.version) == ("bigip", "lb1", VERSION)
    assert (found.problems, found.installed, found.marker) == ((), (LEAF,), None)


@every_way
def test_nothing_of_ours_is_a_value(way: F5Settings) -> None:
    """No structure, no leaf, no modes, no problem, nothing in the way."""
    found = judge(SPEC, way, nothing(way), SERVICES)
    assert (found.published, found.structure, found.leaf, found.modes) == (False, None, None, {})
    assert (found.blockers, found.problems, found.live.members, found.installed) == ((), (), (), ())
    assert found.wanted_structure == judge(SPEC, way, published(way), SERVICES).structure


@pytest.mark.parametrize(
    ("way", "modes", "told_as"),
    [
        (CONNECTIONS, OFFLOADED, OFFLOADED),
        (APART, OFFLOADED, OFFLOADED),
        (REQUESTS, {**OFFLOADED, Service.EWS: Mode.BRIDGE}, {**OFFLOADED, Service.EWS: Mode.BRIDGE}),
        (ATTACHED_REQUESTS, {**BRIDGED, Service.OWA: Mode.OFFLOAD}, {**BRIDGED, Service.OWA: Mode.OFFLOAD}),
    ],
)
def test_modes_are_those_of_the_policy_that_is_live(
    way: F5Settings, modes: dict[Service, Mode], told_as: dict[Service, Mode]
) -> None:
    """Whichever they are; MRSProxy is bridged always."""
    found = judge(SPEC, way, published(way, modes), SERVICES)
    assert (found.modes, found.structure) == (told_as, found.wanted_structure)


def test_only_what_is_asked_for_is_told() -> None:
    """Facts are limited to the services asked for, in the balancer's order."""
    found = judge(SPEC, REQUESTS, published(REQUESTS), iter([Service.EWS, Service.OWA]))
    assert list(found.modes) == [Service.OWA, Service.EWS]
    assert {one.service for one in found.live.members} == {Service.OWA, Service.EWS}


def test_members_are_up_and_drained_as_the_device_says() -> None:
    """Up by a monitor that answered; drained where somebody took them out, in either way."""
    pool = NAMES.pool(Service.OWA, Mode.BRIDGE)
    seen = published(CONNECTIONS)
    listed: list[dict[str, Any]] = seen.objects[things.POOL][pool]["membersReference"]["items"]
    states = [("monitor-enabled", "up"), ("user-disabled", "up"), ("user-disabled", "user-down")]
    changed = [
        {**one, "session": session, "state": state} for one, (session, state) in zip(listed, states, strict=True)
    ]
    stranger = {**listed[0], "address": "10.9.9.9", "fullPath": "/Common/10.9.9.9:443"}
    seen = edited(seen, things.POOL, pool, membersReference={"items": [*changed, stranger]})
    found = {
        one.server: (one.up, one.draining)
        for one in judge(SPEC, CONNECTIONS, seen, SERVICES).live.members
        if (one.service, one.mode) == (Service.OWA, Mode.BRIDGE)
    }
    assert found == {"EX01": (True, False), "EX02": (True, True), "EX03": (False, True)}
    problems = troubled(CONNECTIONS, seen)
    assert "EX02 is drained on the BIG-IP" in problems
    assert "EX03 is drained on the BIG-IP" in problems
    assert "EX01 is drained" not in problems


@pytest.mark.parametrize(
    ("mode", "address", "port", "server"),
    [
        (Mode.OFFLOAD, "10.0.0.12", 8080, "EX02"),
        (Mode.BRIDGE, "10.0.0.12", 8443, "EX02"),
        (Mode.BRIDGE, "10.0.0.12", 8080, None),
        (Mode.OFFLOAD, "fd00::3", 80, "EX03"),
        (Mode.OFFLOAD, "10.0.0.99", 80, None),
    ],
)
def test_a_server_is_known_by_its_address_and_its_port_of_the_mode(
    mode: Mode, address: str, port: int, server: str | None
) -> None:
    """Anybody else's member is nobody."""
    assert server_of(SPEC, mode, address, port) == server


# --- objects of ours ----------------------------------------------------------------------------------------------------


@every_way
def test_the_image_is_what_lowering_needs(way: F5Settings) -> None:
    """Our objects, the leaf, the modes, and what an attached virtual server has and shall have."""
    image = judge(SPEC, way, published(way), SERVICES).image
    listed: Any = image["things"]
    assert [Thing.model_validate(one) for one in listed] == list(own_things(published(way), names_of(SPEC, way)))
    assert {one["path"]: one["body"]["description"] for one in listed} == {
        one.path: one.body["description"] for one in render(SPEC, way)
    }
    assert (image["leaf"], image["modes"]) == (LEAF, {one.value: "bridge" for one in SERVICES})
    attached: Any = image["attached"]
    assert (attached is None) is (way.attach is None)
    if attached is not None:
        assert attached["profiles"] == attached["wanted"]
    bare: Any = judge(SPEC, way, nothing(way), SERVICES).image
    assert (bare["things"], bare["leaf"], bare["modes"]) == ([], None, {})


@pytest.mark.parametrize("collection", things.ORDER[1:])
def test_an_object_that_somebody_edited_is_told(collection: str) -> None:
    """By the digest in its mark; it is left so, and the structure is that which was written."""
    seen = published(REQUESTS)
    path = next(iter(seen.objects[collection]))
    changes: dict[str, dict[str, object]] = {
        things.POOL: {"slowRampTime": 0},
        things.VIRTUAL: {"rules": ["/Common/theirs"]},
        things.CLIENT_SSL: {"ciphers": "ALL"},
        things.SERVER_SSL: {"peerCertMode": "ignore"},
    }
    default: dict[str, object] = {"defaultsFrom": "/Common/other"}
    found = judge(SPEC, REQUESTS, edited(seen, collection, path, **changes.get(collection, default)), SERVICES)
    (told_as,) = found.problems
    assert f"{collection} {path} differs from what lbsync wrote into it" in told_as
    assert found.structure == found.wanted_structure


def test_what_others_may_set_of_ours_is_no_edit() -> None:
    """The certificate, the policy, and whatever lbsync says nothing of."""
    seen = published(CONNECTIONS, OFFLOADED)
    seen = edited(seen, things.VIRTUAL, NAMES.virtual, connectionLimit=5, generation=99)
    seen = edited(seen, things.CLIENT_SSL, NAMES.client_ssl, certKeyChain=[], tmOptions="{ no-ssl }")
    assert troubled(CONNECTIONS, seen) == ""


@pytest.mark.parametrize("collection", [things.POOL, things.VIRTUAL, things.MONITOR_HTTPS])
def test_an_object_that_is_gone_changes_the_structure(collection: str) -> None:
    """So a publish is due."""
    seen = published(CONNECTIONS)
    left = dict(list(seen.objects[collection].items())[1:])
    found = judge(SPEC, CONNECTIONS, objects(seen, collection, **left), SERVICES)
    assert found.structure not in {None, found.wanted_structure}


def test_a_policy_of_another_design_is_due_for_a_publish() -> None:
    """Its name is not what these modes would give: the structure is unknown."""
    seen = published(CONNECTIONS)
    path = live_policy(seen, CONNECTIONS, NAMES) or ""
    policy = {**seen.objects[things.POLICY][path], "fullPath": NAMES.policy("0" * 16)}
    other = edited(
        objects(seen, things.POLICY, **{NAMES.policy("0" * 16): policy}),
        things.VIRTUAL,
        NAMES.virtual,
        policiesReference={"items": [{"fullPath": NAMES.policy("0" * 16)}]},
    )
    found = judge(SPEC, CONNECTIONS, other, SERVICES)
    assert (found.published, found.structure, found.modes) == (True, None, BRIDGED)


def test_a_virtual_server_without_our_policy_is_not_published() -> None:
    """Whoever took it off, or killed us before it was put on."""
    seen = edited(published(CONNECTIONS), things.VIRTUAL, NAMES.virtual, policiesReference={"items": []})
    found = judge(SPEC, CONNECTIONS, seen, SERVICES)
    assert (found.published, found.modes, live_policy(seen, CONNECTIONS, NAMES)) == (False, {}, None)
    assert front_of(seen, CONNECTIONS, NAMES) is not None


def test_mrsproxys_own_virtual_server_must_have_its_own_policy() -> None:
    """Another one, or none, makes the structure unknown."""
    for items in ([], [{"fullPath": "/Common/theirs"}]):
        seen = edited(published(APART), things.VIRTUAL, NAMES.mrsproxy, policiesReference={"items": items})
        assert structure(seen, APART, names_of(SPEC, APART)) is None


def test_a_policy_that_cannot_be_read_gives_no_modes() -> None:
    """It is on the virtual server and not in the partition's list."""
    seen = objects(published(CONNECTIONS), things.POLICY)
    assert live_modes(seen, CONNECTIONS, NAMES) == {}


@every_way
def test_the_structure_does_not_depend_on_modes_or_certificate(way: F5Settings) -> None:
    """They are switched without a publish."""
    modes = OFFLOADED if way.mrsproxy_host or way.ntlm == "unused" else BRIDGED
    seen = edited(
        published(way, modes),
        things.CLIENT_SSL,
        names_of(SPEC, way).client_ssl,
        certKeyChain=[{"name": "lbsync", "cert": names_of(SPEC, way).certificate(OTHER)}],
    )
    found = judge(SPEC, way, seen, SERVICES)
    assert (found.structure, found.leaf) == (found.wanted_structure, OTHER)


@pytest.mark.parametrize("folder", [None, "mail"])
def test_another_partition_or_folder_is_looked_at_alike(folder: str | None) -> None:
    """Everything of ours has its place there."""
    way = settings(partition="Exchange", folder=folder)
    seen = published(way)
    # A policy's name is shown with its folder; the sample knows Common only.
    names = names_of(SPEC, way)
    path = policy_for(names, (thing.path for thing in render(SPEC, way)), BRIDGED).path
    seen = edited(seen, things.VIRTUAL, names.virtual, policiesReference={"items": [{"fullPath": path}]})
    found = judge(SPEC, way, replace(seen, partitions=frozenset({"Common", "Exchange"})), SERVICES)
    assert (found.published, found.structure, found.blockers) == (True, found.wanted_structure, ())


# --- certificates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("certificates", "keys", "leaves"),
    [
        ({NAMES.certificate(LEAF): {"fingerprint": told(LEAF)}}, [LEAF], (LEAF,)),
        ({NAMES.certificate(LEAF): {}}, [LEAF], (LEAF,)),
        ({NAMES.certificate(LEAF): {"fingerprint": told(LEAF)}}, [], ()),
        ({NAMES.certificate(LEAF): {"fingerprint": told(LEAF)}}, [OTHER], ()),
        ({NAMES.certificate(LEAF): {"fingerprint": told(OTHER)}}, [LEAF], ()),
        ({}, [LEAF], ()),
        ({NAMES.chain(LEAF): {}}, [LEAF], ()),
        ({f"/Common/mail/lbsync_{LEAF}.crt": {}}, [LEAF], ()),
        ({NAMES.certificate(one): {} for one in (OTHER, LEAF)}, [LEAF, OTHER], (LEAF, OTHER)),
    ],
)
def test_a_certificate_is_installed_when_it_is_whole(
    certificates: dict[str, dict[str, Any]], keys: list[Any], leaves: tuple[str, ...]
) -> None:
    """With its key, and with the leaf that its name says, where the device tells it; half of one is none."""
    seen = nothing(CONNECTIONS, objects={
        things.SSL_CERT: certificates, things.SSL_KEY: {NAMES.key(one): {} for one in keys},
    })  # fmt: skip
    assert installed(seen, NAMES) == leaves


def test_the_leaf_is_that_of_our_own_profile() -> None:
    """A profile of this name without our mark is not asked; one with somebody's certificate has no leaf of ours."""
    seen = published(CONNECTIONS)
    assert served_leaf(seen, NAMES) == LEAF
    assert served_leaf(edited(seen, things.CLIENT_SSL, NAMES.client_ssl, description="theirs"), NAMES) is None
    theirs = edited(seen, things.CLIENT_SSL, NAMES.client_ssl, certKeyChain=[{"cert": "/Common/default.crt"}])
    assert served_leaf(theirs, NAMES) is None
    none = edited(seen, things.CLIENT_SSL, NAMES.client_ssl, certKeyChain=[], cert="none")
    assert served_leaf(none, NAMES) is None


@pytest.mark.parametrize(("item", "text"), [(None, None), ({"description": "run 7"}, "run 7"), ({}, "unknown")])
def test_the_run_marker_is_a_data_group(item: dict[str, Any] | None, text: str | None) -> None:
    """Whoever made one without a text is at work all the same."""
    groups = {} if item is None else {NAMES.marker: item}
    assert marker(nothing(CONNECTIONS, objects={things.DATA_GROUP: groups}), NAMES) == text


# --- notes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "words", "absent"),
    [
        (CONNECTIONS, "needs a virtual server of its own before anything is offloaded", "synchronised"),
        (CONNECTIONS, "A drain ends when clients close their connections", "synchronised"),
        (APART, "MRSProxy has its own (mrs.contoso.test, 192.0.2.11)", "needs a virtual server of its own"),
        (ATTACHED, f"On {VIRTUAL} its client-ssl and server-ssl profiles are exchanged", "synchronised"),
    ],
)
def test_a_plan_is_told_what_this_way_means(way: F5Settings, words: str, absent: str) -> None:
    """Each sentence true of the settings at hand."""
    notes = "\n".join(judge(SPEC, way, nothing(way), SERVICES).notes)
    assert words in notes
    assert absent not in notes


def test_by_request_and_alone_there_is_nothing_to_tell() -> None:
    """No NTLM, no group, no attachment."""
    assert judge(SPEC, REQUESTS, nothing(REQUESTS), SERVICES).notes == ()


def test_another_farm_is_another_structure() -> None:
    """One more member makes a publish due."""
    wider = SPEC.model_copy(
        update={"members": (*SPEC.members, Member(name="EX04", address="10.0.0.14", tls_name=NAME))}
    )
    found = judge(wider, CONNECTIONS, published(CONNECTIONS), SERVICES)
    assert found.structure not in {None, found.wanted_structure}
