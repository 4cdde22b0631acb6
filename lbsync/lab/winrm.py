"""The WinRM listener of one simulated server: HTTP(S), authentication, sealed messages, faults.

Rule of this room: authentication belongs to the connection, as NTLM does; plain messages are taken over TLS only (or where
the spec allows Basic in clear, for benchmarks). What a message asks for is ``shells``' business.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import struct

from lbsync.facts import TokenChecking
from lbsync.lab import wsman
from lbsync.lab.accounts import ADMIN, Acceptor, LogonFailed
from lbsync.lab.faults import Fault, Faults
from lbsync.lab.httpd import HttpServer
from lbsync.lab.messages import BadRequest, Request, Response
from lbsync.lab.scripts import Caller, Library
from lbsync.lab.shells import Shells
from lbsync.lab.state import FarmState, ServerState
from lbsync.lab.tls import ServerTls

_BOUNDARY = b"--Encrypted Boundary"
_SEALED = "application/HTTP-SPNEGO-session-encrypted"
_SOAP = "application/soap+xml;charset=UTF-8"
_ENVELOPE_LIMIT = 512 * 1024
"""WinRM's MaxEnvelopeSizekb of 500, and the sealing around it."""


class WinrmListener:
    """``/wsman`` of one server."""

    def __init__(
        self, farm: FarmState, server: ServerState, library: Library, faults: Faults, tls: ServerTls | None
    ) -> None:
        """``tls`` makes it the HTTPS listener (5986), else it is the HTTP one (5985)."""
        self._farm = farm
        self._server = server
        self._counters = server.winrm
        self.faults = faults
        self.shells = Shells(farm, server, library)
        self.http = HttpServer(self._handle, server_header="Microsoft-HTTPAPI/2.0", tls=tls)

    async def _handle(self, request: Request) -> Response | None:
        self._counters.requests += 1
        if self._farm.spec.latency_s:
            await asyncio.sleep(self._farm.spec.latency_s)
        if request.target.split("?", 1)[0].rstrip("/").lower() != "/wsman" or request.method != "POST":
            return Response(404)
        try:
            body = await request.body.read(_ENVELOPE_LIMIT)
        except BadRequest:
            return Response(413, close=True)
        refusal = self._authenticate(request)
        if refusal is not None:
            return refusal
        if not body:
            return Response(200, content_type=_SOAP)
        fault = self.faults.draw()
        if fault is not None:
            self._counters.faults[fault.value] += 1
        if fault is Fault.DROP_BEFORE:
            return None
        if fault is Fault.SLOW:
            await asyncio.sleep(self.faults.pause_s())
        answer = await self._answer(request, body, fail=fault is Fault.WSMAN)
        return None if fault is Fault.DROP_AFTER else answer

    # --- who is it -------------------------------------------------------------------------------------------------------

    def _authenticate(self, request: Request) -> Response | None:
        """``None`` when the connection is (now) authenticated, else the 401 to send."""
        memory = request.connection.memory
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            return self._basic(request, value)
        if scheme.lower() not in {"negotiate", "ntlm"}:
            return None if memory.get("user") else self._challenge(request)
        try:
            token = base64.b64decode(value, validate=True)
        except binascii.Error:
            return self._challenge(request)
        acceptor = memory.get("acceptor")
        if not isinstance(acceptor, Acceptor) or acceptor.complete:
            acceptor = memory["acceptor"] = self._farm.accounts.accept()
            memory.pop("user", None)
        identity = request.connection.identity
        checking = TokenChecking.NONE if identity is None else TokenChecking.ALLOW  # CbtHardeningLevel Relaxed
        try:
            out = acceptor.step(token, identity.binding if identity else None, checking)
        except LogonFailed:
            self._counters.rejected_logons += 1
            memory.pop("acceptor", None)
            return self._challenge(request)
        if out is not None:
            return Response(401, headers=[("WWW-Authenticate", f"{scheme} {base64.b64encode(out).decode()}")])
        memory["user"] = acceptor.user
        return None

    def _basic(self, request: Request, value: str) -> Response | None:
        if not self._may_basic(request):
            return self._challenge(request)
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
            request.connection.memory["user"] = self._farm.accounts.check(user, password)
        except (binascii.Error, UnicodeDecodeError, LogonFailed):
            self._counters.rejected_logons += 1
            request.connection.memory.pop("user", None)
            return self._challenge(request)
        return None

    def _may_basic(self, request: Request) -> bool:
        return request.connection.tls or self._farm.spec.transport == "basic"

    def _challenge(self, request: Request) -> Response:
        headers = [("WWW-Authenticate", "Negotiate")]
        if self._may_basic(request):
            headers.append(("WWW-Authenticate", 'Basic realm="WSMAN"'))
        return Response(401, headers=headers)

    # --- what does it want -----------------------------------------------------------------------------------------------

    async def _answer(self, request: Request, body: bytes, *, fail: bool) -> Response:
        memory = request.connection.memory
        acceptor = memory.get("acceptor")
        sealed = request.headers.get("content-type", "").startswith("multipart/encrypted")
        if sealed:
            self._counters.sealed += 1
            try:
                if not isinstance(acceptor, Acceptor):
                    raise LogonFailed("not NTLM")  # noqa: TRY301  one way out for both
                body = _unseal(acceptor, body)
            except LogonFailed:
                memory.clear()
                return self._challenge(request)
        elif not self._may_basic(request):
            return Response(500)  # AllowUnencrypted is false
        else:
            self._counters.plain += 1
        status, reply = await self._dispatch(body, str(memory["user"]), fail=fail)
        if sealed and isinstance(acceptor, Acceptor):
            kind = f'multipart/encrypted;protocol="{_SEALED}";boundary="Encrypted Boundary"'
            return Response(status, _seal(acceptor, reply), content_type=kind)
        return Response(status, reply, content_type=_SOAP)

    async def _dispatch(self, body: bytes, user: str, *, fail: bool) -> tuple[int, bytes]:
        try:
            message = wsman.parse(body)
        except wsman.NotWsman:
            return 500, wsman.fault(None, wsman.UNKNOWN_ACTION, machine=self._server.fqdn)
        try:
            if fail:
                raise wsman.WsmanFault(wsman.ABORTED)  # noqa: TRY301  drawn faults leave by the same door
            if not user.lower().endswith(f"\\{ADMIN}"):
                raise wsman.WsmanFault(wsman.ACCESS_DENIED)  # noqa: TRY301  WinRM lets administrators in only
            return 200, await self.shells.answer(message, Caller(user))
        except wsman.WsmanFault as fault:
            return 500, wsman.fault(message, fault.code, fault.detail, self._server.fqdn)


def _unseal(acceptor: Acceptor, body: bytes) -> bytes:
    """[MS-WSMV] 2.2.9.1: one sealed message. Raises LogonFailed."""
    parts = body.split(_BOUNDARY + b"\r\n")
    length = re.search(rb"Length=(\d+)", parts[1]) if len(parts) > 2 else None  # noqa: PLR2004  boundary, head, payload
    if length is None:
        raise LogonFailed("framing")
    payload = parts[2].removeprefix(b"\tContent-Type: application/octet-stream\r\n").removesuffix(_BOUNDARY + b"--\r\n")
    message = acceptor.open(payload[4:])
    if len(message) != int(length[1]):
        raise LogonFailed("length")
    return message


def _seal(acceptor: Acceptor, reply: bytes) -> bytes:
    boundary = _BOUNDARY + b"\r\n"
    return b"".join((
        boundary,
        b"\tContent-Type: ", _SEALED.encode(), b"\r\n",
        b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=", str(len(reply)).encode(), b"\r\n",
        boundary,
        b"\tContent-Type: application/octet-stream\r\n",
        struct.pack("<i", 16), acceptor.seal(reply),
        _BOUNDARY, b"--\r\n",
    ))  # fmt: skip
