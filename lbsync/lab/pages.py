"""What each service answers: forms for OWA and ECP, polls for ActiveSync and MAPI, endless bodies for RPC, an echo.

Rule of this room: bodies are counted as they stream by and never kept; a wait is a wait on the clock of the loop.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from urllib.parse import parse_qs, quote

from lbsync.lab.accounts import LogonFailed
from lbsync.lab.messages import Request, Response
from lbsync.lab.paths import Place
from lbsync.lab.state import FarmState, ServerState
from lbsync.services import Service

ECHO = "/lab-echo"
"""Below any virtual directory: answers anybody what reached the server, as JSON. The lab's only path Exchange has not."""

_RPC_LENGTH = 1 << 30
_LONGEST_WAIT_S = 3600.0
_FORM_LIMIT = 64 * 1024


def scheme_of(request: Request) -> str:
    """``https`` or ``http``: how the request reached this server."""
    return "https" if request.connection.tls else "http"


def query_of(request: Request) -> dict[str, list[str]]:
    """The query, names in lower case."""
    _, _, query = request.target.partition("?")
    return {name.lower(): values for name, values in parse_qs(query, keep_blank_values=True).items()}


async def echo(server: ServerState, request: Request, place: Place, user: str, wait_s: float = 0.0) -> Response:
    """What reached the server, as JSON. ``wait=S`` in the query waits."""
    query = query_of(request)
    size = 0
    async for piece in request.body.pieces():
        size += len(piece)
    if "wait" in query:
        wait_s = min(float(query["wait"][0] or 0), _LONGEST_WAIT_S)
    if wait_s:
        await asyncio.sleep(wait_s)
    memory = request.connection.memory
    answer = {
        "server": server.name,
        "service": place.service,
        "scheme": scheme_of(request),
        "method": request.method,
        "target": request.target,
        "connection": request.connection.number,
        "request": memory.get("requests", 0),
        "user": user,
        "body": size,
        "host": request.headers.get("host", ""),
        "x-forwarded-proto": request.headers.get("x-forwarded-proto", ""),
        "x-forwarded-for": request.headers.get("x-forwarded-for", ""),
        "front-end-https": request.headers.get("front-end-https", ""),
    }
    return Response(200, json.dumps(answer).encode(), content_type="application/json")


def healthcheck(server: ServerState, place: Place) -> Response:
    """``200 OK<br/>EX01.CONTOSO.TEST`` while the service's component is active."""
    states = server.components
    if "Inactive" in {states.get(place.component, "Active"), states.get("ServerWideOffline", "Active")}:
        return Response(503, content_type="text/html")
    return Response(200, f"200 OK<br/>{server.fqdn.upper()}".encode(), content_type="text/html")


# --- OWA and ECP -------------------------------------------------------------------------------------------------------------


async def forms(farm: FarmState, server: ServerState, request: Request, place: Place, path: str) -> Response:
    """Forms-based authentication: whoever has no cookie of this certificate is sent to the logon page."""
    base = _base(farm, request, server)
    if path == "/owa/auth.owa" and request.method == "POST":
        return await _log_on(farm, server, request, base)
    if path.startswith("/owa/auth/"):
        return Response(
            200, b"<html><body><form action='/owa/auth.owa'></form></body></html>", content_type="text/html"
        )
    user = _cookie_user(server, request)
    if not user:
        back = quote(f"{base}{request.target}", safe="")
        return redirect(f"{base}/owa/auth/logon.aspx?url={back}&reason=0")
    return await echo(server, request, place, user)


def redirect(location: str) -> Response:
    """302 Found."""
    return Response(302, headers=[("Location", location)], content_type="text/html")


def _base(farm: FarmState, request: Request, server: ServerState) -> str:
    scheme = scheme_of(request) if farm.spec.location_scheme == "request" else "https"
    return f"{scheme}://{request.headers.get('host', server.fqdn)}"


async def _log_on(farm: FarmState, server: ServerState, request: Request, base: str) -> Response:
    form = parse_qs((await request.body.read(_FORM_LIMIT)).decode("utf-8", "replace"))
    try:
        user = farm.accounts.check(form.get("username", [""])[0], form.get("password", [""])[0])
    except LogonFailed:
        return redirect(f"{base}/owa/auth/logon.aspx?reason=2")
    answer = redirect(f"{base}/owa/")
    name = user.rsplit("\\", 1)[-1]
    answer.headers.append(("Set-Cookie", f"cadata={name}.{_proof(server, name)}; path=/; secure; HttpOnly"))
    return answer


def _proof(server: ServerState, name: str) -> str:
    """OWA and ECP cookies are tied to the server's certificate: members need the same one."""
    return hmac.new((server.iis.bound or "").encode(), name.encode(), sha256).hexdigest()


def _cookie_user(server: ServerState, request: Request) -> str:
    for cookie in request.headers.get("cookie", "").split(";"):
        key, _, value = cookie.strip().partition("=")
        name, _, proof = value.partition(".")
        if key == "cadata" and hmac.compare_digest(proof, _proof(server, name)):
            return name
    return ""


# --- the rest ----------------------------------------------------------------------------------------------------------------


async def answer(farm: FarmState, server: ServerState, request: Request, place: Place, user: str) -> Response:
    """What an authenticated client gets."""
    query = query_of(request)
    match place.service:
        case Service.ACTIVESYNC.value if query.get("cmd", [""])[0].lower() == "ping":
            return await echo(server, request, place, user, farm.spec.ping_s)
        case Service.MAPI.value if request.headers.get("x-requesttype", "").lower() == "notificationwait":
            return Response(200, stream=_notification(farm.spec.ping_s), content_type="application/mapi-http")
        case Service.OUTLOOK_ANYWHERE.value if request.method == "RPC_OUT_DATA":
            stream = _trickle(farm.spec.ping_s)
            return Response(200, stream=stream, length=_RPC_LENGTH, content_type="application/rpc", close=True)
        case _:
            return await echo(server, request, place, user)


async def mrsproxy(farm: FarmState, server: ServerState, request: Request, user: str) -> Response:
    """The SOAP service behind the mailbox replication proxy; 403 where it is switched off [u]."""
    if not farm.directory.mrsproxy_enabled[server.name]:
        return Response(403)
    async for _piece in request.body.pieces():
        pass
    soap = (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>'
        f"<MRSProxy><Server>{server.name}</Server><User>{user}</User></MRSProxy></s:Body></s:Envelope>"
    )
    return Response(200, soap.encode(), content_type="application/soap+xml; charset=utf-8")


async def _notification(wait_s: float) -> AsyncIterator[bytes]:
    yield b"PROCESSING\r\n"
    await asyncio.sleep(wait_s / 2)
    yield b"PENDING\r\n"
    await asyncio.sleep(wait_s / 2)
    yield b"DONE\r\n\r\n"


async def _trickle(wait_s: float) -> AsyncIterator[bytes]:
    """The first bytes of a body announced as one gigabyte."""
    for _ in range(5):
        yield b"\x05\x00" * 16
        await asyncio.sleep(wait_s / 5)
