"""Why nothing may be changed on a BIG-IP, by a look at it: each reason with its way out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lbsync.services import SERVICES
from lbsync_f5 import things
from lbsync_f5.blockers import blockers
from lbsync_f5.judge import attached_profiles, judge, structure
from lbsync_f5.project import policy_names
from lbsync_f5.render import names_of, render
from lbsync_f5.seen import Seen, Standing
from lbsync_f5.settings import F5Settings
from lbsync_f5.things import Thing
from lbsync_f5.wire import DeviceInfo
from tests.f5.samples import (
    APART,
    ATTACHED,
    ATTACHED_REQUESTS,
    CONNECTIONS,
    GROUP,
    PROFILES,
    SPEC,
    VERSION,
    VIRTUAL,
    nothing,
    objects,
    pair,
    published,
    settings,
    shown,
    virtual,
)

NAMES = names_of(SPEC, CONNECTIONS)


def blocked(way: F5Settings, seen: Seen) -> str:
    """Every blocker, in one text."""
    return "\n".join(blockers(SPEC, way, seen, names_of(SPEC, way)))


# --- the device ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("12.1.5", "TMOS 12.1.5 is too old: 13.0 is the oldest"),
        ("11.6.0", "too old"),
        ("", "does not tell its TMOS version (empty)"),
        ("BIG-IQ", "does not tell its TMOS version (BIG-IQ)"),
        ("13.0.0", ""),
        ("17.1.0", ""),
    ],
)
def test_a_version_that_cannot_be_written_for_is_told(version: str, words: str) -> None:
    """With the oldest that is supported."""
    found = blocked(CONNECTIONS, nothing(CONNECTIONS, version=version))
    assert words in found
    assert bool(found) is bool(words)


def test_only_the_active_device_is_changed() -> None:
    """With the way out; one that does not know itself is not changed either."""
    assert blocked(CONNECTIONS, nothing(CONNECTIONS, standing=pair())) == ""
    standby = blocked(CONNECTIONS, nothing(CONNECTIONS, standing=pair(state="standby")))
    assert "bigip01.lab.local is standby: changes are made on the active device only" in standby
    assert "Add its management address to hosts" in standby
    offline = blocked(CONNECTIONS, nothing(CONNECTIONS, standing=pair(state="forced-offline")))
    assert "is forced-offline" in offline
    unknown = Standing((DeviceInfo("x", itself=False, state="active", version=VERSION),))
    assert "does not say which of its group it is" in blocked(CONNECTIONS, nothing(CONNECTIONS, standing=unknown))
    assert not unknown.active


_MESSAGES = {
    "Changes Pending": "did not synchronise",
    "Awaiting Initial Sync": "never synchronised",
    "Not All Devices Synced": "under way",
    "Disconnected": "do not reach each other",
    "Sync Failure": "the last config-sync failed",
    "Something Else": "see `tmsh show cm sync-status`",
    "": "(unknown): see `tmsh show cm sync-status`",
}


@pytest.mark.parametrize(("status", "words"), _MESSAGES.items())
def test_a_group_that_is_not_in_sync_is_told_with_its_own_way_out(status: str, words: str) -> None:
    """One message for each status, and what the device says itself."""
    found = blocked(CONNECTIONS, nothing(CONNECTIONS, standing=pair(sync=status, said="Synchronize bigip01 to group")))
    assert words in found
    assert "The device says: Synchronize bigip01 to group" in found
    others = {other for name, other in _MESSAGES.items() if name not in {status, "Something Else", ""}}
    assert not any(other in found for other in others)


def test_a_group_in_sync_stands_in_nobodys_way() -> None:
    """And a device alone has no group to ask."""
    assert blocked(CONNECTIONS, nothing(CONNECTIONS, standing=pair())) == ""
    assert (
        "Each change is synchronised to /Common/exchange-ha."
        in judge(SPEC, CONNECTIONS, nothing(CONNECTIONS, standing=pair()), SERVICES).notes
    )


@pytest.mark.parametrize(
    ("groups", "wanted", "words"),
    [
        (
            (GROUP, "/Common/other"),
            None,
            "form 2 sync-failover groups (/Common/exchange-ha, /Common/other): set device_group",
        ),
        ((), None, "form 0 sync-failover groups (none)"),
        ((GROUP, "/Common/other"), "/Common/other", ""),
        ((GROUP,), "/Common/other", "no sync-failover group /Common/other; there are: /Common/exchange-ha."),
        ((), "/Common/other", "there are: none."),
    ],
)
def test_which_group_is_meant_must_be_clear(groups: tuple[str, ...], wanted: str | None, words: str) -> None:
    """By being the only one, or by the setting."""
    way = settings(device_group=wanted)
    found = blocked(way, nothing(way, standing=pair(groups=groups)))
    assert words in found
    assert bool(found) is bool(words)


def test_a_missing_partition_or_folder_is_told_with_its_command() -> None:
    """And nothing else, since nothing else was seen there."""
    way = settings(partition="Exchange", folder="mail")
    assert blocked(way, nothing(way)) == (
        "The partition Exchange does not exist, or this account does not see it: `tmsh create auth partition Exchange`, or "
        "correct partition."
    )
    there = nothing(way, partitions=frozenset({"Common", "Exchange"}), folder_exists=False)
    assert blocked(way, there) == (
        "The folder /Exchange/mail does not exist: `tmsh create sys folder /Exchange/mail`, or correct folder."
    )


# --- others' objects ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thing", [one for one in render(SPEC, APART) if "owa" in one.path or "_https" in one.path])
@pytest.mark.parametrize("description", ["mine", "lbsync lb2 " + "0" * 32, None])
def test_an_object_of_our_name_without_our_mark_is_told(thing: Thing, description: str | None) -> None:
    """It is somebody's, or another balancer's: it is not changed."""
    item = shown(thing) | {"description": description}
    seen = nothing(APART, objects={thing.collection: {thing.path: item}})
    found = blocked(APART, seen)
    assert f"{thing.collection} {thing.path} is there already and does not bear lbsync's mark for lb1" in found


@pytest.mark.parametrize(
    ("way", "destination"),
    [
        (CONNECTIONS, "/Common/192.0.2.10:443"),
        (CONNECTIONS, "/Exchange/192.0.2.10:443"),
        (CONNECTIONS, "/Common/192.0.2.10:80"),
        (APART, "/Common/192.0.2.11:443"),
        (settings(bind_address="fd00::10"), "/Common/fd00::10.443"),
    ],
)
def test_an_address_that_is_taken_is_told(way: F5Settings, destination: str) -> None:
    """By a virtual server of any partition, with the three ways out."""
    theirs = virtual(destination=destination)
    seen = nothing(way, all_virtuals={VIRTUAL: theirs})
    found = blocked(way, seen)
    place = destination.rpartition("/")[2]
    assert f"The virtual server {VIRTUAL} has the address {place} already" in found
    assert f'attach = "{VIRTUAL}"' in found
    free = virtual(destination="/Common/192.0.2.10:8443")
    assert blocked(way, nothing(way, all_virtuals={VIRTUAL: free})) == ""


# --- the virtual server to attach to ------------------------------------------------------------------------------------


def _attachable(*extra: tuple[str, str], **changes: object) -> Seen:
    listed = [("/Common/tcp", "all"), ("/Common/http", "all"), ("/Common/clientssl", "clientside"), *extra]
    profiles = [{"name": name, "context": context} for name, context in listed]
    virtuals = {VIRTUAL: virtual(**{"profiles": profiles, **changes})}
    return nothing(ATTACHED, all_virtuals=virtuals, objects={things.VIRTUAL: virtuals})


@pytest.mark.parametrize(
    ("way", "seen", "words"),
    [
        (ATTACHED, _attachable(), ""),
        (ATTACHED, nothing(ATTACHED, all_virtuals={}), f"The virtual server {VIRTUAL} does not exist"),
        (ATTACHED, _attachable(("/Common/oneconnect", "all")), "has a OneConnect profile"),
        (ATTACHED_REQUESTS, _attachable(("/Common/oneconnect", "all")), ""),
        (ATTACHED, _attachable(profiles=[{"name": "/Common/tcp", "context": "all"}]), "has no http profile"),
        (ATTACHED, _attachable(policies=["/Common/theirs"]), "has other LTM policies (/Common/theirs)"),
        (ATTACHED, _attachable(policies=[NAMES.policy("0" * 16)]), ""),
        (ATTACHED, _attachable(rules=["/Common/a", "/Common/b"]), "has iRules (/Common/a, /Common/b)"),
    ],
    ids=["sound", "gone", "one-connect", "one-connect, no ntlm", "no http", "policies", "our policy", "iRules"],
)
def test_a_virtual_server_that_cannot_be_attached_to_is_told(way: F5Settings, seen: Seen, words: str) -> None:
    """Each with what to do."""
    found = blocked(way, seen)
    assert words in found
    assert bool(found) is bool(words)


def test_our_own_virtual_server_is_not_attached_to() -> None:
    """It would be ours twice."""
    way = settings(attach="/Common/lbsync_lb1_https", probe_address="192.0.2.10")
    own = published(CONNECTIONS).all_virtuals["/Common/lbsync_lb1_https"]
    seen = nothing(way, all_virtuals={"/Common/lbsync_lb1_https": own}, profiles={
        **PROFILES, NAMES.own("http"): things.HTTP,
    })  # fmt: skip
    assert "is lbsync's own virtual server: leave attach out" in blocked(way, seen)


def test_attached_profiles_take_the_place_of_its_own_tls() -> None:
    """http, tcp and whatever else it has are kept; TLS and OneConnect are ours."""
    for way, ours in ((ATTACHED, 2), (ATTACHED_REQUESTS, 3)):
        seen = _attachable(("/Common/oneconnect", "all"), ("/Common/analytics", "all"))
        names = names_of(SPEC, way)
        listed: list[Any] = attached_profiles(seen, way, names, seen.all_virtuals[VIRTUAL])
        found = [one["name"] for one in listed]
        assert found == sorted(found)
        assert {"/Common/tcp", "/Common/http", "/Common/analytics", names.client_ssl, names.server_ssl} <= set(found)
        assert len(found) == 3 + ours


def test_an_attached_virtual_server_that_lost_our_profiles_is_due_for_a_publish() -> None:
    """Somebody put the old ones back: the policy alone does not make it ours."""
    seen = published(ATTACHED)
    names = names_of(SPEC, ATTACHED)
    (policy,) = policy_names(seen.all_virtuals[VIRTUAL])
    virtuals = {VIRTUAL: virtual(policies=[policy])}
    seen = replace(objects(seen, things.VIRTUAL, **virtuals), all_virtuals=virtuals)
    assert structure(seen, ATTACHED, names) is None
    assert judge(SPEC, ATTACHED, seen, SERVICES).published is True
