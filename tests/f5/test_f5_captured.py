"""Every answer captured from a real BIG-IP is read by what would meet it: a file that nobody reads fails here.

What lbsync never asks a device for stands in ``NOT_ASKED_FOR``, and is at least seen to have the common shape.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lbsync_f5 import things
from lbsync_f5.project import policy_names, policy_rules, profile_names, projected
from lbsync_f5.things import mark_of
from lbsync_f5.wire import (
    OLDEST,
    devices,
    failover_groups,
    fingerprint,
    full_path,
    inline,
    items,
    pool_members,
    served,
    sync_status,
    version_numbers,
    version_of,
)
from tests.f5.captured import BY_HAND, DATA, FILES, NEW, OLD, Json, load

# --- readers: each says what a file must give -------------------------------------------------------------------------


def _objects(collection: str, *paths: str) -> Callable[[Json], None]:
    """A collection whose objects are projected; every path captured, in order (``...`` ends a list that goes on)."""

    def read(answer: Json) -> None:
        found = items(answer)
        assert version_of(answer["selfLink"]) == "14.1.2.1"
        shown = [full_path(item) for item in found]
        assert shown[: len(paths)] == list(paths)
        for item in found:
            assert mark_of(item, "lb1") is None
            thing = projected(collection, item)
            assert (thing.collection, thing.path) == (collection, full_path(item))
            assert thing.marked("lb1").digest == thing.digest
            # What our writing would leave out is left out; the description is the administrator's.
            assert thing.body["description"] == item.get("description", "")

    return read


def _pools(answer: Json) -> None:
    _objects(things.POOL, "/Common/pl_web-pool101", "/Common/pl_web-pool221", "/Common/pool1")(answer)
    found = {full_path(item): projected(things.POOL, item).body for item in items(answer)}
    assert found["/Common/pl_web-pool101"]["monitor"] == "/Common/monitor111 and /Common/monitor101"
    assert "monitor" not in found["/Common/pool1"]
    assert all(body["loadBalancingMode"] == "round-robin" for body in found.values())
    # Without expandSubcollections there is a reference and nothing in it.
    assert {len(pool_members(item)) for item in items(answer)} == {0}


def _one_pool(answer: Json) -> None:
    thing = projected(things.POOL, answer)
    assert thing.path == "/Common/generatetestjson"
    assert thing.body == {
        "loadBalancingMode": "round-robin", "slowRampTime": 10, "serviceDownAction": "none", "members": [], "description": "",
    }  # fmt: skip


def _virtuals(answer: Json) -> None:
    _objects(things.VIRTUAL, "/Common/vip1")(answer)
    found = [projected(things.VIRTUAL, item).body for item in items(answer)]
    assert found[0] == {
        "destination": "/Common/1.1.1.2:80", "mask": "255.255.255.255", "ipProtocol": "tcp",
        "sourceAddressTranslation": {"type": "none"}, "profiles": [], "rules": [], "vlans": [], "description": "",
    }  # fmt: skip
    assert (found[1]["vlans"], found[1]["rules"]) == (["/Common/Internal"], ["/Common/SNAT-39"])
    assert {str(body["sourceAddressTranslation"]) for body in found} == {"{'type': 'none'}", "{'type': 'automap'}"}
    assert all(policy_names(item) == [] for item in items(answer))


def _profiles_of_a_virtual(answer: Json) -> None:
    """Also as they stand in a virtual server that was read with expandSubcollections."""
    wanted = [{"name": "/Common/http", "context": "all"}, {"name": "/Common/tcp", "context": "all"}]
    assert profile_names({"profilesReference": answer}) == wanted
    assert profile_names({"profiles": items(answer)}) == wanted


def _one_profile_of_a_virtual(answer: Json) -> None:
    """Without a partition and a context: Common, and all."""
    assert full_path(answer) == "/Common/http"
    assert profile_names({"profiles": [answer]}) == [{"name": "/Common/http", "context": "all"}]


def _client_ssl(answer: Json) -> None:
    _objects(things.CLIENT_SSL, "/Common/clientssl")(answer)
    assert {served(item) for item in items(answer)} == {"/Common/default.crt"}
    found = {str(item["name"]): projected(things.CLIENT_SSL, item).body for item in items(answer)}
    assert (found["clientssl"]["ciphers"], found["clientssl"]["sniDefault"]) == ("DEFAULT", "false")
    assert found["crypto-server-default-clientssl"]["cacheSize"] == 0


def _server_ssl(answer: Json) -> None:
    _objects(things.SERVER_SSL, "/Common/apm-default-serverssl")(answer)
    found = {str(item["name"]): projected(things.SERVER_SSL, item).body for item in items(answer)}
    assert found["apm-default-serverssl"]["caFile"] == "/Common/ca-bundle.crt"
    assert all(body["authenticateName"] == "none" for body in found.values())


def _monitors(collection: str, *paths: str) -> Callable[[Json], None]:
    def read(answer: Json) -> None:
        _objects(collection, *paths)(answer)
        for item in items(answer):
            body = projected(collection, item).body
            assert isinstance(body["interval"], int)
            assert str(body["send"]).startswith(("GET /", "HEAD /"))

    return read


def _nodes(answer: Json) -> None:
    _objects(things.NODE, "/Common/101.168.11.139")(answer)
    addresses = [projected(things.NODE, item).body["address"] for item in items(answer)]
    assert addresses == [item["address"] for item in items(answer)]
    assert ("/Common/node1", "1.1.1.1") in [(full_path(item), item["address"]) for item in items(answer)]


def _no_policies(answer: Json) -> None:
    assert items(answer) == []


def _policy_request(answer: Json) -> None:
    """What F5's own tests POST: our reader takes plain lists as well as references."""
    (rule,) = policy_rules(answer)
    assert rule["name"] == "test_rule"
    assert [one["tmName"] for one in rule["actions"]] == ["Z-HEADER", "Z-HEADER"]
    assert rule["conditions"][0]["equals"] is True


def _devices(answer: Json) -> None:
    (found,) = devices(items(answer))
    assert (found.name, found.itself, found.state, found.version) == ("bigip01.lab.local", True, "active", "14.1.2.1")


def _groups(answer: Json) -> None:
    """Trust and DNS groups are no failover groups."""
    assert len(items(answer)) == 2
    assert failover_groups(items(answer)) == ()


def _sync(answer: Json) -> None:
    found = sync_status(answer)
    assert (found.status, found.details) == ("Standalone", ("Optional action: Add a device to the trust domain",))


def _partitions(answer: Json) -> None:
    assert [str(item["name"]) for item in items(answer)] == ["Common"]


def _certificates(answer: Json) -> None:
    found = {full_path(item): fingerprint(item) for item in items(answer)}
    assert found["/Common/default.crt"] == "3af73edf9ca2ff9a624d4485295d2e5398e18d6634b48b90f5b4d8e3d37ceede"
    assert len(found) == 4
    assert all(one is not None and len(one) == 64 for one in found.values())


def _keys(answer: Json) -> None:
    """A key object tells no fingerprint, and not always where it came from."""
    assert [full_path(item) for item in items(answer)] == ["/Common/default.key", "/Common/f5_api_com.key"]
    assert {fingerprint(item) for item in items(answer)} == {None}


def _sys(answer: Json) -> None:
    """What the SDK asks first: the version stands in the selfLink; 11.6 is too old."""
    version = version_of(answer["selfLink"])
    assert version == "11.6.0"
    found = version_numbers(version)
    assert found is not None
    assert found < OLDEST


READERS: dict[str, Callable[[Json], None]] = {
    f"{NEW}/get_auth_partition.json": _partitions,
    f"{NEW}/get_cm_device.json": _devices,
    f"{NEW}/get_cm_device_group.json": _groups,
    f"{NEW}/get_cm_sync_status.json": _sync,
    f"{NEW}/get_ltm_monitorhttp.json": _monitors(things.MONITOR_HTTP, "/Common/http", "/Common/http_head_f5"),
    f"{NEW}/get_ltm_monitorhttps.json": _monitors(things.MONITOR_HTTPS, "/Common/https", "/Common/https_443"),
    f"{NEW}/get_ltm_node.json": _nodes,
    f"{NEW}/get_ltm_policy.json": _no_policies,
    f"{NEW}/get_ltm_pool.json": _pools,
    f"{NEW}/get_ltm_profileclient_ssl.json": _client_ssl,
    f"{NEW}/get_ltm_profilehttp.json": _objects(things.HTTP, "/Common/http"),
    f"{NEW}/get_ltm_profileone_connect.json": _objects(things.ONE_CONNECT, "/Common/oneconnect"),
    f"{NEW}/get_ltm_profileserver_ssl.json": _server_ssl,
    f"{NEW}/get_ltm_virtual.json": _virtuals,
    f"{NEW}/get_sys_filessl_cert.json": _certificates,
    f"{NEW}/get_sys_filessl_key.json": _keys,
    f"{OLD}/cm_sync_status_GET.json": _sync,
    f"{OLD}/create_pool_response.json": _one_pool,
    f"{OLD}/full_policy_REQUEST.json": _policy_request,
    f"{OLD}/ltm_virtual_profiles_GET.json": _profiles_of_a_virtual,
    f"{OLD}/ltm_virtual_profiles_profile_GET.json": _one_profile_of_a_virtual,
    f"{OLD}/sys_GET.json": _sys,
}

ON_THE_WIRE = {
    f"{BY_HAND}/{name}.json"
    for name in (
        "errors",
        "login_200",
        "transaction_command_queued_200",
        "transaction_create_200",
        "upload_last_chunk_200",
    )
}
"""Read by the session itself, in test_f5_captured_session.py."""

NOT_ASKED_FOR = {
    **dict.fromkeys(
        (
            f"{NEW}/get_adc_fileobjectssl_cert.json",
            f"{NEW}/get_adc_fileobjectssl_key.json",
            f"{NEW}/get_sys_cryptocert.json",
            f"{NEW}/get_sys_cryptokey.json",
            f"{NEW}/get_sys_cryptocsr.json",
            f"{NEW}/get_sys_crypto.json",
            f"{NEW}/get_sys_cryptoallow_key_export.json",
            f"{NEW}/get_sys_fileapache_ssl_cert.json",
            f"{NEW}/get_cm_cert.json",
        ),
        "sys/file/ssl-cert and ssl-key hold what is served",
    ),
    **dict.fromkeys(
        (
            f"{NEW}/get_ltm_persistencecookie.json",
            f"{NEW}/get_ltm_persistencesource_addr.json",
            f"{OLD}/ltm_persistence_universal_GET.json",
            f"{OLD}/persistence_cookie_GET.json",
            f"{OLD}/persistence_global-settings_GET.json",
            f"{OLD}/persistence_source-addr_GET.json",
            f"{OLD}/persistence_ssl_GET.json",
            f"{OLD}/persistence_universal_universal_GET.json",
        ),
        "Exchange needs no persistence",
    ),
    **dict.fromkeys(
        (
            f"{NEW}/get_ltm_snatpool.json",
            f"{OLD}/ltm_snatpools_GET.json",
            f"{OLD}/ltm_snatpools_snatpool_GET.json",
            f"{NEW}/get_ltm_virtual_address.json",
            f"{OLD}/ltm_virtual_addresses_GET.json",
            f"{OLD}/ltm_virtual_addresses_virtual_address_GET.json",
            f"{NEW}/get_ltm_policy_strategy.json",
            f"{NEW}/get_ltm_rule.json",
            f"{NEW}/get_ltm_profilentlm.json",
            f"{NEW}/get_ltm_cipherrule.json",
        ),
        "named by settings or by the product, and made by nobody here",
    ),
    **dict.fromkeys(
        (
            f"{NEW}/get_cm_failover_status.json",
            f"{NEW}/get_cm_traffic_group.json",
            f"{NEW}/get_cm_trust_domain.json",
            f"{NEW}/get_shared_bigip_failover_state.json",
            f"{NEW}/get_sys_failover.json",
            f"{NEW}/get_sys_version.json",
        ),
        "cm/device says which device is active, a selfLink which version it has",
    ),
    **dict.fromkeys(
        (
            f"{NEW}/get_auth_source.json",
            f"{NEW}/get_cloud_ltmpool_members.json",
            f"{NEW}/get_sys_clock.json",
            f"{NEW}/get_sys_global_settings.json",
            f"{NEW}/get_sys_provision.json",
        ),
        "nothing depends on it",
    ),
    f"{BY_HAND}/token_patch_timeout_200.json": "a token that expires is renewed, never prolonged",
}


@pytest.fixture(autouse=True)
def _data(require: Callable[[str], None]) -> None:
    require("data")


def test_every_file_has_its_reader_or_its_reason() -> None:
    """None is in two places, none is missing, none is listed that is not there."""
    there = {str(path.relative_to(DATA)) for path in FILES}
    places = [set(READERS), ON_THE_WIRE, set(NOT_ASKED_FOR)]
    assert set().union(*places) == there
    assert sum(map(len, places)) == len(there)


@pytest.mark.parametrize("name", sorted(READERS))
def test_what_a_device_answered_is_understood(name: str) -> None:
    """By the function that would meet it, down to the values that lbsync goes by."""
    READERS[name](load(name))


@pytest.mark.parametrize("name", sorted(NOT_ASKED_FOR))
def test_what_is_never_asked_for_has_the_common_shape(name: str) -> None:
    """JSON with a kind, or one of the two that have none; objects with a name."""
    answer = load(name)
    assert isinstance(answer, dict)
    assert "kind" in answer or name.endswith("shared_bigip_failover_state.json")
    for item in items(answer):
        assert "reference" in item or full_path(item).startswith("/")
        assert inline(item, "members") == [{"name": one} for one in item.get("members", [])]


def test_the_data_is_where_it_is_looked_for() -> None:
    """An empty folder would make every test above pass."""
    assert len(FILES) > 60
    assert Path(DATA / "INDEX.md").exists()
