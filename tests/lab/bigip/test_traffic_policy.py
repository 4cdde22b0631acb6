"""Local traffic policies: which requests a condition means, and what an action does to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lbsync.lab.bigip.plane import Config
from lbsync.lab.bigip.traffic.messages import Request
from lbsync.lab.bigip.traffic.objects import Misconfigured
from lbsync.lab.bigip.traffic.policy import Verdict, read_policy
from lbsync.testing.backend import RecordingServer
from lbsync.testing.ca import TestCA
from tests.balancers.client import Answer, Answers, exchange, request
from tests.lab.bigip.traffic_device import (
    HOST,
    NO_SERVER_SSL,
    RESET,
    Device,
    Object,
    forward,
    is_reset,
    path_starts,
    plain,
    redirect,
    turns_away,
)

_POOLS: dict[str, Object] = {"/Common/clear": {}, "/Common/tls": {}}


def _judge(*rules: Object, target: str = "/owa/", sni: str = "", **policy: Any) -> tuple[Request, Verdict]:
    """What a policy of these rules says to a request."""
    body = {"strategy": "/Common/first-match", "rules": [{"name": "r", **each} for each in rules]} | policy
    asked = Request(("GET", target, "HTTP/1.1"), [("Host", f"{HOST}:8443"), ("X-Old", "1"), ("x-old", "2")])
    verdict = Verdict()
    read_policy(Config({"ltm/policy": {"/Common/p": body}, "ltm/pool": _POOLS}), "/Common/p").judge(asked, sni, verdict)
    return asked, verdict


def _meets(condition: Object, target: str = "/owa/", sni: str = "") -> bool:
    _, verdict = _judge({"conditions": [condition], "actions": [forward("tls")]}, target=target, sni=sni)
    return verdict.pool == "/Common/tls"


@pytest.mark.parametrize(
    ("target", "met"),
    [
        ("/ews/mrsproxy.svc", True),
        ("/EWS/MRSProxy.svc?x=1", True),
        ("/ews/mrsproxy.svcx", True),
        ("/ews/exchange.asmx", False),
        ("/ews//mrsproxy.svc", False),
        ("/ews/%6drsproxy.svc", False),
        ("/owa/?/ews/mrsproxy.svc", False),
        ("/ews/./mrsproxy.svc", False),
    ],
)
def test_the_path_is_compared_as_it_came(target: str, met: bool) -> None:
    """Nothing is normalised: another spelling of a path is another path."""
    assert _meets(path_starts("/ews/mrsproxy.svc"), target) is met


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ({"httpUri": True, "path": True, "equals": True, "values": ["/Owa/x.svc"]}, True),
        ({"httpUri": True, "path": True, "equals": True, "values": ["/owa/x.svc"]}, False),
        ({"httpUri": True, "path": True, "values": ["/ecp", "/Owa/x.svc"]}, True),
        ({"httpUri": True, "path": True, "endsWith": True, "values": [".svc"]}, True),
        ({"httpUri": True, "path": True, "contains": True, "values": ["wa/"]}, True),
        ({"httpUri": True, "path": True, "startsWith": True, "not": True, "values": ["/ecp", "/Owa"]}, False),
        ({"httpUri": True, "path": True, "startsWith": True, "not": True, "values": ["/ecp", "/ews"]}, True),
        ({"httpUri": True, "pathSegment": True, "index": 1, "equals": True, "values": ["Owa"]}, True),
        ({"httpUri": True, "pathSegment": True, "index": 2, "equals": True, "values": ["x.svc"]}, True),
        ({"httpUri": True, "pathSegment": True, "index": 3, "present": True}, False),
        ({"httpUri": True, "pathSegment": True, "index": 3, "missing": True}, True),
        ({"httpUri": True, "all": True, "endsWith": True, "values": ["?q=1"]}, True),
        ({"httpUri": True, "queryString": True, "equals": True, "values": ["q=1"]}, True),
        ({"httpHost": True, "all": True, "equals": True, "values": [HOST]}, False),
        ({"httpHost": True, "host": True, "equals": True, "values": [HOST]}, True),
        ({"httpHost": True, "all": True, "startsWith": True, "values": [HOST]}, True),
        ({"httpMethod": True, "all": True, "equals": True, "values": ["GET", "POST"]}, True),
        ({"httpHeader": True, "tmName": "x-OLD", "equals": True, "values": ["1"]}, True),
        ({"httpHeader": True, "tmName": "X-None", "present": True}, False),
        ({"httpHeader": True, "tmName": "X-None", "equals": True, "present": True, "values": ["1"]}, False),
        ({"httpHeader": True, "tmName": "X-None", "equals": True, "not": True, "values": ["1"]}, True),
        ({"sslExtension": True, "serverName": True, "equals": True, "values": ["a.test"]}, True),
        ({"sslExtension": True, "serverName": True, "equals": True, "values": ["b.test"]}, False),
    ],
)
def test_operands_and_operators(condition: Object, met: bool) -> None:
    """One of the values is enough; ``not`` turns the whole; case counts unless the condition says otherwise."""
    assert _meets(condition, "/Owa/x.svc?q=1", "a.test") is met


def test_all_conditions_must_hold() -> None:
    """A rule needs all of its conditions."""
    both = [path_starts("/owa"), {"httpMethod": True, "equals": True, "values": ["POST"]}]
    assert _judge({"conditions": both, "actions": [forward("tls")]})[1].pool == ""


def test_the_first_match_wins_by_ordinal() -> None:
    """Rules are tried in the order of their ordinals, whatever their order in the list; one without conditions matches."""
    late: Object = {"ordinal": 1, "conditions": [], "actions": [forward("clear")]}
    early: Object = {"ordinal": 0, "conditions": [path_starts("/owa")], "actions": [forward("tls")]}
    assert _judge(late, early)[1].pool == "/Common/tls"
    assert _judge(late, early, target="/ecp/")[1].pool == "/Common/clear"


def test_all_matching_rules_act_where_the_strategy_says_so() -> None:
    """all-match: every rule that matches acts, in order."""
    rules: tuple[Object, ...] = (
        {"ordinal": 0, "actions": [forward("clear")]},
        {"ordinal": 1, "actions": [NO_SERVER_SSL]},
    )
    verdict = _judge(*rules, strategy="/Common/all-match")[1]
    assert (verdict.pool, verdict.server_ssl) == ("/Common/clear", False)


@pytest.mark.parametrize(
    ("action", "values"),
    [
        ({"httpHeader": True, "insert": True, "tmName": "X-Old", "value": "3"}, ["1", "2", "3"]),
        ({"httpHeader": True, "replace": True, "tmName": "x-OLD", "value": "3"}, ["3"]),
        ({"httpHeader": True, "remove": True, "tmName": "X-OLD"}, []),
    ],
)
def test_header_actions(action: Object, values: list[str]) -> None:
    """Insert adds a line, replace leaves one, remove leaves none; names are compared in any case."""
    asked, _ = _judge({"actions": [action]})
    assert [value for name, value in asked.fields if name.lower() == "x-old"] == values


def test_replacing_an_absent_header_inserts_it() -> None:
    """There is a value afterwards either way."""
    asked, _ = _judge({"actions": [{"httpHeader": True, "replace": True, "tmName": "X-New", "value": "v"}]})
    assert asked.get("x-new") == "v"


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://elsewhere/x", "https://elsewhere/x"),
        ("tcl:https://[HTTP::host][HTTP::uri]", f"https://{HOST}:8443/owa/?q"),
        ('tcl:https://[getfield [HTTP::host] ":" 1][HTTP::uri]', f"https://{HOST}/owa/?q"),
    ],
)
def test_redirects(location: str, said: str) -> None:
    """A location is sent as it is, or made by one of two known expressions."""
    assert _judge({"actions": [redirect(location)]}, target="/owa/?q")[1].redirect == said


@pytest.mark.parametrize(
    "rule",
    [
        {"actions": [redirect("tcl:https://[HTTP::host][exec rm]")]},
        {"actions": [forward("none")]},
        {"actions": [{"forward": True, "select": True, "node": "10.0.0.1"}]},
        {"actions": [{"log": True, "write": True, "message": "x"}]},
        {"actions": [{"httpHeader": True, "insert": True, "tmName": "X", "value": "tcl:[IP::client_addr]"}]},
        {"actions": [{"httpHeader": True, "insert": True, "tmName": "X", "value": "a\r\nY: b"}]},
        {"actions": [{"httpHeader": True, "insert": True, "tmName": "X", "value": "a", "response": True}]},
        {"actions": [{"httpHeader": True, "insert": True, "value": "a"}]},
        {"actions": [{"httpHeader": True, "tmName": "X"}]},
        {"conditions": [{"httpUri": True, "path": True, "matches": True, "values": ["x"]}]},
        {"conditions": [{"httpUri": True, "path": True, "equals": True, "contains": True, "values": ["x"]}]},
        {"conditions": [{"httpUri": True, "pathSegment": True, "values": ["x"]}]},
        {"conditions": [{"httpUri": True, "extension": True, "values": ["svc"]}]},
        {"conditions": [{"httpHeader": True, "values": ["x"]}]},
        {"conditions": [{"geoip": True, "values": ["x"]}]},
    ],
)
def test_what_is_not_simulated_is_refused(rule: Object) -> None:
    """Never skipped: a request would go where the policy did not say."""
    with pytest.raises(Misconfigured):
        _judge(rule)


def test_an_unknown_strategy_or_policy_is_refused() -> None:
    """Neither has a meaning to guess."""
    with pytest.raises(Misconfigured, match="best-match"):
        _judge(strategy="/Common/best-match")
    with pytest.raises(Misconfigured, match="no policy"):
        read_policy(Config(), "/Common/absent")


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """A server."""
    with RecordingServer("EX01", TestCA.new().issue(["ex01.contoso.test"], key="ec256")) as running:
        yield running


@pytest.fixture
def device(tmp_path: Path, server: RecordingServer) -> Iterator[Device]:
    """A device with both of the server's ports as pools, and profiles in clear towards clients."""
    with Device(tmp_path) as running:
        running.pool("clear", ("127.0.0.1", server.http_port))
        running.pool("tls", ("127.0.0.1", server.https_port))
        running.http()
        running.server_ssl("serverssl")
        yield running


def _ask(virtual: Object, target: str, **more: str) -> Answer:
    with plain(virtual) as client:
        return exchange(client, target, **more)


def test_offload_and_bridge_on_one_virtual_server(device: Device) -> None:
    """A rule selects a pool in clear and disables server-ssl; another leaves TLS towards the server as it is."""
    device.policy(
        "paths",
        ([path_starts("/ews/mrsproxy.svc")], [forward("tls")]),
        ([path_starts("/ews", "/owa")], [forward("clear"), NO_SERVER_SSL]),
        ([], [RESET]),
    )
    virtual = device.virtual("mail", "http", "serverssl", policies=("paths",))
    device.apply()
    assert _ask(virtual, "/ews/mrsproxy.svc").scheme == "https"
    assert _ask(virtual, "/ews/exchange.asmx").scheme == "http"
    assert _ask(virtual, "/OWA/").scheme == "http"
    with plain(virtual) as client:
        client.sendall(request("/powershell"))
        assert is_reset(client)


def test_a_redirect_keeps_the_connection(device: Device, server: RecordingServer) -> None:
    """It is the device's own answer; the next request of the connection is judged for itself."""
    device.policy("paths", ([path_starts("/old")], [redirect("https://new.contoso.test/")]))
    virtual = device.virtual("mail", "http", policies=("paths",), pool="/Common/clear")
    device.apply()
    with plain(virtual) as client:
        answer = exchange(client, "/old/")
        assert (answer.status, answer.headers["location"]) == (302, "https://new.contoso.test/")
        assert answer.headers["server"] == "BigIP"
        assert exchange(client, "/owa/").server == "EX01"
    assert server.paths("http") == ["/owa/"]


def test_a_redirect_in_the_middle_of_a_body(device: Device) -> None:
    """The body is nobody's: the connection ends after the answer."""
    virtual = device.virtual("mail", "http", rules=["/Common/_sys_https_redirect"])
    device.apply()
    with plain(virtual) as client:
        client.sendall(request("/owa/", method="POST", headers="Content-Length: 100\r\n"))
        assert Answers(client).next().headers["connection"] == "close"


def test_the_built_in_redirect(device: Device) -> None:
    """_sys_https_redirect sends everything to HTTPS, without the port that was asked for."""
    virtual = device.virtual("mail", "http", rules=["/Common/_sys_https_redirect"])
    device.apply()
    answer = _ask(virtual, "/owa/?x=1", host=f"{HOST}:8080")
    assert (answer.status, answer.headers["location"]) == (302, f"https://{HOST}/owa/?x=1")


def test_a_policy_that_leads_nowhere_resets(device: Device, server: RecordingServer) -> None:
    """No rule matches and there is no pool of its own: the client is reset."""
    device.policy("paths", ([path_starts("/ews")], [forward("clear")]))
    virtual = device.virtual("mail", "http", policies=("paths",))
    device.apply()
    with plain(virtual) as client:
        client.sendall(request("/owa/"))
        assert is_reset(client)
    assert server.arrived == []


def test_a_broken_policy_resets_and_is_told(device: Device, server: RecordingServer) -> None:
    """Its virtual server carries nothing at all."""
    device.policy("paths", ([], [redirect("tcl:[expr 1]")]))
    virtual = device.virtual("mail", "http", policies=("paths",), pool="/Common/clear")
    device.traffic.apply(Config(device.objects, device.files))
    assert "rule rule0" in device.traffic.faults[0]
    assert turns_away(virtual)
    assert server.arrived == []


def test_a_new_policy_is_for_new_connections(device: Device) -> None:
    """A connection keeps the policy it was opened under."""
    device.policy("paths", ([], [forward("clear"), NO_SERVER_SSL]))
    virtual = device.virtual("mail", "http", "serverssl", policies=("paths",))
    device.apply()
    with plain(virtual) as early:
        assert exchange(early, "/ews/").scheme == "http"
        device.policy("paths", ([], [forward("tls")]))
        device.apply()
        assert _ask(virtual, "/ews/").scheme == "https"
        assert exchange(early, "/ews/").scheme == "http"
