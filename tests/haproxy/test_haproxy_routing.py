"""Where a path ends up, asked of a real HAProxy with every offloadable service in clear."""

from __future__ import annotations

import csv
import socket
from typing import Any

import pytest

from lbsync.services import SERVICES, Service

CANONICAL = [
    ("/owa", "http"),
    ("/owa/", "http"),
    ("/OWA/auth/logon.aspx?url=https%3a%2f%2fmail%2fowa", "http"),
    ("/owa/user@contoso.test/?path=/mail", "http"),
    ("/ecp/15.1.2507.9/scripts/js.axd", "http"),
    ("/rpc/rpcproxy.dll?ex01.contoso.test:6001", "http"),
    ("/OAB/0e0f7f6e-3d5c-4a3a-9a2f-0c8f5d1c2b3a/oab.xml", "http"),
    ("/Microsoft-Server-ActiveSync?Cmd=Ping", "http"),
    ("/EWS/Exchange.asmx", "http"),
    ("/ews/mrsproxy.svcx", "404"),
    ("/ews/mrsproxy", "http"),
    ("/Autodiscover/Autodiscover.xml", "http"),
    ("/autodiscover/autodiscover.json/v1.0/user@contoso.test?Protocol=EWS", "http"),
    ("/mapi/emsmdb/?MailboxId=1@contoso.test", "http"),
]

MRSPROXY = [
    "/ews/mrsproxy.svc",
    "/EWS/MRSProxy.svc",
    "/EWS/MRSProxy.svc/",
    "/ews/mrsproxy.svc/x",
    "/ews/mrsproxy.svc?x=1",
    "/ews//mrsproxy.svc",
    "//ews/mrsproxy.svc",
    "/EWS/%6Drsproxy.svc",
    "/%65ws/mrsproxy.svc",
    "/ews%2fmrsproxy.svc",
    "/ews%5cmrsproxy.svc",
    "/ews\\mrsproxy.svc",
    "/ews/./mrsproxy.svc",
    "/ews/../ews/mrsproxy.svc",
    "/owa/../ews/mrsproxy.svc",
    "/owa/a/b/../../../ews/mrsproxy.svc",
    "/owa/%2e%2e/ews/mrsproxy.svc",
    "/ews/mrsproxy.svc;x=1",
    "/ews;x=1/mrsproxy.svc",
    "/ews/mrsproxy.svc.",
    "/ews./mrsproxy.svc",
    "/ews/mrsproxy.svc%20",
    "/ews/mrsproxy.svc%2f",
    "/./ews/mrsproxy.svc",
    "/../ews/mrsproxy.svc",
]

ODD = [
    "/ews/%256Drsproxy.svc",
    "/ews/mrspro~1.svc",
    "/ews/mrsproxy.svc::$DATA",
    "/ews/mrsproxy.svc%00",
    "/owa/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/ews/mrsproxy.svc",
    "/owa/..;/ews/mrsproxy.svc",
    "/owa//",
    "//owa",
    "/%6fwa",
    "/owa;jsessionid=1",
    "/ecp/./x",
    "/owa/x%20y",
    "/owa/x:y",
    "/owa/x~y",
    "/owa/x'y",
    "/owa/x.",
    "/ews/exchange.asmx#fragment",
]

ABSENT = [
    "/owafoo",
    "/ow",
    "/powershell",
    "/PowerShell/",
    "/powershell?serializationLevel=Full",
    "/%70owershell",
    "//powershell",
    "/owa/../powershell",
    "/owa/%2e%2e/powershell",
    "/owa\\..\\powershell",
    "/owa/..;/powershell",
    "/autodiscover/%2e%2e/%50owershell/",
    "/api",
    "/API/v2.0/me",
    "/%61pi",
    "/x",
    "/owa/../",
    "/aspnet_client/x",
    "/%zz",
]


@pytest.mark.parametrize(("target", "ends"), CANONICAL)
def test_a_canonical_path_follows_its_mode(offloaded: Any, target: str, ends: str) -> None:
    """Known prefixes at a segment boundary, in any case, go where the map says."""
    answer = offloaded.request(target)
    assert (answer.scheme or str(answer.status)) == ends


@pytest.mark.parametrize("target", MRSPROXY)
def test_mrsproxy_reaches_tls_by_any_spelling(offloaded: Any, target: str) -> None:
    """However it is spelled, it is the MRSProxy pool's, and the server gets it as the client wrote it."""
    before = chosen(offloaded, "ex_mrsproxy_bridge")
    answer = offloaded.request(target)
    assert (answer.status, answer.scheme) == (200, "https")
    assert chosen(offloaded, "ex_mrsproxy_bridge") == before + 1
    assert plain(offloaded) == []


@pytest.mark.parametrize("target", ODD)
def test_no_odd_spelling_reaches_port_80(offloaded: Any, target: str) -> None:
    """What is not canonical goes to a TLS pool or nowhere."""
    answer = offloaded.request(target)
    assert answer.scheme in {"https", ""}
    assert answer.scheme or answer.status in {400, 404}
    assert plain(offloaded) == []


@pytest.mark.parametrize("target", ["/%6fwa", "/owa;jsessionid=1", "//owa", "/owa/x%20y", "/owa/x:y", "/owa/x~y"])
def test_harmless_odd_spellings_are_served_over_tls(offloaded: Any, target: str) -> None:
    """They are published, only not in clear."""
    assert offloaded.request(target).scheme == "https"


@pytest.mark.parametrize("target", ABSENT)
def test_what_is_not_published_is_answered_by_haproxy(offloaded: Any, target: str) -> None:
    """404 (400 for what is no HTTP), and no server sees it."""
    answer = offloaded.request(target)
    assert answer.status in {400, 404}
    assert [item for server in offloaded.servers.values() for item in server.arrived] == []


def test_the_root_goes_to_owa_over_tls(offloaded: Any) -> None:
    """`/` keeps Require SSL on the servers, and redirects to /owa there."""
    for target in ("/", "/?x=1"):
        assert offloaded.request(target).scheme == "https"
    assert plain(offloaded) == []


def test_an_absolute_request_target_is_routed_alike(offloaded: Any) -> None:
    """A proxy's form of the request line changes nothing."""
    assert offloaded.request("https://mail.contoso.test/owa/").scheme == "http"
    assert offloaded.request("https://mail.contoso.test/ews/mrsproxy.svc").scheme == "https"
    assert offloaded.request("https://mail.contoso.test/powershell").status == 404


def test_every_request_of_a_connection_is_routed_by_itself(offloaded: Any) -> None:
    """Nothing of one request's routing is left for the next on the same connection."""
    with offloaded.connected() as connection:
        seen = [
            ask(connection, target) for target in ("/ews/mrsproxy.svc", "/ews/x", "/%65ws/x", "/powershell", "/owa/")
        ]
    assert seen == ["https", "http", "https", "404", "http"]


def ask(connection: socket.socket, target: str) -> str:
    """Scheme or status of one more request."""
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: mail.contoso.test\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    if b'"scheme": "' in body:
        return body.split(b'"scheme": "')[1].split(b'"')[0].decode()
    return head.split()[1].decode()


def chosen(bench: Any, pool: str) -> int:
    """How many requests a pool was given so far."""
    rows = list(csv.DictReader(bench.haproxy.ask("show stat").removeprefix("# ").splitlines()))
    return next(int(row["lbtot"]) for row in rows if (row["pxname"], row["svname"]) == (pool, "BACKEND"))


def plain(bench: Any) -> list[str]:
    """Paths that reached port 80 of any server."""
    return [path for server in bench.servers.values() for path in server.paths("http")]


def test_a_map_set_by_hand_cannot_take_mrsproxy_to_port_80(make_bench: Any) -> None:
    """The plain pools refuse it themselves, whatever the map says."""
    bench = make_bench()
    bench.publish()
    bench.haproxy.ask(f"set map {bench.haproxy.owned}/exchange.map /ews/mrsproxy.svc/ ex_ews_offload")
    assert bench.request("/ews/mrsproxy.svc").status == 404
    assert plain(bench) == []


def test_mrsproxy_that_is_not_published_is_absent(make_bench: Any) -> None:
    """Without its pool its path must not fall to EWS in clear."""
    bench = make_bench(services=tuple(service for service in SERVICES if service is not Service.MRSPROXY))
    bench.publish()
    for target in ("/ews/mrsproxy.svc", "/EWS/%6Drsproxy.svc", "/ews//mrsproxy.svc/x"):
        assert bench.request(target).status == 404
    assert bench.request("/ews/exchange.asmx").status == 200


def test_headers_tell_the_server_of_tls(offloaded: Any) -> None:
    """The client's address and that it came over TLS; what a client claims itself is overwritten."""
    offloaded.request("/owa/", headers="X-Forwarded-Proto: http\r\nFront-End-Https: off\r\n")
    (arrived,) = [item for server in offloaded.servers.values() for item in server.arrived]
    assert arrived.headers["x-forwarded-proto"] == "https"
    assert arrived.headers["front-end-https"] == "on"
    assert arrived.headers["x-forwarded-for"].startswith("127.")


@pytest.mark.parametrize(
    ("built", "wanted"),
    [
        ("http://mail.contoso.test/owa/", "https://mail.contoso.test:{port}/owa/"),
        ("http://MAIL.contoso.test:80/owa/", "https://MAIL.contoso.test:{port}/owa/"),
        ("http://mail.contoso.test:8443/owa/", "https://mail.contoso.test:8443/owa/"),
        ("http://mail.contoso.test", "https://mail.contoso.test:{port}"),
        ("https://mail.contoso.test/owa/", "https://mail.contoso.test/owa/"),
        ("http://legacy.contoso.test/owa/", "http://legacy.contoso.test/owa/"),
        ("http://mail.contoso.test.evil.test/", "http://mail.contoso.test.evil.test/"),
        ("/owa/auth/logon.aspx", "/owa/auth/logon.aspx"),
    ],
)
def test_links_to_ourselves_become_https(offloaded: Any, built: str, wanted: str) -> None:
    """A Location built from the plain request points at the published port; other hosts are left alone."""
    for server in offloaded.servers.values():
        server.answers["/owa/redirect"] = [("Location", built)]
    location = offloaded.request("/owa/redirect").headers["location"]
    assert location == wanted.format(port=offloaded.haproxy.https_port)


def test_cookies_become_secure(offloaded: Any) -> None:
    """Each cookie, once; values with commas and semicolons stay whole."""
    cookies = [
        ("Set-Cookie", "a=1; path=/"),
        ("Set-Cookie", "b=x,y; SECURE; HttpOnly"),
        ("Set-Cookie", "c=securely; secure"),
    ]
    for server in offloaded.servers.values():
        server.answers["/owa/cookies"] = cookies
    answer = offloaded.request("/owa/cookies")
    found = [value for name, value in answer.all_headers if name == "set-cookie"]
    assert found == ["a=1; path=/; Secure", "b=x,y; HttpOnly; Secure", "c=securely; Secure"]


def redirected(bench: Any, request: str) -> tuple[int, str]:
    """Status and Location of a request to the plain listener."""
    with socket.create_connection((bench.haproxy.address, bench.haproxy.http_port), timeout=10) as connection:
        connection.sendall(request.encode())
        head = connection.recv(65536).decode().split("\r\n\r\n")[0]
    location = next(line.split(": ", 1)[1] for line in head.split("\r\n") if line.lower().startswith("location"))
    return int(head.split()[1]), location


def test_port_80_sends_to_https(offloaded: Any) -> None:
    """To the published port of the same name, path and query as they were; without a name, to the first published one."""
    port = offloaded.haproxy.https_port
    assert redirected(offloaded, "GET /owa/?a=%20b HTTP/1.1\r\nHost: mail.contoso.test:8080\r\n\r\n") == (
        302,
        f"https://mail.contoso.test:{port}/owa/?a=%20b",
    )
    assert redirected(offloaded, "GET / HTTP/1.0\r\n\r\n") == (302, f"https://mail.contoso.test:{port}/")
