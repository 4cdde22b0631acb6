"""Two devices of one group: who is active, who has what, and who says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lbsync.lab.bigip.pair import GROUP, BigIpPair
from lbsync.testing.ca import TestCA

Begin = Callable[..., BigIpPair]
Connect = Callable[..., Any]
_TO_GROUP = {"command": "run", "utilCmdArgs": f"config-sync to-group {GROUP}"}


@pytest.fixture
def begin(tmp_path: Path, ca: TestCA, plane: Any) -> Iterator[Begin]:
    """Start a pair with some knobs."""
    with ExitStack() as stack:

        def pair(**knobs: Any) -> BigIpPair:
            return stack.enter_context(BigIpPair(tmp_path, ca=ca, plane=plane, sync_lag_s=0.15, **knobs))

        yield pair


def _status(client: Any) -> str:
    entries = client.tm("GET", "cm/sync-status")["entries"]
    return str(next(iter(entries.values()))["nestedStats"]["entries"]["status"]["description"])


def _details(client: Any) -> str:
    (entry,) = client.tm("GET", "cm/sync-status")["entries"].values()
    details = entry["nestedStats"]["entries"]["https://localhost/mgmt/tm/cm/syncStatus/0/details"]
    (line,) = details["nestedStats"]["entries"].values()
    return str(line["nestedStats"]["entries"]["details"]["description"])


def _until(client: Any, status: str) -> None:
    for _ in range(100):
        if _status(client) == status:
            return
        time.sleep(0.05)
    raise AssertionError(_status(client))


def test_both_know_both(begin: Begin, connect: Connect) -> None:
    """Each lists both devices and knows which one it is; the group holds both."""
    pair = begin()
    for device in pair.devices:
        client = connect(device)
        items = client.tm("GET", "cm/device")["items"]
        assert [one["failoverState"] for one in items] == ["active", "standby"]
        assert [one["hostname"] for one in items if one["selfDevice"] == "true"] == [device.hostname]
        group = client.tm("GET", f"cm/device-group/{GROUP}")
        assert (group["type"], group["autoSync"]) == ("sync-failover", "disabled")
        members = client.tm("GET", f"cm/device-group/~Common~{GROUP}/devices")["items"]
        assert [one["name"] for one in members] == [one.hostname for one in pair.devices]
    assert pair.active is pair.devices[0]


def test_change_and_sync(begin: Begin, connect: Connect, plane: Any) -> None:
    """A change waits on one device until a sync brings it to the other; the way of the states is the real one's."""
    pair = begin()
    first, second = (connect(device) for device in pair.devices)
    assert _status(first) == "In Sync"
    first.tm("POST", "ltm/pool", {"name": "p"})
    assert (_status(first), _status(second)) == ("Changes Pending", "Changes Pending")
    assert pair.standby.object("ltm/pool", "p") is None
    assert first.tm("POST", "cm/", _TO_GROUP) == {"kind": "tm:cm:runstate", **_TO_GROUP}
    assert pair.sync_status in ("Not All Devices Synced", "In Sync")
    _until(second, "In Sync")
    assert second.tm("GET", "ltm/pool/~Common~p")["name"] == "p"
    assert pair.standby.unsaved
    second.tm("PATCH", "ltm/pool/~Common~p", {"description": "x"})
    first.tm("POST", "cm", _TO_GROUP | {"utilCmdArgs": f"config-sync from-group {GROUP}"})
    _until(first, "In Sync")
    assert first.tm("GET", "ltm/pool/~Common~p")["description"] == "x"
    assert plane.configs[-1].of("ltm/pool")["/Common/p"]["description"] == "x"


def test_whose_change_is_pending(begin: Begin, connect: Connect) -> None:
    """Whichever device is asked, the one that was changed last is named as the one to synchronise from."""
    pair = begin()
    clients = [connect(device) for device in pair.devices]
    for changed in (1, 0):
        clients[changed].tm("POST", "ltm/pool", {"name": f"p{changed}"})
        name = pair.devices[changed].hostname
        for client in clients:
            assert _details(client).endswith(f"Recommended action: Synchronize {name} to group {GROUP}")
    assert [device.change_holder for device in pair.devices] == [pair.active.hostname] * 2


def test_both_active(begin: Begin, connect: Connect) -> None:
    """Two devices that lost each other may both say active."""
    pair = begin()
    pair.standby.failover_state = "active"
    for device in pair.devices:
        items = connect(device).tm("GET", "cm/device")["items"]
        assert [one["failoverState"] for one in items] == ["active", "active"]


def test_sync_overwrites(begin: Begin, connect: Connect) -> None:
    """A sync to the group loses what was changed on the other device alone."""
    pair = begin()
    first, second = (connect(device) for device in pair.devices)
    second.tm("POST", "ltm/pool", {"name": "there"})
    first.tm("POST", "ltm/pool", {"name": "here"})
    first.tm("POST", "cm", _TO_GROUP)
    _until(first, "In Sync")
    assert pair.standby.paths("ltm/pool") == ("/Common/here",)


def test_auto_sync(begin: Begin, connect: Connect) -> None:
    """With autoSync a change reaches the other device by itself."""
    pair = begin()
    client = connect(pair.active)
    client.tm("PATCH", f"cm/device-group/~Common~{GROUP}", {"autoSync": "enabled"})
    client.tm("POST", "ltm/pool", {"name": "p"})
    _until(client, "In Sync")
    assert pair.standby.paths("ltm/pool") == ("/Common/p",)


def test_initial_sync(begin: Begin, connect: Connect) -> None:
    """A new group awaits its first sync, whatever is changed meanwhile."""
    pair = begin(synced=False)
    client = connect(pair.active)
    client.tm("POST", "ltm/pool", {"name": "p"})
    assert _status(client) == "Awaiting Initial Sync"
    client.tm("POST", "cm", _TO_GROUP)
    _until(client, "In Sync")


def test_disconnected(begin: Begin, connect: Connect) -> None:
    """Devices that do not reach each other cannot be synced until they do."""
    pair = begin()
    client = connect(pair.active)
    pair.connected = False
    client.tm("POST", "ltm/pool", {"name": "p"})
    client.tm("POST", "cm", _TO_GROUP)
    assert _status(client) == "Disconnected"
    pair.connected = True
    assert pair.connected
    assert _status(client) == "Changes Pending"
    client.tm("POST", "cm", _TO_GROUP)
    pair.connected = False
    time.sleep(0.4)
    assert pair.standby.paths("ltm/pool") == ()


def test_fail_over(begin: Begin, connect: Connect, plane: Any) -> None:
    """The standby takes over with the configuration it has; a change on the new standby reaches no traffic."""
    pair = begin()
    before, after = pair.active, pair.standby
    connect(before).tm("POST", "ltm/pool", {"name": "p"})
    pair.fail_over()
    assert (pair.active, pair.standby) == (after, before)
    assert plane.cuts_of_all == 1
    assert plane.configs[-1].of("ltm/pool") == {}
    items = connect(after).tm("GET", "cm/device")["items"]
    assert [one["failoverState"] for one in items] == ["standby", "active"]
    applied = len(plane.configs)
    connect(before).tm("POST", "ltm/pool", {"name": "q"})
    assert len(plane.configs) == applied


def test_sync_that_cannot_run(begin: Begin, connect: Connect, plane: Any) -> None:
    """What the active device cannot run is not taken over by it; the group stays apart."""
    pair = begin()
    standby = connect(pair.standby)
    plane.occupied.add("/Common/127.0.0.7:443")
    standby.tm("POST", "ltm/virtual", {"name": "v", "destination": "127.0.0.7:443"})
    standby.tm("POST", "cm", _TO_GROUP)
    _until(standby, "Changes Pending")
    assert pair.active.paths("ltm/virtual") == ()


def test_standby_counts_nothing(begin: Begin, connect: Connect, plane: Any) -> None:
    """Connections are the active device's."""
    pair = begin()
    pair.active.foreign("ltm/virtual", {"name": "v", "destination": "127.0.0.5:443"})
    connect(pair.active).tm("POST", "cm", _TO_GROUP)
    _until(connect(pair.standby), "In Sync")
    plane.clients["/Common/v"] = (3, 3)
    for device, expected in ((pair.active, 3), (pair.standby, 0)):
        (entry,) = connect(device).tm("GET", "ltm/virtual/~Common~v/stats")["entries"].values()
        assert entry["nestedStats"]["entries"]["clientside.curConns"]["value"] == expected
