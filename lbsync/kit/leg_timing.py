"""Times TCP connections and TLS handshakes to one server from the host it runs on; asks nothing, sends no credentials.

Rule of this file: Python 3.7's standard library alone, since its text also runs as `python3 -c` on a balancer's host; JSON in,
JSON out. Chain and name are verified, always; one connection at a time.
"""

from __future__ import annotations

import base64
import contextlib
import json
import select
import socket
import ssl
import sys
import time
from typing import Any

_TICKET_S = 0.5


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds by stage, each a list; an ``error`` stands beside the stage that ended early.

    ``asked``: address, http_port, https_port, name (SNI, verified), ca (PEM), tries, timeout_s (each wait), budget_s (for all).
    Answers: ``connect_http``, ``connect_https``, ``handshake_full``, ``handshake_resumed``: {"ms": [..], "error": text or ""};
    ``tls``: the version, ``leaf``: DER as base64 or "".
    """
    deadline = time.monotonic() + asked["budget_s"]
    stages = ("connect_http", "connect_https", "handshake_full", "handshake_resumed")
    found: dict[str, Any] = {stage: {"ms": [], "error": ""} for stage in stages}
    found.update(tls="", leaf="")
    _repeat(asked, deadline, found["connect_http"], lambda: _connect_only(asked, found))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=asked["ca"])
    _repeat(asked, deadline, found["handshake_full"], lambda: _full(asked, context, found))
    if found["handshake_full"]["ms"]:
        _resume_all(asked, context, deadline, found)
    elif not found["connect_https"]["ms"]:
        found["connect_https"]["error"] = found["handshake_full"]["error"]
    return found


def _repeat(asked: dict[str, Any], deadline: float, stage: dict[str, Any], once: Any) -> None:
    for _ in range(asked["tries"]):
        if time.monotonic() > deadline:
            stage["error"] = stage["error"] or "no time was left"
            return
        try:
            once()
        except OSError as error:
            stage["error"] = _why(error)
            return


def _connect_only(asked: dict[str, Any], found: dict[str, Any]) -> None:
    plain, took = _connect(asked, asked["http_port"])
    plain.close()
    found["connect_http"]["ms"].append(took)


def _full(asked: dict[str, Any], context: ssl.SSLContext, found: dict[str, Any]) -> None:
    plain, took = _connect(asked, asked["https_port"])
    found["connect_https"]["ms"].append(took)
    tls, took = _greet(asked, context, plain, None)
    found["handshake_full"]["ms"].append(took)
    found["tls"] = tls.version() or ""
    found["leaf"] = base64.b64encode(tls.getpeercert(binary_form=True) or b"").decode()
    _end(tls)


def _resume_all(asked: dict[str, Any], context: ssl.SSLContext, deadline: float, found: dict[str, Any]) -> None:
    stage = found["handshake_resumed"]
    try:
        first, _ = _greet(asked, context, _connect(asked, asked["https_port"])[0], None)
    except OSError as error:
        stage["error"] = _why(error)
        return
    _await_ticket(first)
    session = first.session
    _end(first)

    def once() -> None:
        tls, took = _greet(asked, context, _connect(asked, asked["https_port"])[0], session)
        resumed = tls.session_reused
        _end(tls)
        if not resumed:
            raise OSError("the server resumes no session")
        stage["ms"].append(took)

    if session is None:
        stage["error"] = "the server resumes no session"
    else:
        _repeat(asked, deadline, stage, once)


def _connect(asked: dict[str, Any], port: int) -> tuple[socket.socket, float]:
    began = time.perf_counter()
    plain = socket.create_connection((asked["address"], port), timeout=asked["timeout_s"])
    took = time.perf_counter() - began
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plain, 1000.0 * took


def _greet(asked: dict[str, Any], context: ssl.SSLContext, plain: socket.socket, session: Any) -> Any:
    began = time.perf_counter()
    try:
        tls = context.wrap_socket(plain, server_hostname=asked["name"], session=session)
    except BaseException:
        plain.close()
        raise
    return tls, 1000.0 * (time.perf_counter() - began)


def _await_ticket(tls: ssl.SSLSocket) -> None:
    """In TLS 1.3 what a session is resumed by comes after the handshake, unasked."""
    if tls.version() == "TLSv1.3" and select.select([tls], [], [], _TICKET_S)[0]:
        tls.settimeout(0.05)
        with contextlib.suppress(OSError):
            tls.recv(1)


def _end(tls: ssl.SSLSocket) -> None:
    """A proper end: a session whose connection just broke off may not be resumed."""
    tls.settimeout(0.0)
    with contextlib.suppress(OSError, ValueError):
        tls.unwrap()
    tls.close()


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the certificate is not accepted: " + error.verify_message
    if isinstance(error, ssl.SSLError):
        return "no TLS: " + (error.reason or str(error))
    if isinstance(error, socket.timeout):
        return "no answer in time"
    return error.strerror or str(error) or type(error).__name__


if __name__ == "__main__":
    json.dump(measure(json.load(sys.stdin)), sys.stdout)
