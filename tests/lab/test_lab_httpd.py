"""What does not speak HTTP is hung up on, and disturbs nobody else."""

from __future__ import annotations

import gc
import socket
import ssl
import warnings
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import pytest

from lbsync.lab.farm import LabFarm, LabServer

Lab = Callable[..., LabFarm]
Browse = Callable[..., Any]

_POST = b"POST /owa/Calendar/lab-echo HTTP/1.1\r\nHost: x\r\n"


def _say(server: LabServer, *parts: bytes) -> bytes:
    """Send bytes to the plain port and read until the server hangs up."""
    with closing(socket.create_connection((server.address, server.http_port), timeout=30)) as raw:
        heard = b""
        try:
            for part in parts:
                raw.sendall(part)
            with suppress(OSError):  # it may have answered and hung up by now
                raw.shutdown(socket.SHUT_WR)
            while piece := raw.recv(65536):
                heard += piece
        except ConnectionError:
            pass
        return heard


@pytest.mark.parametrize(
    "parts",
    [
        (b"hello\r\n\r\n",),
        (b"GET / HTTP/1.1 extra\r\n\r\n",),
        (_POST + b"Content-Length: many\r\n\r\n",),
        (_POST + b"Content-Length: 10\r\n\r\n", b"abc"),
        (_POST + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\n"),
        (_POST + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nab"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000,),
        (b"GET / HT",),
    ],
    ids=["words", "request line", "length", "short body", "chunk size", "short chunk", "long head", "broken off"],
)
def test_no_http(lab: Lab, browse: Browse, parts: tuple[bytes, ...]) -> None:
    """The connection ends without an answer; the next client is served."""
    farm = lab()
    server = farm.servers["EX01"]
    assert _say(server, *parts) == b""
    assert browse(farm, server, "https").ask("/owa/healthcheck.htm")[0] == 200
    assert farm.mishaps == ()


def test_plain_http_on_the_tls_port(lab: Lab, browse: Browse) -> None:
    """Someone who speaks HTTP to the TLS port gets nothing, and the listener goes on."""
    farm = lab()
    server = farm.servers["EX01"]
    with closing(socket.create_connection((server.address, server.https_port), timeout=30)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while raw.recv(65536):
            pass
    assert browse(farm, server, "https").ask("/owa/healthcheck.htm")[0] == 200


def test_old_tls_is_refused(lab: Lab) -> None:
    """Only TLS 1.2 and later is spoken; sessions are never resumed."""
    farm = lab()
    server = farm.servers["EX01"]
    context = ssl.create_default_context(cadata=farm.ca_pem)
    sessions: list[ssl.SSLSession | None] = []
    for _ in range(2):
        last = sessions[-1] if sessions else None
        with (
            socket.create_connection((server.address, server.https_port), timeout=30) as raw,
            context.wrap_socket(raw, server_hostname=server.fqdn, session=last) as tls,
        ):
            tls.sendall(b"GET /owa/healthcheck.htm HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in tls.recv(65536)
            assert not tls.session_reused
            assert tls.version() == "TLSv1.3"
            sessions.append(tls.session)


def test_who_never_says_goodbye_is_cut_at_the_end(lab: Lab) -> None:
    """A client that reads the last answer and no further, as one that was killed: the farm's end leaves no connection of it."""
    farm = lab()
    server = farm.servers["EX01"]
    context = ssl.create_default_context(cadata=farm.ca_pem)
    with (
        closing(socket.create_connection((server.address, server.https_port), timeout=30)) as raw,
        context.wrap_socket(raw, server_hostname=server.fqdn) as tls,
        warnings.catch_warnings(record=True) as told,
    ):
        warnings.simplefilter("always")
        tls.sendall(b"GET /owa/healthcheck.htm HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 200 " in tls.recv(65536)
        farm.stop()
        gc.collect()
    assert [str(one.message) for one in told if "unclosed" in str(one.message)] == []


def test_pipelined_requests(lab: Lab) -> None:
    """Two requests sent at once are answered in order on one connection; ``Connection: close`` ends it."""
    farm = lab()
    first = b"GET /owa/Calendar/lab-echo?one HTTP/1.1\r\nHost: x\r\n\r\n"
    second = b"GET /owa/Calendar/lab-echo?two HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    heard = _say(farm.servers["EX01"], first + second)
    assert heard.count(b"HTTP/1.1 200 OK") == 2
    assert heard.index(b"?one") < heard.index(b"?two")
    assert b"Connection: close" in heard


def test_an_unwanted_huge_body(lab: Lab) -> None:
    """A refused request that announces more than anybody would throw away is answered, then closed."""
    farm = lab()
    request = b"POST /owa/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n"
    heard = _say(farm.servers["EX01"], request, b"x" * 1000)
    assert heard.startswith(b"HTTP/1.1 403 ")
    assert b"Connection: close" in heard
