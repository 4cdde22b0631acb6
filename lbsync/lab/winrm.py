"""The WinRM listener of one simulated server: HTTP(S), authentication, sealed messages, faults.

Rule of this room: authentication belongs to the connection, as NTLM does; plain messages are taken over TLS only (or where
the spec allows Basic in clear, for benchmarks). What a message asks for is ``shells``' business.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from typing import cast

from lbsync.facts import TokenChecking
from lbsync.lab import sealing, wsman
from lbsync.lab.accounts import ADMIN, Acceptor, LogonFailed
from lbsync.lab.credssp import CredsspAcceptor
from lbsync.lab.faults import Fault, Faults
from lbsync.lab.httpd import HttpServer
from lbsync.lab.messages import BadRequest, Request, Response
from lbsync.lab.scripts import Caller, Library
from lbsync.lab.shells import Shells
from lbsync.lab.state import FarmState, ServerState
from lbsync.lab.tls import ServerTls

_MUTUAL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
"""What a client that logs on by certificate puts into its Authorization header."""
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
        match scheme.lower():
            case "basic":
                return self._basic(request, value)
            case "negotiate" | "ntlm" | "credssp":
                return self._token(request, scheme, value)
            case name if name == _MUTUAL:
                return self._certificate(request)
            case _:
                return None if memory.get("user") else self._challenge(request)

    def _token(self, request: Request, scheme: str, value: str) -> Response | None:
        memory = request.connection.memory
        try:
            out = self._step(request, scheme, base64.b64decode(value, validate=True))
        except (binascii.Error, LogonFailed):
            self._counters.rejected_logons += 1
            memory.clear()
            return self._challenge(request)
        acceptor = memory["acceptor"]
        token = [("WWW-Authenticate", f"{scheme} {base64.b64encode(out).decode()}")] if out else []
        if not isinstance(acceptor, Acceptor | CredsspAcceptor) or not acceptor.complete:
            return Response(401, headers=token)
        memory["user"] = acceptor.user
        # CredSSP's last token travels with the answer to an empty request.
        return Response(200, headers=token, content_type=_SOAP) if token else None

    def _step(self, request: Request, scheme: str, token: bytes) -> bytes | None:
        """Take the handshake on by one token. Raises LogonFailed."""
        memory, identity = request.connection.memory, request.connection.identity
        acceptor = memory.get("acceptor")
        if not isinstance(acceptor, Acceptor | CredsspAcceptor) or acceptor.complete:
            memory.clear()
            acceptor = CredsspAcceptor() if scheme.lower() == "credssp" else self._farm.accounts.accept()
            memory["acceptor"] = acceptor
        if isinstance(acceptor, CredsspAcceptor):
            return acceptor.step(token)
        checking = TokenChecking.NONE if identity is None else TokenChecking.ALLOW  # CbtHardeningLevel Relaxed
        return acceptor.step(token, identity.binding if identity else None, checking)

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

    def _certificate(self, request: Request) -> Response | None:
        """A client certificate of the lab's CA is mapped to the account it names."""
        tunnel: ssl.SSLObject | None = request.connection.writer.get_extra_info("ssl_object")
        shown = tunnel.getpeercert() if tunnel is not None else None
        pairs = cast("tuple[tuple[str, str], ...]", (shown or {}).get("subjectAltName", ()))
        names = [value for kind, value in pairs if kind == "DNS"]
        if ADMIN not in names:
            self._counters.rejected_logons += 1
            return self._challenge(request)
        request.connection.memory["user"] = self._farm.accounts.full_name(ADMIN)
        return None

    def _may_basic(self, request: Request) -> bool:
        return request.connection.tls or self._farm.spec.transport == "basic"

    def _challenge(self, request: Request) -> Response:
        headers = [("WWW-Authenticate", "Negotiate")]
        if self._farm.spec.transport == "credssp":
            headers = [("WWW-Authenticate", "CredSSP")]
        if self._may_basic(request):
            headers.append(("WWW-Authenticate", 'Basic realm="WSMAN"'))
        return Response(401, headers=headers)

    # --- what does it want -----------------------------------------------------------------------------------------------

    async def _answer(self, request: Request, body: bytes, *, fail: bool) -> Response:
        memory = request.connection.memory
        acceptor = memory.get("acceptor")
        context = acceptor if isinstance(acceptor, Acceptor | CredsspAcceptor) and acceptor.complete else None
        sealed = request.headers.get("content-type", "").startswith(
            ("multipart/encrypted", "multipart/x-multi-encrypted")
        )
        user = str(memory["user"])
        if not sealed:
            if not self._may_basic(request):
                return Response(500)  # AllowUnencrypted is false
            self._counters.plain += 1
            status, reply = await self._dispatch(body, Caller(user), fail=fail)
            return Response(status, reply, content_type=_SOAP)
        self._counters.sealed += 1
        try:
            if context is None:
                raise LogonFailed("nothing to open it with")  # noqa: TRY301  one way out for both
            body = sealing.unseal(context, body)
        except LogonFailed:
            memory.clear()
            return self._challenge(request)
        caller = Caller(user, delegated=isinstance(context, CredsspAcceptor))
        status, reply = await self._dispatch(body, caller, fail=fail)
        return Response(status, sealing.seal(context, reply), content_type=sealing.content_type(context))

    async def _dispatch(self, body: bytes, caller: Caller, *, fail: bool) -> tuple[int, bytes]:
        try:
            message = wsman.parse(body)
        except wsman.NotWsman:
            return 500, wsman.fault(None, wsman.UNKNOWN_ACTION, machine=self._server.fqdn)
        try:
            if fail:
                raise wsman.WsmanFault(wsman.ABORTED)  # noqa: TRY301  drawn faults leave by the same door
            if not caller.user.lower().endswith(f"\\{ADMIN}"):
                raise wsman.WsmanFault(wsman.ACCESS_DENIED)  # noqa: TRY301  WinRM lets administrators in only
            return 200, await self.shells.answer(message, caller)
        except wsman.WsmanFault as fault:
            return 500, wsman.fault(message, fault.code, fault.detail, self._server.fqdn)
