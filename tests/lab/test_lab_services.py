"""What each service answers, over real HTTP and HTTPS."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from lbsync.lab.farm import LabFarm
from lbsync.services import Service

Lab = Callable[..., LabFarm]
Browse = Callable[..., Any]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_owa_builds_its_redirect_from_the_scheme(lab: Lab, browse: Browse, scheme: str) -> None:
    """Who has no cookie is sent to the logon page, with the scheme of the request."""
    farm = lab()
    server = farm.servers["EX01"]
    server.state.iis.write_ssl_flags("Default Web Site/owa", "None")
    status, headers, _ = browse(farm, server, scheme).ask("/owa/", headers={"Host": "mail.contoso.test"})
    assert status == 302
    assert headers["location"].startswith(f"{scheme}://mail.contoso.test/owa/auth/logon.aspx?url=")


def test_owa_may_build_https_always(lab: Lab, browse: Browse) -> None:
    """The knob makes OWA believe in https whatever carried the request."""
    farm = lab(location_scheme="https")
    server = farm.servers["EX01"]
    server.state.iis.write_ssl_flags("Default Web Site/owa", "None")
    assert browse(farm, server).ask("/owa/")[1]["location"].startswith("https://")


def test_owa_cookies_are_tied_to_the_certificate(lab: Lab, browse: Browse) -> None:
    """A cookie is good on every member with the same certificate, and sends back to the logon page elsewhere."""
    farm = lab(servers=3, different_certificate=("EX03",))
    user, password = farm.mailbox
    form = f"username={user}&password={password}".encode()
    secure = browse(farm, farm.servers["EX01"], "https")
    assert secure.ask("/owa/auth/logon.aspx")[0] == 200
    assert secure.ask("/owa/auth.owa", "POST", body=b"username=anna&password=no")[1]["location"].endswith("reason=2")
    status, headers, _ = secure.ask("/owa/auth.owa", "POST", body=form)
    cookie = {"Cookie": headers["set-cookie"].split(";")[0]}
    assert status == 302
    assert json.loads(browse(farm, farm.servers["EX02"], "https").ask("/owa/", headers=cookie)[2])["user"] == "anna"
    assert browse(farm, farm.servers["EX03"], "https").ask("/ecp/", headers=cookie)[0] == 302


def test_ntlm_belongs_to_the_connection(lab: Lab, browse: Browse) -> None:
    """Once authenticated a connection stays so, and no other does."""
    farm = lab()
    server = farm.servers["EX01"]
    secure = browse(farm, server, "https")
    status, headers, _ = secure.ask("/ews/exchange.asmx")
    assert (status, headers["www-authenticate"]) == (401, "Negotiate, NTLM")
    status, _, body = secure.ntlm("/ews/exchange.asmx", *farm.mailbox)
    assert (status, json.loads(body)["user"]) == (200, "CONTOSO\\anna")
    again = json.loads(secure.ask("/ews/exchange.asmx")[2])
    assert (again["user"], again["request"]) == ("CONTOSO\\anna", 4)
    assert browse(farm, server, "https").ask("/ews/exchange.asmx")[0] == 401


def test_ntlm_with_a_wrong_password_is_refused(lab: Lab, browse: Browse) -> None:
    """A wrong password is 401, and counts against the account."""
    farm = lab()
    secure = browse(farm, farm.servers["EX01"], "https")
    assert secure.ntlm("/mapi/emsmdb/", farm.mailbox[0], "wrong")[0] == 401
    assert farm.state.accounts.wrong["anna"] == 1


def test_basic(lab: Lab, browse: Browse) -> None:
    """ActiveSync wants Basic, and offers nothing else."""
    farm = lab()
    secure = browse(farm, farm.servers["EX01"], "https")
    status, headers, _ = secure.ask("/Microsoft-Server-ActiveSync", "OPTIONS")
    assert (status, headers["www-authenticate"].split()[0]) == (401, "Basic")
    token = base64.b64encode(":".join(farm.mailbox).encode()).decode()
    assert secure.ask("/Microsoft-Server-ActiveSync", headers={"Authorization": f"Basic {token}"})[0] == 200
    assert secure.ask("/Microsoft-Server-ActiveSync", headers={"Authorization": "Basic !"})[0] == 401


def test_oauth_over_http_is_diagnosed(lab: Lab, browse: Browse) -> None:
    """A bearer token over plain HTTP is refused with the audience it expected; over TLS it works where OAuth is on."""
    farm = lab(oauth=True)
    server = farm.servers["EX01"]
    server.state.iis.write_ssl_flags("Default Web Site/EWS", "None")
    bearer = {"Authorization": "Bearer abc", "Host": "mail.contoso.test"}
    status, headers, _ = browse(farm, server).ask("/ews/exchange.asmx", headers=bearer)
    assert status == 401
    assert "Expected 'https://mail.contoso.test'. Actual 'http://mail.contoso.test'." in headers["x-ms-diagnostics"]
    assert browse(farm, server, "https").ask("/ews/exchange.asmx", headers=bearer)[0] == 200
    other = lab()
    assert browse(other, other.servers["EX01"], "https").ask("/ews/x", headers=bearer)[0] == 401


def test_mrsproxy_works_over_tls_only(lab: Lab, browse: Browse) -> None:
    """Plain HTTP always fails and is counted; over TLS 401, then SOAP; switched off it is 403."""
    farm = lab()
    server = farm.servers["EX01"]
    plain, secure = browse(farm, server), browse(farm, server, "https")
    assert plain.ask("/ews/mrsproxy.svc")[0] == 403
    server.state.iis.write_ssl_flags("Default Web Site/EWS", "None")
    assert plain.ask("/EWS/%6Drsproxy.svc")[0] == 500
    assert server.state.web.mrsproxy_plain_requests == 2
    assert secure.ask("/ews/mrsproxy.svc")[1]["www-authenticate"] == "Negotiate, NTLM"
    status, _, body = secure.ntlm("/ews/mrsproxy.svc", *farm.mailbox)
    assert (status, b"<MRSProxy>" in body) == (200, True)
    farm.state.directory.mrsproxy_enabled["EX01"] = False
    assert secure.ask("/ews/mrsproxy.svc")[0] == 403
    assert server.state.web.of(Service.MRSPROXY.value) == 6


def test_long_polls(lab: Lab, browse: Browse) -> None:
    """ActiveSync Ping and MAPI notifications wait, then answer."""
    farm = lab(ping_s=0.1)
    secure = browse(farm, farm.servers["EX01"], "https")
    token = base64.b64encode(":".join(farm.mailbox).encode()).decode()
    ping = secure.ask("/Microsoft-Server-ActiveSync?Cmd=Ping", "POST", {"Authorization": f"Basic {token}"}, b"wbxml")
    assert (ping[0], json.loads(ping[2])["body"]) == (200, 5)
    assert secure.ask("/Microsoft-Server-ActiveSync/lab-echo?Cmd=Ping")[0] == 200
    secure.ntlm("/mapi/emsmdb/", *farm.mailbox)
    status, _, body = secure.ask("/mapi/emsmdb/", "POST", {"X-RequestType": "NotificationWait"}, b"")
    assert (status, body) == (200, b"PROCESSING\r\nPENDING\r\nDONE\r\n\r\n")


def test_rpc_out_data_announces_a_gigabyte(lab: Lab, browse: Browse) -> None:
    """The outgoing half of RPC over HTTP trickles under a length it never reaches."""
    farm = lab(ping_s=0.05)
    secure = browse(farm, farm.servers["EX01"], "https")
    secure.ntlm("/rpc/rpcproxy.dll?ex01:6001", *farm.mailbox)
    with pytest.raises(http.client.IncompleteRead) as short:
        secure.ask("/rpc/rpcproxy.dll?ex01:6001", "RPC_OUT_DATA")
    assert len(short.value.partial) == 160


def test_rpc_in_data_trickles_in(lab: Lab, browse: Browse) -> None:
    """The incoming half announces a gigabyte; the server takes what comes and keeps nothing."""
    farm = lab()
    server = farm.servers["EX01"]
    server.state.iis.locations["default web site/rpc"].ssl_flags = "None"
    plain = browse(farm, server).connection
    plain.putrequest("RPC_IN_DATA", "/rpc/lab-echo")
    plain.putheader("Content-Length", str(1 << 30))
    plain.endheaders()
    for _ in range(8):
        plain.send(b"x" * 100_000)
    front = server.front_end
    assert front is not None
    pause = threading.Event()
    while not front.running("MSExchangeRpcProxyFrontEndAppPool"):
        pause.wait(0.01)
    plain.close()
    while front.running("MSExchangeRpcProxyFrontEndAppPool"):
        pause.wait(0.01)


def test_large_and_chunked_bodies_are_counted(lab: Lab, browse: Browse) -> None:
    """Big bodies stream through; chunked ones too; a client that waits for 100 Continue gets it."""
    farm = lab()
    server = farm.servers["EX01"]
    secure = browse(farm, server, "https")
    assert json.loads(secure.ask("/ews/lab-echo", "POST", body=b"x" * 5_000_000)[2])["body"] == 5_000_000
    secure.connection.request("POST", "/ews/lab-echo", body=iter([b"a" * 10, b"b" * 20]), encode_chunked=True,
                              headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    assert json.loads(secure.connection.getresponse().read())["body"] == 30
    expecting = secure.ask("/ews/lab-echo", "POST", {"Expect": "100-continue"}, b"x" * 7)
    assert json.loads(expecting[2])["body"] == 7


def test_the_echo_tells_what_arrived(lab: Lab, browse: Browse) -> None:
    """Scheme, forwarded headers and connection are shown, and every answer names its server."""
    farm = lab(servers=2)
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1", "Host": "mail.contoso.test"}
    secure = browse(farm, farm.servers["EX02"], "https")
    _, answered, body = secure.ask("/oab/lab-echo?x=1", headers=headers)
    seen = json.loads(body)
    assert (seen["server"], seen["scheme"], seen["x-forwarded-proto"], seen["host"], seen["target"]) == (
        "EX02",
        "https",
        "https",
        "mail.contoso.test",
        "/oab/lab-echo?x=1",
    )
    assert answered["x-feserver"] == "EX02"
    assert secure.ask("/oab/lab-echo", "HEAD")[2] == b""
