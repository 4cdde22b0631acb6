"""Pools, members and monitors; listeners that come, stay and go; connections that are cut."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lbsync.lab.bigip.plane import Config, DataPlane
from lbsync.lab.bigip.traffic import TRAFFIC, Traffic
from lbsync.lab.bigip.traffic.monitors import rule, unescape
from lbsync.testing.backend import RecordingServer
from lbsync.testing.ca import TestCA
from lbsync.testing.ports import free_port
from tests.balancers.client import exchange, request
from tests.lab.bigip.traffic_device import Device, Object, is_reset, plain, until

_SEND = "GET /owa/healthcheck.htm HTTP/1.1\\r\\nHost: mail.contoso.test\\r\\nConnection: Close\\r\\n\\r\\n"


@pytest.fixture
def servers() -> Iterator[list[RecordingServer]]:
    """Two servers."""
    leaf = TestCA.new().issue(["ex01.contoso.test"], key="ec256")
    with ExitStack() as stack:
        yield [stack.enter_context(RecordingServer(name, leaf)) for name in ("EX01", "EX02")]


@pytest.fixture
def device(tmp_path: Path, servers: list[RecordingServer]) -> Iterator[Device]:
    """A device with one pool of both servers in clear, and a monitor that is not used yet."""
    with Device(tmp_path) as running:
        running.http()
        running.pool("owa", *(("127.0.0.1", each.http_port) for each in servers))
        _monitor(running)
        yield running


def _monitor(device: Device, kind: str = "http", **properties: object) -> None:
    settings = {"send": _SEND, "recv": "200 OK", "interval": 1, "timeout": 2} | properties
    device.put(f"ltm/monitor/{kind}", "exchange", **settings)


def _virtual(device: Device, *profiles: str) -> Object:
    virtual = device.virtual("mail", *(profiles or ("http",)), pool="/Common/owa")
    device.apply()
    return virtual


def _served(virtual: Object, count: int) -> Counter[str]:
    """Which servers answered so many new connections."""
    names: Counter[str] = Counter()
    for _ in range(count):
        with plain(virtual) as client:
            names[exchange(client, "/owa/").server] += 1
    return names


def _member(device: Device, at: int) -> Object:
    member: Object = device.objects["ltm/pool"]["/Common/owa"]["members"][at]
    return member


def test_it_is_a_data_plane(tmp_path: Path) -> None:
    """It keeps the promise, and tells nothing before it runs and after."""
    traffic: DataPlane = Traffic(tmp_path)
    for _ in range(2):
        assert (traffic.members(), traffic.virtual_connections("/Common/x"), traffic.cut("127.0.0.1", 1)) == (
            {},
            (0, 0),
            0,
        )
        traffic.cut_all()
        with pytest.raises(RuntimeError):
            traffic.apply(Config())
        traffic.start()
        traffic.apply(Config())
        traffic.stop()
        traffic.stop()


def test_what_was_assumed_is_told() -> None:
    """Each assumption has a name of its own and a sentence."""
    assert len({each.id for each in TRAFFIC}) == len(TRAFFIC) > 10
    assert all(each.text.endswith(".") for each in TRAFFIC)


def test_round_robin_gives_each_its_turn(device: Device) -> None:
    """New connections are spread evenly."""
    assert _served(_virtual(device), 6) == {"EX01": 3, "EX02": 3}


def test_least_connections_gives_to_the_idle_one(device: Device, servers: list[RecordingServer]) -> None:
    """While one server has an open connection the other gets the next ones."""
    device.objects["ltm/pool"]["/Common/owa"]["loadBalancingMode"] = "least-connections-member"
    virtual = _virtual(device)
    with plain(virtual) as staying:
        busy = exchange(staying, "/owa/").server
        for _ in range(3):
            with plain(virtual) as client:
                assert exchange(client, "/owa/").server != busy
            until(lambda: sum(device.current("owa", each.http_port) for each in servers) == 1)


@pytest.mark.parametrize("change", [{"session": "user-disabled"}, {"state": "user-down"}])
def test_draining(device: Device, servers: list[RecordingServer], change: dict[str, str]) -> None:
    """A disabled member keeps its connections and gets no new ones; both are counted."""
    virtual = _virtual(device)
    with plain(virtual) as early:
        name = exchange(early, "/owa/").server
        at = 0 if name == "EX01" else 1
        _member(device, at).update(change)
        device.apply()
        assert name not in _served(virtual, 4)
        assert exchange(early, "/owa/").server == name
        assert device.current("owa", servers[at].http_port) == 1
    until(lambda: device.current("owa", servers[at].http_port) == 0)
    _member(device, at).update({"session": "user-enabled", "state": "unchecked"})
    device.apply()
    assert _served(virtual, 4)[name] == 2


def test_a_disabled_node_disables_its_members(device: Device) -> None:
    """A node is found by name, or by address; a member's address may be its node's alone."""
    port = _member(device, 0)["fullPath"].rpartition(":")[2]
    device.put("ltm/node", "EX01", address="127.0.0.1", session="user-disabled")
    device.put("ltm/node", "127.0.0.2", address="127.0.0.2")
    device.objects["ltm/pool"]["/Common/owa"]["members"] = [
        {"name": f"EX01:{port}", "fullPath": f"/Common/EX01:{port}"}
    ]
    virtual = _virtual(device)
    with plain(virtual) as client:
        client.sendall(request("/owa/"))
        assert is_reset(client)
    device.objects["ltm/node"]["/Common/EX01"]["session"] = "user-enabled"
    device.apply()
    assert _served(virtual, 2) == {"EX01": 2}


def test_a_server_that_does_not_answer(device: Device, servers: list[RecordingServer]) -> None:
    """The client is reset; with reselectTries the next member is asked."""
    device.pool("owa", ("127.0.0.1", free_port("127.0.0.1")), ("127.0.0.1", servers[0].http_port))
    virtual = _virtual(device)
    with plain(virtual) as client:
        client.sendall(request("/owa/"))
        assert is_reset(client)
    device.objects["ltm/pool"]["/Common/owa"]["reselectTries"] = 1
    device.apply()
    assert _served(virtual, 4) == {"EX01": 4}


def test_monitors_mark_up_and_down(device: Device, servers: list[RecordingServer]) -> None:
    """A member that fails its check gets nothing; one that passes it again is back."""
    first, second = servers
    device.objects["ltm/pool"]["/Common/owa"]["monitor"] = "/Common/exchange "
    first.healthy.clear()
    virtual = _virtual(device)
    until(lambda: device.monitor_of("owa", second.http_port) == "up")
    until(lambda: device.monitor_of("owa", first.http_port) == "down")
    assert _served(virtual, 3) == {"EX02": 3}
    first.healthy.add("http")
    until(lambda: device.monitor_of("owa", first.http_port) == "up")
    assert _served(virtual, 4) == {"EX01": 2, "EX02": 2}
    second.healthy.clear()
    until(lambda: device.monitor_of("owa", second.http_port) == "down")
    assert _served(virtual, 2) == {"EX01": 2}


def test_health_outlives_a_new_configuration(device: Device, servers: list[RecordingServer]) -> None:
    """A member that stays with its monitor stays up, though the next check is an hour away; counters stay too."""
    _monitor(device, interval=1, timeout=7200)
    device.objects["ltm/pool"]["/Common/owa"]["monitor"] = "/Common/exchange"
    virtual = _virtual(device)
    for each in servers:
        until(lambda each=each: device.monitor_of("owa", each.http_port) == "up")  # type: ignore[misc]
        each.healthy.clear()
    _served(virtual, 2)
    _monitor(device, interval=3600, timeout=7200)
    device.apply()
    states = device.traffic.members()
    assert {(state.monitor, state.total) for state in states.values()} == {("up", 1)}


def test_all_monitors_of_a_rule_must_succeed(device: Device, servers: list[RecordingServer]) -> None:
    """With "and" it is all of them, with "min 1 of" one is enough."""
    _monitor(device, "http", recv="200 OK")
    device.put("ltm/monitor/http", "picky", send=_SEND, recv="never said", interval=1, timeout=2)
    pool = device.objects["ltm/pool"]["/Common/owa"]
    pool["monitor"] = "/Common/exchange and /Common/picky"
    _virtual(device)
    until(lambda: device.monitor_of("owa", servers[0].http_port) == "down")
    pool["monitor"] = "min 1 of { /Common/exchange /Common/picky }"
    device.apply()
    until(lambda: device.monitor_of("owa", servers[0].http_port) == "up")


@pytest.mark.parametrize(
    ("kind", "port", "properties"),
    [
        ("https", "https", {"recv": "^HTTP/1\\.[01] 2\\d\\d "}),
        ("http", "http", {"recv": ""}),
        ("http", "http", {"recv": "503", "reverse": "enabled"}),
        ("http", "http", {"send": "HEAD / HTTP/1.0\\r\\n\\r\\n", "recv": "Server\\:"}),
        ("tcp", "http", {}),
    ],
)
def test_kinds_of_monitors(
    device: Device, servers: list[RecordingServer], kind: str, port: str, properties: dict[str, object]
) -> None:
    """HTTPS without verification, any answer, an answer that must not come, a regular expression, a bare connection."""
    number = servers[0].https_port if port == "https" else servers[0].http_port
    _monitor(device, kind, **properties)
    device.pool("owa", ("127.0.0.1", number), monitor="/Common/exchange")
    _virtual(device)
    until(lambda: device.monitor_of("owa", number) == "up")


def test_the_first_check_takes_its_time(device: Device, servers: list[RecordingServer]) -> None:
    """It comes after a part of the interval; until then the member is being checked, and is given no connection."""
    device.objects["ltm/pool"]["/Common/owa"]["monitor"] = "/Common/exchange"
    _monitor(device, interval=3600, timeout=7200)
    virtual = _virtual(device)
    with plain(virtual) as client:
        client.sendall(request("/owa/"))
        assert is_reset(client)
    assert {state.monitor for state in device.traffic.members().values()} == {"checking"}
    assert not any(each.arrived for each in servers)
    _monitor(device)
    device.apply()
    for each in servers:
        until(lambda each=each: device.monitor_of("owa", each.http_port) == "up")  # type: ignore[misc]


def test_nobody_there_is_down_at_once(device: Device) -> None:
    """The first failure of a member that was never checked is believed, though its time-out is hours away."""
    port = free_port("127.0.0.1")
    device.pool("owa", ("127.0.0.1", port), monitor="/Common/exchange")
    _monitor(device, interval=1, timeout=7200)
    _virtual(device)
    until(lambda: device.monitor_of("owa", port) == "down")


def test_a_check_that_is_not_answered_fails_in_the_end(device: Device) -> None:
    """A server that takes the connection and says nothing is down after the time-out."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = int(mute.getsockname()[1])
        device.pool("owa", ("127.0.0.1", port), monitor="/Common/exchange")
        _monitor(device, interval=1, timeout=1)
        _virtual(device)
        assert device.monitor_of("owa", port) == "checking"
        until(lambda: device.monitor_of("owa", port) == "down")


def test_strings_and_rules_as_rest_writes_them() -> None:
    """Escapes stand as two characters; a rule may carry blanks at its end."""
    assert unescape("GET /\\r\\n\\tx\\\\\\?") == "GET /\r\n\tx\\?"
    assert rule("/Common/a and /Common/b ") == (2, ("/Common/a", "/Common/b"))
    assert rule("min 1 of { /Common/a /Common/b }") == (1, ("/Common/a", "/Common/b"))
    assert rule("") == (0, ())


def test_connections_are_counted(device: Device, servers: list[RecordingServer]) -> None:
    """Those of clients by virtual server, those to servers by member; a disabled virtual server keeps what is open."""
    virtual = _virtual(device)
    assert device.traffic.virtual_connections("/Common/mail") == (0, 0)
    with plain(virtual) as client:
        assert exchange(client, "/owa/").status == 200
        assert device.traffic.virtual_connections("/Common/mail") == (1, 1)
        virtual.update(enabled=False, disabled=True)
        device.apply()
        with pytest.raises(ConnectionRefusedError):
            plain(virtual)
        assert exchange(client, "/owa/").status == 200
    until(lambda: device.traffic.virtual_connections("/Common/mail") == (0, 1))
    virtual.update(enabled=True, disabled=False)
    device.apply()
    assert _served(virtual, 1).total() == 1


def test_an_address_in_use_changes_nothing(device: Device) -> None:
    """It fails, and names the address; what ran before runs on, the other change is not made."""
    virtual = _virtual(device)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = device.virtual("fine", "http", pool="/Common/owa")
        device.virtual("late", "http", pool="/Common/owa", port=int(taken.getsockname()[1]))
        _member(device, 0)["session"] = "user-disabled"
        with pytest.raises(OSError, match="cannot listen on"):
            device.apply()
    with pytest.raises(ConnectionRefusedError):
        plain(other)
    assert _served(virtual, 4) == {"EX01": 2, "EX02": 2}
    device.apply()
    assert _served(other, 2) == {"EX02": 2}


def test_two_virtual_servers_on_one_address(device: Device) -> None:
    """The second is refused."""
    virtual = _virtual(device)
    device.virtual("twin", "http", pool="/Common/owa", port=virtual["port"])
    with pytest.raises(OSError, match="/Common/twin and /Common/mail"):
        device.apply()


def test_a_destination_that_is_none(device: Device) -> None:
    """Something that is no address with a port is refused, and changes nothing."""
    virtual = _virtual(device)
    device.put("ltm/virtual", "odd", destination="/Common/127.0.0.1:what", profiles=[])
    with pytest.raises(OSError, match="no address with a port"):
        device.apply()
    assert _served(virtual, 2).total() == 2


def test_named_addresses_and_ipv6(device: Device) -> None:
    """A destination may name a virtual address; IPv6 parts address and port by a dot."""
    virtual = _virtual(device)
    port = free_port("127.0.0.1")
    device.put("ltm/virtual-address", "front", address="127.0.0.1")
    virtual["destination"] = f"/Common/front:{port}"
    virtual["port"] = port
    device.apply()
    assert _served(virtual, 1).total() == 1
    if socket.has_ipv6:
        virtual["destination"] = f"/Common/::1.{port}"
        device.apply()
        with socket.create_connection(("::1", port), 20) as client:
            assert exchange(client, "/owa/").status == 200


def test_a_listener_stays_while_its_destination_does(device: Device) -> None:
    """No connection attempt fails while configurations change."""
    virtual = _virtual(device)
    ended = threading.Event()

    def keep_changing() -> None:
        while not ended.is_set():
            device.apply()

    changing = threading.Thread(target=keep_changing)
    changing.start()
    try:
        assert _served(virtual, 50).total() == 50
    finally:
        ended.set()
        changing.join()


def test_cutting_one_server(device: Device, servers: list[RecordingServer]) -> None:
    """Clients of that server are reset, waiting ones too; those of the other go on."""
    virtual = _virtual(device)
    servers[0].hold.clear()
    with plain(virtual) as one, plain(virtual) as other, plain(virtual) as waiting:
        assert exchange(one, "/owa/").server == "EX01"
        assert exchange(other, "/owa/").server == "EX02"
        waiting.sendall(request("/owa/wait"))
        assert servers[0].waiting.acquire(timeout=20)
        assert device.traffic.cut("127.0.0.1", servers[0].http_port) == 2
        assert is_reset(one)
        assert is_reset(waiting)
        assert exchange(other, "/owa/").server == "EX02"
        until(lambda: device.current("owa", servers[0].http_port) == 0)
        assert device.traffic.cut("127.0.0.1", servers[0].http_port) == 0


def test_cutting_takes_idle_shared_connections(device: Device, servers: list[RecordingServer]) -> None:
    """A connection that one-connect keeps for the next client is cut, too; a client that holds none is left alone."""
    device.put("ltm/profile/one-connect", "oneconnect", sourceMask="any")
    virtual = _virtual(device, "http", "oneconnect")
    with plain(virtual) as client:
        assert exchange(client, "/owa/").server == "EX01"
        assert device.traffic.cut("127.0.0.1", servers[0].http_port) == 1
        until(lambda: device.current("owa", servers[0].http_port) == 0)
        assert {exchange(client, "/owa/").server for _ in range(2)} == {"EX01", "EX02"}


def test_a_failover_cuts_everything(device: Device) -> None:
    """Nobody listens until a configuration is applied again."""
    virtual = _virtual(device)
    with plain(virtual) as client:
        assert exchange(client, "/owa/").status == 200
        device.traffic.cut_all()
        assert is_reset(client)
    with pytest.raises(ConnectionRefusedError):
        plain(virtual)
    device.apply()
    assert _served(virtual, 2).total() == 2


def test_stopping_ends_everything(device: Device, servers: list[RecordingServer]) -> None:
    """A client that waits for an answer is reset; no thread is left."""
    virtual = _virtual(device)
    servers[0].hold.clear()
    with plain(virtual) as client:
        client.sendall(request("/owa/wait"))
        assert servers[0].waiting.acquire(timeout=20)
        device.traffic.stop()
        assert is_reset(client)
    assert not [each for each in threading.enumerate() if each.name == "bigip-traffic"]
