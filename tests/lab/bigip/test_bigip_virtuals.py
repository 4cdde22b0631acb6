"""Virtual servers and LTM policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lbsync.lab.bigip.device import BigIp

Captured = Callable[[str], Any]
_V = "ltm/virtual/~Common~v"
_P = "ltm/policy"
_DRAFT = {"name": "pol", "partition": "Common", "subPath": "Drafts", "strategy": "/Common/first-match"}
_PUBLISH = {"command": "publish", "name": "/Common/Drafts/pol"}


def _rule(name: str, pool: str, ordinal: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "ordinal": ordinal,
        "conditions": [{"name": "0", "httpUri": True, "path": True, "startsWith": True, "request": True,
                        "values": ["/owa"]}],
        "actions": [{"name": "0", "forward": True, "select": True, "pool": pool, "request": True},
                    {"name": "1", "serverSsl": True, "disable": True, "request": True}],
    }  # fmt: skip


def _virtual(admin: Any, **more: object) -> Any:
    return admin.tm("POST", "ltm/virtual", {"name": "v", "destination": "127.0.0.5:443", **more})


def _publish(admin: Any, **more: object) -> None:
    admin.tm("POST", _P, {**_DRAFT, **more})
    admin.tm("POST", _P, _PUBLISH)


# --- virtual servers -----------------------------------------------------------------------------------------------------


def test_shape(bigip: BigIp, admin: Any, captured: Captured) -> None:
    """A virtual server shows what a real one shows, and brings its virtual address."""
    bigip.foreign("ltm/pool", {"name": "p"})
    told = _virtual(admin, pool="p")
    assert set(told) == set(captured("get_ltm_virtual")["items"][0])
    assert told["destination"] == "/Common/127.0.0.5:443"
    address = admin.tm("GET", "ltm/virtual-address/~Common~127.0.0.5")
    assert set(address) == set(captured("get_ltm_virtual_address")["items"][0])
    assert admin.refused("DELETE", "ltm/pool/~Common~p") == (
        400,
        "01070265:3: The Pool (/Common/p) cannot be deleted because it is in use by a Virtual Server (/Common/v).",
    )
    admin.tm("PATCH", _V, {"destination": "/Common/127.0.0.6:443"})
    assert bigip.paths("ltm/virtual-address") == ("/Common/127.0.0.6",)
    admin.tm("DELETE", _V)
    assert bigip.paths("ltm/virtual-address") == ()


def test_profiles(admin: Any, plane: Any, captured: Captured) -> None:
    """Profiles stand on their side; TCP is added below HTTP; the data plane gets them in line."""
    _virtual(admin, profiles=["http", "/Common/clientssl", {"name": "serverssl", "partition": "Common"}])
    told = admin.tm("GET", f"{_V}/profiles")
    real = captured("ltm_virtual_profiles_GET")
    assert told["kind"] == real["kind"]
    assert set(real["items"][0]) <= set(told["items"][0])
    found = {one["fullPath"]: one["context"] for one in told["items"]}
    assert found == {"/Common/http": "all", "/Common/clientssl": "clientside", "/Common/serverssl": "serverside",
                     "/Common/tcp": "all"}  # fmt: skip
    given = plane.configs[-1].of("ltm/virtual")["/Common/v"]
    assert [one["fullPath"] for one in given["profiles"]] == list(found)
    assert given["translateAddress"] == "enabled"
    admin.tm("DELETE", f"{_V}/profiles/~Common~serverssl")
    admin.tm("POST", f"{_V}/profiles", {"name": "oneconnect"})
    names = [one["name"] for one in admin.tm("GET", f"{_V}?expandSubcollections=true")["profilesReference"]["items"]]
    assert names == ["http", "clientssl", "tcp", "oneconnect"]
    assert admin.refused("PATCH", _V, {"profiles": ["/Common/none"]}) == (
        404,
        "01020036:3: The requested profile (/Common/none) was not found.",
    )


def test_bare_virtual(admin: Any) -> None:
    """A virtual server without profiles is a fast layer 4 one; without a destination there is none."""
    _virtual(admin)
    assert [one["name"] for one in admin.tm("GET", f"{_V}/profiles")["items"]] == ["fastL4"]
    assert admin.refused("POST", "ltm/virtual", {"name": "w"})[0] == 400
    assert admin.refused("POST", "ltm/virtual", {"name": "w", "destination": "127.0.0.1:ftp"})[0] == 400


def test_flags(admin: Any) -> None:
    """A virtual server is enabled or disabled, never both, never neither."""
    _virtual(admin)
    for given, shown, hidden in (
        ({"disabled": True}, "disabled", "enabled"),
        ({"enabled": True}, "enabled", "disabled"),
        ({"enabled": False}, "disabled", "enabled"),
    ):
        told = admin.tm("PATCH", _V, given)
        assert told[shown] is True
        assert hidden not in told


def test_one_destination(admin: Any, plane: Any) -> None:
    """Two virtual servers cannot share a destination; one that cannot be listened on changes nothing."""
    _virtual(admin)
    assert admin.refused("POST", "ltm/virtual", {"name": "w", "destination": "/Common/127.0.0.5:443"}) == (
        400,
        (
            "01070333:3: Virtual Server /Common/w illegally shares destination address, source address, service port,"
            " ip-protocol, and vlan with Virtual Server /Common/v."
        ),
    )
    plane.occupied.add("/Common/127.0.0.7:443")
    before = len(plane.configs)
    status, message = admin.refused("POST", "ltm/virtual", {"name": "w", "destination": "127.0.0.7:443"})
    assert (status, message[:10]) == (400, "01070333:3")
    assert len(plane.configs) == before
    assert admin.refused("GET", "ltm/virtual/~Common~w")[0] == 404
    assert admin.refused("GET", "ltm/virtual-address/~Common~127.0.0.7")[0] == 404


def test_clients(admin: Any, plane: Any) -> None:
    """Clients of a virtual server are counted by the data plane."""
    _virtual(admin)
    plane.clients["/Common/v"] = (2, 9)
    (one,) = admin.tm("GET", f"{_V}/stats")["entries"].values()
    (same,) = admin.tm("GET", "ltm/virtual/stats")["entries"].values()
    for entry in (one, same):
        assert entry["nestedStats"]["entries"]["clientside.curConns"] == {"value": 2}
        assert entry["nestedStats"]["entries"]["clientside.totConns"] == {"value": 9}
        assert entry["nestedStats"]["entries"]["status.availabilityState"] == {"description": "unknown"}


def test_rules_and_persistence(admin: Any) -> None:
    """IRules are named in full; what is missing is refused; metadata stays."""
    told = _virtual(admin, rules=["_sys_https_redirect"], profiles=["http"], metadata=[{"name": "by", "value": "us"}])
    assert told["rules"] == ["/Common/_sys_https_redirect"]
    assert told["rulesReference"][0]["link"].endswith("/ltm/rule/~Common~_sys_https_redirect?ver=14.1.2.1")
    assert told["metadata"] == [{"name": "by", "value": "us"}]
    assert admin.refused("PATCH", _V, {"rules": ["none"]})[0] == 404
    assert "rules" not in admin.tm("PATCH", _V, {"rules": "none"})


# --- policies ------------------------------------------------------------------------------------------------------------


def test_draft_and_publish(bigip: BigIp, admin: Any, plane: Any) -> None:
    """A policy is drafted, published, drafted again, changed and published again; its name in force never goes missing."""
    bigip.foreign("ltm/pool", {"name": "p"})
    made = admin.tm("POST", f"{_P}/", {**_DRAFT, "requires": ["http"], "rules": [_rule("owa", "/Common/p")]})
    assert (made["fullPath"], made["status"], made["subPath"]) == ("/Common/Drafts/pol", "draft", "Drafts")
    assert made["controls"] == ["forwarding", "server-ssl"]
    assert made["strategyReference"]["link"].endswith("/ltm/policy-strategy/~Common~first-match?ver=14.1.2.1")
    admin.tm("POST", _P, _PUBLISH)
    assert admin.tm("GET", f"{_P}/~Common~pol")["status"] == "published"
    assert bigip.paths("ltm/policy") == ("/Common/pol",)
    assert admin.tm("PATCH", f"{_P}/~Common~pol", {"createDraft": True})["status"] == "published"
    assert admin.refused("PATCH", f"{_P}/~Common~pol", {"createDraft": True})[0] == 409
    admin.tm("POST", f"{_P}/~Common~Drafts~pol/rules", _rule("ews one", "/Common/p", 1))
    admin.tm("DELETE", f"{_P}/~Common~Drafts~pol/rules/owa/actions/1")
    admin.tm("PATCH", f"{_P}/~Common~Drafts~pol/rules/ews%20one/conditions/0", {"values": ["/ews"]})
    admin.tm("PATCH", f"{_P}/~Common~Drafts~pol", {"description": "second"})
    admin.tm("POST", _P, _PUBLISH)
    told = admin.tm("GET", f"{_P}/~Common~pol?expandSubcollections=true")
    rules = told["rulesReference"]["items"]
    assert [one["name"] for one in rules] == ["owa", "ews one"]
    assert len(rules[0]["actionsReference"]["items"]) == 1
    condition = rules[1]["conditionsReference"]["items"][0]
    assert condition["values"] == ["/ews"]
    assert condition["selfLink"].endswith("/~Common~pol/rules/ews%20one/conditions/0?ver=14.1.2.1")
    assert rules[0]["actionsReference"]["items"][0]["poolReference"]["link"].endswith("/~Common~p?ver=14.1.2.1")
    assert plane.configs[-1].of("ltm/policy")["/Common/pol"]["rules"][1]["conditions"][0]["values"] == ["/ews"]


def test_published_is_closed(bigip: BigIp, admin: Any) -> None:
    """A published policy is neither made, changed nor drafted over directly."""
    bigip.foreign("ltm/pool", {"name": "p"})
    message = (
        "01071abb:3: Cannot create/modify published policy '/Common/pol' directly, try specifying a draft folder"
        " like '/Common/Drafts/pol'."
    )
    direct = {"name": "pol", "strategy": "/Common/first-match"}
    assert admin.refused("POST", _P, direct) == (400, message)
    _publish(admin, rules=[_rule("owa", "/Common/p")])
    assert admin.refused("PATCH", f"{_P}/~Common~pol", {"description": "x"}) == (400, message)
    assert admin.refused("DELETE", f"{_P}/~Common~pol/rules/owa") == (400, message)
    assert admin.refused("POST", _P, _DRAFT) == (
        400,
        '01070734:3: Configuration error: Published policy "/Common/pol" exists, use create-draft to create a draft copy .',
    )
    assert admin.refused("POST", _P, _PUBLISH)[0] == 404
    assert admin.refused("POST", _P, _PUBLISH | {"name": "/Common/pol"})[0] == 400
    assert admin.refused("POST", _P, {"command": "go"})[0] == 400
    admin.tm("DELETE", f"{_P}/~Common~pol")


def test_policy_on_virtual(bigip: BigIp, admin: Any) -> None:
    """A virtual server takes published policies only, with HTTP where they need it, and holds on to them."""
    bigip.foreign("ltm/pool", {"name": "p"})
    admin.tm("POST", _P, {**_DRAFT, "requires": ["http"], "rules": [_rule("owa", "/Common/p")]})
    body = {"name": "v", "destination": "127.0.0.5:443", "profiles": ["http"]}
    assert "publish it first" in admin.refused("POST", "ltm/virtual", body | {"policies": ["/Common/Drafts/pol"]})[1]
    admin.tm("POST", _P, _PUBLISH)
    naked = body | {"policies": ["pol"], "profiles": ["tcp"]}
    assert "requires an HTTP profile" in admin.refused("POST", "ltm/virtual", naked)[1]
    assert admin.refused("POST", "ltm/virtual", body | {"policies": ["none"]}) == (
        404,
        "01020036:3: The requested Policy (/Common/none) was not found.",
    )
    admin.tm("POST", "ltm/virtual", body | {"policies": ["pol"]})
    assert "in use by a Virtual Server" in admin.refused("DELETE", f"{_P}/~Common~pol")[1]
    assert "in use by a Policy" in admin.refused("DELETE", "ltm/pool/~Common~p")[1]
    admin.tm("PATCH", _V, {"policies": []})
    admin.tm("DELETE", f"{_P}/~Common~pol")


def test_full_policy(admin: Any, captured: Captured) -> None:
    """The policy that F5 tests its own devices with is taken, and shown again in full."""
    body = captured("full_policy_REQUEST")
    for condition in body["rules"][0]["conditions"]:
        if condition.pop("not_", False):  # how Python's f5-sdk has to spell it
            condition["not"] = True
    admin.tm("POST", _P, {**_DRAFT, **body})
    told = admin.tm("GET", f"{_P}/~Common~Drafts~pol?expandSubcollections=true")
    (rule,) = told["rulesReference"]["items"]
    for name in ("actions", "conditions"):
        shown = rule[f"{name}Reference"]["items"]
        assert len(shown) == len(body["rules"][0][name])
        for sent, back in zip(body["rules"][0][name], shown, strict=True):
            assert sent.items() <= back.items()


def test_misspelt_words(admin: Any) -> None:
    """A word that no action or condition has is refused."""
    rule = {"name": "r", "actions": [{"name": "0", "frobnicate": True}]}
    assert admin.refused("POST", _P, {**_DRAFT, "rules": [rule]}) == (
        400,
        "one or more properties must be specified: unknown frobnicate",
    )
    assert admin.refused("POST", _P, {**_DRAFT, "rules": [{"ordinal": 1}]})[0] == 400


def test_policy_in_a_folder(bigip: BigIp, admin: Any) -> None:
    """A policy in a folder is drafted in that folder's own Drafts."""
    bigip.foreign("sys/folder", {"name": "owa", "partition": "Common"})
    admin.tm("POST", _P, _DRAFT | {"subPath": "owa/Drafts"})
    admin.tm("POST", _P, _PUBLISH | {"name": "/Common/owa/Drafts/pol"})
    assert bigip.paths("ltm/policy") == ("/Common/owa/pol",)


@pytest.mark.parametrize(("version", "body"), [("11.6.0", {}), ("14.1.2.1", {"legacy": True})])
def test_without_drafts(
    start: Callable[..., BigIp], connect: Callable[..., Any], version: str, body: dict[str, Any]
) -> None:
    """Before 12.1, and with legacy since, a policy is made and changed in place."""
    client = connect(start(version=version))
    client.tm("POST", _P, {"name": "pol", "strategy": "/Common/first-match", **body})
    client.tm("PATCH", f"{_P}/~Common~pol", {"description": "x"})
    client.tm("POST", f"{_P}/~Common~pol/rules", {"name": "r"})
    assert client.tm("GET", f"{_P}/~Common~pol")["description"] == "x"


def test_vlans_are_sorted(admin: Any) -> None:
    """The vlans of a virtual server are listed by full path, whatever order they were sent in; none of them are not shown."""
    body = {"name": "w", "destination": "127.0.0.9:443", "vlans": ["/Common/inside", "dmz"], "vlansEnabled": True}
    assert admin.tm("POST", "ltm/virtual", body)["vlans"] == ["/Common/dmz", "/Common/inside"]
    told = admin.tm("PATCH", "ltm/virtual/~Common~w", {"vlans": ["z", "a"]})
    assert told["vlans"] == ["/Common/a", "/Common/z"]
    assert "vlans" not in admin.tm("PATCH", "ltm/virtual/~Common~w", {"vlans": []})
