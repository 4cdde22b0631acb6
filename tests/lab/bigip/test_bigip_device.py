"""What a device tells of itself, what it saves, what goes wrong with it, and what it remembers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from lbsync.lab.bigip.device import BigIp
from lbsync.lab.bigip.faults import Fault, Faults

Captured = Callable[[str], Any]
_SAVE = {"command": "save"}


def _keys(value: object) -> object:
    """The keys of an answer, all the way down."""
    if isinstance(value, dict):
        return {key: _keys(inner) for key, inner in value.items()}
    return [_keys(value[0])] if isinstance(value, list) and value else None


@pytest.mark.parametrize(
    ("capture", "path"),
    [
        ("get_sys_version", "sys/version"),
        ("get_sys_clock", "sys/clock"),
        ("get_sys_failover", "sys/failover"),
        ("get_sys_global_settings", "sys/global-settings"),
        ("get_sys_provision", "sys/provision"),
        ("get_sys_crypto", "sys/crypto"),
        ("get_cm_sync_status", "cm/sync-status"),
        ("get_cm_failover_status", "cm/failover-status"),
        ("get_cm_device_group", "cm/device-group"),
        ("get_cm_traffic_group", "cm/traffic-group"),
        ("get_ltm_policy_strategy", "ltm/policy-strategy"),
        ("get_auth_source", "auth/source"),
        ("get_shared_bigip_failover_state", "shared/bigip-failover-state"),
    ],
)
def test_shapes(admin: Any, captured: Captured, capture: str, path: str) -> None:
    """Each answer has the keys of the captured one, at every depth."""
    assert _keys(admin.tm("GET", path)) == _keys(captured(capture))


def test_devices(admin: Any, captured: Captured) -> None:
    """A device lists itself, active."""
    real, ours = captured("get_cm_device"), admin.tm("GET", "cm/device")
    assert set(ours["items"][0]) == set(real["items"][0])
    assert (ours["items"][0]["failoverState"], ours["items"][0]["selfDevice"]) == ("active", "true")
    assert admin.tm("GET", "cm/device/~Common~bigip01.lab.local") == ours["items"][0]
    assert admin.refused("GET", "cm/device/~Common~other")[0] == 404


def test_sys(admin: Any, captured: Captured) -> None:
    """GET /mgmt/tm/sys/ lists what there is, and tells the version in its link."""
    told = admin.tm("GET", "sys/")
    real = captured("sys_GET")
    assert told["selfLink"] == "https://localhost/mgmt/tm/sys?ver=14.1.2.1"
    assert [one["reference"]["link"].split("?")[0] for one in told["items"]] == [
        one["reference"]["link"].split("?")[0] for one in real["items"]
    ]


@pytest.mark.parametrize(("version", "status"), [("13.0.0", 404), ("13.1.0", 200), ("17.1.1", 200)])
def test_ready(start: Callable[..., BigIp], connect: Callable[..., Any], version: str, status: int) -> None:
    """sys/ready came with 13.1."""
    assert connect(start(version=version)).raw("GET", "/mgmt/tm/sys/ready").status_code == status


def test_failover_state(bigip: BigIp, admin: Any) -> None:
    """A device that is set standby says so everywhere."""
    bigip.failover_state = "standby"
    assert bigip.failover_state == "standby"
    assert admin.tm("GET", "cm/device")["items"][0]["failoverState"] == "standby"
    assert admin.tm("GET", "shared/bigip-failover-state")["failoverState"] == "standby"
    assert "Failover standby for" in admin.tm("GET", "sys/failover")["apiRawValues"]["apiAnonymous"]


def test_save_and_reboot(bigip: BigIp, admin: Any) -> None:
    """What was not saved is gone after a reboot."""
    admin.tm("POST", "ltm/pool", {"name": "kept"})
    assert bigip.unsaved
    told = admin.tm("POST", "sys/config/", _SAVE)
    assert told == {"kind": "tm:sys:config:savestate", **_SAVE}
    assert not bigip.unsaved
    admin.tm("POST", "ltm/pool", {"name": "lost"})
    assert bigip.object("ltm/pool", "lost", saved=True) is None
    assert "/Common/kept" in bigip.saved.of("ltm/pool")
    bigip.reload_saved()
    assert bigip.paths("ltm/pool") == ("/Common/kept",)
    assert admin.refused("POST", "sys/config", {"command": "load"})[0] == 400


def test_sync_without_a_group(admin: Any) -> None:
    """A standalone device has no group to sync with."""
    body = {"command": "run", "utilCmdArgs": "config-sync to-group DG"}
    assert admin.refused("POST", "cm", body) == (
        400,
        "01070734:3: Configuration error: Device group (DG) not found in device group sync",
    )
    assert admin.refused("POST", "cm", {"command": "run", "utilCmdArgs": "config-sync to-group"})[0] == 400
    assert admin.refused("POST", "cm", {"command": "run", "utilCmdArgs": "reboot"})[0] == 400


def test_busy_and_restarting(bigip: BigIp, admin: Any, connect: Callable[..., Any], captured: Captured) -> None:
    """A busy device says so in JSON, a restarting one in HTML, the login included."""
    bigip.busy(1)
    busy = next(one for one in captured("errors") if one["when"] == "icrd busy")
    answer = admin.raw("GET", "/mgmt/tm/sys")
    assert (answer.status_code, answer.json()) == (503, busy["body"])
    assert admin.tm("GET", "sys")
    bigip.restarting(2)
    assert admin.raw("GET", "/mgmt/tm/sys").headers["content-type"] == "text/html"
    page = connect(bigip, "").login("admin", "x")
    assert page.status_code == 503
    assert "Configuration Utility restarting..." in page.text
    assert admin.tm("GET", "sys")


def test_scripted_faults(bigip: BigIp, admin: Any, connect: Callable[..., Any]) -> None:
    """A connection may die before or after the work was done; a login never meets a fault."""
    bigip.fault(Fault.DROP_BEFORE, Fault.DROP_AFTER, Fault.BUSY, Fault.SLOW, None)
    connect(bigip)
    for name, there in (("before", False), ("after", True)):
        with pytest.raises(requests.ConnectionError):
            admin.raw("POST", "/mgmt/tm/ltm/pool", json={"name": name})
        assert (bigip.object("ltm/pool", name) is not None) is there
    assert admin.raw("GET", "/mgmt/tm/sys").status_code == 503
    assert admin.raw("GET", "/mgmt/tm/sys").elapsed.total_seconds() >= 0.1
    assert admin.tm("GET", "sys")
    assert [seen.fault for seen in bigip.log[-5:]] == [
        Fault.DROP_BEFORE,
        Fault.DROP_AFTER,
        Fault.BUSY,
        Fault.SLOW,
        None,
    ]
    assert [seen.status for seen in bigip.log[-5:-2]] == [0, 0, 503]


def test_errors_of_the_way(bigip: BigIp, admin: Any) -> None:
    """503 after it was done, 504 before anything was; tests script them, chance draws neither."""
    bigip.fault(Fault.ERROR_AFTER, Fault.ERROR_AFTER, Fault.GATEWAY)
    late = admin.raw("POST", "/mgmt/tm/ltm/pool", json={"name": "done"})
    assert (late.status_code, late.json()["message"]) == (503, "AsyncContext timeout")
    assert bigip.paths("ltm/pool") == ("/Common/done",)
    assert admin.raw("POST", "/mgmt/tm/ltm/pool", json={"name": "done"}).status_code == 503
    never = admin.raw("POST", "/mgmt/tm/ltm/pool", json={"name": "never"})
    assert (never.status_code, never.headers["content-type"]) == (504, "text/html")
    assert bigip.paths("ltm/pool") == ("/Common/done",)
    assert [seen.status for seen in bigip.log[-3:]] == [503, 503, 504]
    chance = Faults(1.0, 1, "d")
    assert {chance.draw() for _ in range(200)} == set(Fault) - {Fault.ERROR_AFTER, Fault.GATEWAY}


def test_chance_is_seeded() -> None:
    """The same seed gives the same faults, at about the rate asked for."""
    drawn = [[Faults(0.2, seed, "d").draw() for _ in range(1)] for seed in range(3)]
    one, same = Faults(0.2, 1, "d"), Faults(0.2, 1, "d")
    series = [one.draw() for _ in range(500)]
    assert series == [same.draw() for _ in range(500)]
    assert 60 < sum(fault is not None for fault in series) < 140
    assert len(drawn) == 3


def test_log(bigip: BigIp, admin: Any) -> None:
    """The log tells method, path, connection and body, and keeps passwords and uploads out."""
    admin.upload("a.key", b"-----BEGIN PRIVATE KEY-----")
    admin.tm("POST", "ltm/monitor/http", {"name": "m", "username": "u", "password": "secret"})
    login, upload, made = bigip.log
    assert (login.method, login.path, login.body, login.status) == ("POST", "/mgmt/shared/authn/login", {}, 200)
    assert (upload.content_type, upload.body) == ("application/octet-stream", {})
    assert made.body == {"name": "m", "username": "u", "password": "***"}
    assert {seen.connection for seen in bigip.log} == {login.connection}
    assert bigip.accepted == 1
    assert bigip.management_port
    assert bigip.address == "127.0.0.1"
    assert "BEGIN CERTIFICATE" in bigip.ca_pem
    assert not any(bigip.password in str(seen) for seen in bigip.log)


def test_too_large(admin: Any) -> None:
    """A body beyond what the device takes is refused."""
    answer = admin.raw("POST", "/mgmt/tm/ltm/rule", data=b" " * (4 * 1024 * 1024 + 1))
    assert answer.status_code == 413


def test_stop_twice(start: Callable[..., BigIp]) -> None:
    """Stopping twice is stopping once."""
    device = start()
    device.stop()
    device.stop()
    assert device.management_port == 0
