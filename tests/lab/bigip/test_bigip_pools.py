"""Pools, members and nodes; partitions and folders; what every collection understands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lbsync.lab.bigip.device import BigIp
from lbsync.lab.bigip.plane import MemberState

Captured = Callable[[str], Any]
_POOL = "ltm/pool/~Common~p"


def _make(admin: Any, **more: object) -> Any:
    return admin.tm("POST", "ltm/pool/", {"name": "p", "partition": "Common", **more})


def test_shape(admin: Any, captured: Captured) -> None:
    """A new pool shows what a real one answered when it was made; one with a monitor what a real list showed."""
    real = captured("create_pool_response")
    made = _make(admin)
    assert set(made) == set(real)
    assert made["kind"] == real["kind"]
    assert made["selfLink"] == "https://localhost/mgmt/tm/ltm/pool/~Common~p?ver=14.1.2.1"
    told = admin.tm("PATCH", _POOL, {"monitor": "http", "description": "x"})
    assert set(told) == set(captured("get_ltm_pool")["items"][0])
    assert told["monitor"] == "/Common/http"
    listed = admin.tm("GET", "ltm/pool")
    assert listed["kind"] == captured("get_ltm_pool")["kind"]
    assert listed["items"] == [told]


@pytest.mark.parametrize("name", ["get_ltm_policy", "get_ltm_snatpool"])
def test_empty_collections(admin: Any, captured: Captured, name: str) -> None:
    """An empty collection is answered as a real device answers it."""
    path = name.removeprefix("get_").replace("_", "/", 1)
    assert admin.tm("GET", path) == captured(name)


def test_members_make_nodes(bigip: BigIp, admin: Any, captured: Captured) -> None:
    """A member brings its node; both show what real ones show."""
    _make(admin, members=["10.0.0.1:80", {"name": "ex02:http", "address": "10.0.0.2"}, {"name": "/Common/::1.443"}])
    members = admin.tm("GET", f"{_POOL}/members")
    assert [one["name"] for one in members["items"]] == ["10.0.0.1:80", "::1.443", "ex02:80"]
    assert members["items"][2]["address"] == "10.0.0.2"
    node = admin.tm("GET", "ltm/node/~Common~10.0.0.1")
    assert set(node) == set(captured("get_ltm_node")["items"][0])
    assert bigip.paths("ltm/node") == ("/Common/10.0.0.1", "/Common/::1", "/Common/ex02")
    again = admin.tm("POST", f"{_POOL}/members/", {"name": "ex02:8080"})
    assert again["address"] == "10.0.0.2"
    assert admin.refused("POST", f"{_POOL}/members", {"name": "ex02:8080"})[0] == 409
    assert admin.refused("POST", f"{_POOL}/members", {"name": "ex02"})[0] == 400
    assert admin.refused("PATCH", _POOL, {"members": ["10.0.0.1:80", "10.0.0.1:80"]})[0] == 409


def test_members_are_sorted(bigip: BigIp, admin: Any) -> None:
    """Members are listed by full path, however they were sent, and wherever they are shown."""
    _make(admin, members=["10.0.0.3:80", "10.0.0.1:80"])
    admin.tm("POST", f"{_POOL}/members", {"name": "10.0.0.2:80"})
    admin.tm("PATCH", f"{_POOL}/members/~Common~10.0.0.1:80", {"ratio": 2})
    wanted = [f"/Common/10.0.0.{number}:80" for number in (1, 2, 3)]
    assert [one["fullPath"] for one in admin.tm("GET", f"{_POOL}/members")["items"]] == wanted
    expanded = admin.tm("GET", f"{_POOL}?expandSubcollections=true")["membersReference"]["items"]
    assert [one["fullPath"] for one in expanded] == wanted
    full = bigip.object("ltm/pool", "p")
    assert full is not None
    assert [one["fullPath"] for one in full["members"]] == wanted


def test_member_reads(admin: Any) -> None:
    """A member is found by its full path; one that is not there has a message of its own."""
    _make(admin, members=["10.0.0.1:80"])
    assert admin.tm("GET", f"{_POOL}/members/~Common~10.0.0.1:80/")["fullPath"] == "/Common/10.0.0.1:80"
    assert admin.refused("GET", f"{_POOL}/members/~Common~10.0.0.9:80") == (
        404,
        "Object not found - /Common/10.0.0.9:80",
    )
    assert admin.refused("DELETE", f"{_POOL}/members/~Common~10.0.0.9:80")[0] == 404
    admin.tm("DELETE", f"{_POOL}/members/~Common~10.0.0.1:80")
    assert admin.tm("GET", f"{_POOL}/members")["items"] == []
    assert admin.refused("GET", "ltm/pool/~Common~no/members") == (
        404,
        "01020036:3: The requested Pool (/Common/no) was not found.",
    )
    assert admin.refused("GET", f"{_POOL}/nothing")[0] == 404


def test_states(admin: Any, plane: Any) -> None:
    """Session and state of a member are what the administrator said and what the data plane sees."""
    _make(admin, monitor="/Common/http", members=["10.0.0.1:80"])
    at, key = f"{_POOL}/members/~Common~10.0.0.1:80", ("/Common/p", "/Common/10.0.0.1:80")

    def shown() -> tuple[str, str]:
        told = admin.tm("GET", at)
        return told["session"], told["state"]

    assert shown() == ("user-enabled", "unchecked")
    for monitor in ("checking", "up", "down"):
        plane.states[key] = MemberState(monitor, 0, 0)
        assert shown() == ("monitor-enabled", monitor)
    plane.states[key] = MemberState("up", 0, 0)
    admin.tm("PATCH", at, {"session": "user-disabled"})
    assert shown() == ("user-disabled", "up")
    assert plane.configs[-1].of("ltm/pool")["/Common/p"]["members"][0]["session"] == "user-disabled"
    admin.tm("PATCH", at, {"session": "user-disabled", "state": "user-down"})
    assert shown() == ("user-disabled", "user-down")
    admin.tm("PATCH", at, {"session": "user-enabled", "state": "user-up"})
    assert shown() == ("monitor-enabled", "up")
    admin.tm("PUT", at, admin.tm("GET", at) | {"ratio": 3})
    assert admin.tm("GET", at)["ratio"] == 3
    assert admin.refused("PATCH", at, {"session": "off"})[0] == 400
    assert admin.refused("PATCH", at, {"state": "off"})[0] == 400
    assert admin.refused("PATCH", at, {"generation": 3})[0] == 400


@pytest.mark.parametrize("name", ["10.0.0.1:80", "::1.80", "ex01:80"])
def test_a_node_says_for_its_members(admin: Any, plane: Any, name: str) -> None:
    """A member shows that its node is disabled or forced offline, and its own word where it was disabled itself."""
    _make(admin, members=[{"name": name, "address": "10.0.0.1"} if name[0] == "e" else name])
    plane.states["/Common/p", f"/Common/{name}"] = MemberState("up", 0, 0)
    at, node = f"{_POOL}/members/~Common~{name}", f"ltm/node/~Common~{name[:-3]}"

    def shown() -> tuple[str, str, str, str]:
        told, (entry,) = admin.tm("GET", at), admin.tm("GET", f"{at}/stats")["entries"].values()
        numbers = entry["nestedStats"]["entries"]
        assert numbers["nodeName"]["description"] == f"/Common/{name[:-3]}"
        assert numbers["port"]["value"] == 80
        enabled, session = numbers["status.enabledState"], numbers["sessionStatus"]
        return told["session"], told["state"], session["description"], enabled["description"]

    assert shown() == ("monitor-enabled", "up", "enabled", "enabled")
    admin.tm("PATCH", node, {"session": "user-disabled"})
    assert shown() == ("addr-disabled", "up", "addr-disabled", "disabled")
    assert admin.tm("GET", f"{_POOL}/members")["items"][0]["session"] == "addr-disabled"
    admin.tm("PATCH", node, {"session": "user-enabled", "state": "user-down"})
    assert shown() == ("addr-disabled", "user-down", "addr-disabled", "disabled")
    admin.tm("PATCH", at, {"session": "user-disabled"})
    assert shown() == ("user-disabled", "user-down", "user-disabled", "disabled")
    admin.tm("PATCH", node, {"state": "user-up"})
    assert shown() == ("user-disabled", "up", "user-disabled", "disabled")


def test_numbers(admin: Any, plane: Any) -> None:
    """Statistics of a member and its pool are the data plane's, in nested form."""
    _make(admin, members=["10.0.0.1:80", "10.0.0.2:80"])
    plane.states["/Common/p", "/Common/10.0.0.1:80"] = MemberState("up", 3, 10)
    plane.states["/Common/p", "/Common/10.0.0.2:80"] = MemberState("down", 1, 2)
    told = admin.tm("GET", f"{_POOL}/members/stats")
    base = "https://localhost/mgmt/tm/ltm/pool/~Common~p"
    entries = told["entries"][f"{base}/members/~Common~10.0.0.1:80/stats"]["nestedStats"]["entries"]
    assert entries["serverside.curConns"] == {"value": 3}
    assert entries["serverside.totConns"] == {"value": 10}
    assert entries["status.availabilityState"] == {"description": "available"}
    one = admin.tm("GET", f"{_POOL}/members/~Common~10.0.0.2:80/stats")
    (entry,) = one["entries"].values()
    assert entry["nestedStats"]["entries"]["status.availabilityState"] == {"description": "offline"}
    (pool,) = admin.tm("GET", f"{_POOL}/stats")["entries"].values()
    assert pool["nestedStats"]["entries"]["serverside.curConns"] == {"value": 4}
    assert pool["nestedStats"]["entries"]["activeMemberCnt"] == {"value": 1}
    assert f"{base}/stats" in admin.tm("GET", "ltm/pool/stats")["entries"]
    admin.tm("PATCH", f"{_POOL}/members/~Common~10.0.0.1:80", {"state": "user-down"})
    one = admin.tm("GET", f"{_POOL}/members/~Common~10.0.0.1:80/stats")
    assert (
        next(iter(one["entries"].values()))["nestedStats"]["entries"]["status.enabledState"]["description"]
        == "disabled"
    )
    assert admin.refused("GET", "ltm/node/stats")[0] == 404


def test_cut(admin: Any, plane: Any) -> None:
    """Connections to one server are ended by address and port; never all of them."""
    admin.tm("DELETE", "sys/connection?options=ss-server-addr+10.0.0.1+ss-server-port+80")
    assert plane.cuts == [("10.0.0.1", 80)]
    assert admin.refused("DELETE", "sys/connection")[0] == 400
    assert plane.cuts == [("10.0.0.1", 80)]


def test_references(admin: Any) -> None:
    """A monitor that is missing is refused; one in use cannot be deleted, nor can a node."""
    assert admin.refused("POST", "ltm/pool", {"name": "p", "monitor": "/Common/none"}) == (
        404,
        "01020036:3: The requested monitor (/Common/none) was not found.",
    )
    admin.tm("POST", "ltm/monitor/http", {"name": "m"})
    _make(admin, monitor="min 1 of { m http }", members=["10.0.0.1:80"])
    assert admin.tm("GET", _POOL)["monitor"] == "min 1 of { /Common/m /Common/http }"
    assert admin.refused("DELETE", "ltm/monitor/http/~Common~m") == (400, "01070083:3: Monitor /Common/m is in use.")
    assert "01070110:3" in admin.refused("DELETE", "ltm/node/~Common~10.0.0.1")[1]
    assert "monitor" not in admin.tm("PATCH", _POOL, {"monitor": "none"})
    admin.tm("DELETE", "ltm/monitor/http/~Common~m")
    admin.tm("DELETE", _POOL)
    admin.tm("DELETE", "ltm/node/~Common~10.0.0.1")


def test_one_node_one_address(admin: Any) -> None:
    """Two nodes cannot have one address, however the second comes into being."""
    admin.tm("POST", "ltm/node", {"name": "ex01", "address": "10.0.0.1"})
    message = "0107176c:3: Invalid Node, the IP address 10.0.0.1 already exists."
    assert admin.refused("POST", "ltm/node", {"name": "10.0.0.1"}) == (400, message)
    assert admin.refused("POST", "ltm/pool", {"name": "p", "members": ["10.0.0.1:80"]}) == (400, message)
    assert admin.tm("PATCH", "ltm/node/~Common~ex01", {"session": "user-disabled"})["session"] == "user-disabled"


def test_partitions_and_folders(bigip: BigIp, admin: Any, captured: Captured) -> None:
    """Objects lie in partitions and folders that must exist; a folder that holds something stays."""
    told = admin.tm("GET", "auth/partition")
    assert told["items"][0].keys() == captured("get_auth_partition")["items"][0].keys()
    assert admin.refused("POST", "ltm/pool", {"name": "p", "partition": "mail"}) == (
        404,
        "01020036:3: The requested folder (/mail) was not found.",
    )
    admin.tm("POST", "auth/partition", {"name": "mail"})
    admin.tm("POST", "sys/folder", {"name": "owa", "partition": "mail"})
    made = admin.tm("POST", "ltm/pool", {"name": "p", "partition": "mail", "subPath": "owa"})
    assert (made["fullPath"], made["subPath"]) == ("/mail/owa/p", "owa")
    assert admin.tm("GET", "ltm/pool/~mail~owa~p/") == made
    _make(admin)
    assert [one["fullPath"] for one in admin.tm("GET", "ltm/pool?$filter=partition eq mail")["items"]] == [
        "/mail/owa/p"
    ]
    assert admin.tm("GET", "ltm/pool?$select=name,partition")["items"][0] == {"name": "p", "partition": "Common"}
    assert admin.tm("GET", f"{_POOL}?$select=name") == {"name": "p"}
    assert admin.refused("GET", "ltm/pool?$filter=name eq p")[0] == 400
    assert admin.refused("DELETE", "sys/folder/~mail~owa")[0] == 400
    assert admin.refused("POST", "sys/folder", {"name": "/mail/a/b"})[0] == 404
    admin.tm("DELETE", "ltm/pool/~mail~owa~p")
    admin.tm("DELETE", "sys/folder/~mail~owa")
    admin.tm("DELETE", "auth/partition/mail")
    assert bigip.paths("auth/partition") == ("Common",)


def test_route_domains(bigip: BigIp, admin: Any, plane: Any) -> None:
    """Addresses in a partition with a default route domain of its own are shown with it, and may be there twice."""
    bigip.foreign("auth/partition", {"name": "mail"})
    bigip.foreign("auth/partition", {"name": "mail", "defaultRouteDomain": 7})
    assert admin.tm("GET", "auth/partition/mail")["defaultRouteDomain"] == 7
    _make(admin, members=["10.0.0.1:80"])
    body = {"name": "p", "partition": "mail", "members": ["10.0.0.1:80", "10.0.0.2%7:80", "/Common/10.0.0.1:80"]}
    admin.tm("POST", "ltm/pool", body)
    shown = {one["fullPath"]: one["address"] for one in admin.tm("GET", "ltm/pool/~mail~p/members")["items"]}
    assert shown == {
        "/mail/10.0.0.1:80": "10.0.0.1%7",
        "/mail/10.0.0.2%7:80": "10.0.0.2%7",
        "/Common/10.0.0.1:80": "10.0.0.1",
    }
    assert admin.tm("GET", "ltm/node/~mail~10.0.0.1")["address"] == "10.0.0.1%7"
    assert "0107176c" in admin.refused("POST", "ltm/node", {"name": "x", "partition": "mail", "address": "10.0.0.1"})[1]
    (entry,) = admin.tm("GET", "ltm/pool/~mail~p/members/~mail~10.0.0.1:80/stats")["entries"].values()
    assert entry["nestedStats"]["entries"]["addr"]["description"] == "10.0.0.1%7"
    admin.tm("DELETE", "sys/connection?options=ss-server-addr+10.0.0.1%257+ss-server-port+80")
    assert plane.cuts == [("10.0.0.1", 80)]


def test_refused_writes(admin: Any) -> None:
    """What exists, what nobody knows, and what says nothing is refused in the device's words."""
    _make(admin)
    assert admin.refused("POST", "ltm/pool", {"name": "p"}) == (
        409,
        "01020066:3: The requested Pool (/Common/p) already exists in partition Common.",
    )
    assert admin.refused("POST", "ltm/pool", {"name": "q", "monitors": "http"}) == (
        400,
        "one or more properties must be specified: unknown monitors",
    )
    assert admin.refused("POST", "ltm/pool", {})[0] == 400
    assert admin.refused("POST", "ltm/pool", {"name": "/Common"})[0] == 400
    assert admin.refused("PATCH", _POOL, {}) == (400, "one or more properties must be specified")
    assert admin.refused("PATCH", "ltm/pool", {"description": "x"})[0] == 400
    assert admin.refused("PUT", f"{_POOL}/members", {"description": "x"})[0] == 400
    assert admin.refused("POST", f"{_POOL}/members", {"name": "a:80", "colour": "red"})[0] == 400
    assert admin.refused("POST", f"{_POOL}/members", {"address": "10.0.0.1"})[0] == 400
    assert admin.refused("PATCH", "ltm/pool/~Common~no", {"description": "x"})[0] == 404
    assert admin.refused("POST", "cm/traffic-group", {"name": "x"})[0] == 400
    assert admin.refused("DELETE", "sys/provision/ltm")[0] == 400


def test_put_forgets(admin: Any) -> None:
    """A PUT leaves nothing of what was said before, but for the members."""
    _make(admin, description="x", slowRampTime=300, members=["10.0.0.1:80"])
    told = admin.tm("PUT", _POOL, {"minActiveMembers": 1})
    assert "description" not in told
    assert (told["slowRampTime"], told["minActiveMembers"]) == (10, 1)
    assert len(admin.tm("GET", f"{_POOL}/members")["items"]) == 1


def test_data_groups_snatpools_rules(admin: Any, captured: Captured) -> None:
    """Smaller collections have real shapes, too."""
    told = admin.tm("POST", "ltm/snatpool", {"name": "s", "members": ["/Common/192.168.101.1"]})
    assert set(told) == set(captured("ltm_snatpools_snatpool_GET"))
    group = admin.tm("POST", "ltm/data-group/internal", {"name": "d", "type": "string", "records": [{"name": "a"}]})
    assert group["kind"] == "tm:ltm:data-group:internal:internalstate"
    rule = admin.tm("POST", "ltm/rule", {"name": "r", "apiAnonymous": "when HTTP_REQUEST { }"})
    assert set(rule) == set(captured("get_ltm_rule")["items"][0])


def test_foreign(bigip: BigIp, admin: Any) -> None:
    """An administrator's own objects are there as everybody's, and may be changed and removed beside the API."""
    assert bigip.foreign("ltm/pool", {"name": "theirs", "slowRampTime": 5})["slowRampTime"] == 5
    bigip.foreign("ltm/pool", {"name": "/Common/theirs", "slowRampTime": 6})
    assert admin.tm("GET", "ltm/pool/~Common~theirs")["slowRampTime"] == 6
    bigip.remove("ltm/pool", "/Common/theirs")
    assert bigip.object("ltm/pool", "theirs") is None
    with pytest.raises(KeyError):
        bigip.foreign("ltm/nothing", {"name": "x"})
