"""Authentication of the front end: NTLM bound to the connection, Basic per request, OAuth refused in clear.

Rule of this room: what a location allows is read from IIS at each request; Extended Protection compares the client's channel
binding with the certificate of *this* connection. Passwords are compared and forgotten.
"""

from __future__ import annotations

import base64
import binascii

from lbsync.lab.accounts import Acceptor, LogonFailed
from lbsync.lab.messages import Request, Response
from lbsync.lab.paths import Place
from lbsync.lab.state import FarmState, ServerState


def known(request: Request) -> str:
    """Who this connection belongs to by now; empty for nobody."""
    return str(request.connection.memory.get("user", ""))


def authenticate(farm: FarmState, server: ServerState, request: Request, place: Place) -> Response | str:
    """The user, or the answer that asks for one."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    methods = server.iis.methods(place.location)
    host = request.headers.get("host", server.fqdn)
    match scheme.lower():
        case "ntlm" | "negotiate" if "windows" in methods:
            return _ntlm(farm, server, request, place)
        case "basic" if "basic" in methods:
            try:
                user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
                return farm.accounts.check(user, password)
            except (binascii.Error, UnicodeDecodeError, LogonFailed):
                return _challenge(methods, host)
        case "bearer":
            return _bearer(farm, request, host)
        case _:
            return known(request) or _challenge(methods, host)


def _ntlm(farm: FarmState, server: ServerState, request: Request, place: Place) -> Response | str:
    scheme, _, value = request.headers["authorization"].partition(" ")
    memory = request.connection.memory
    host = request.headers.get("host", server.fqdn)
    acceptor = memory.get("acceptor")
    if not isinstance(acceptor, Acceptor) or acceptor.complete:
        acceptor = memory["acceptor"] = farm.accounts.accept()
        memory.pop("user", None)
    identity = request.connection.identity
    try:
        token = base64.b64decode(value, validate=True)
        out = acceptor.step(token, identity.binding if identity else None, server.iis.token_checking(place.location))
    except (binascii.Error, LogonFailed):
        memory.pop("acceptor", None)
        return _challenge(server.iis.methods(place.location), host)
    if out is not None:
        return Response(401, headers=[("WWW-Authenticate", f"{scheme} {base64.b64encode(out).decode()}")])
    memory["user"] = acceptor.user
    return acceptor.user


def _challenge(methods: tuple[str, ...], host: str) -> Response:
    headers: list[tuple[str, str]] = []
    if "windows" in methods:
        headers += [("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", "NTLM")]
    if "basic" in methods:
        headers.append(("WWW-Authenticate", f'Basic realm="{host.split(":", maxsplit=1)[0]}"'))
    return Response(401, headers=headers)


def _bearer(farm: FarmState, request: Request, host: str) -> Response | str:
    """OAuth: the audience is the URL as Exchange sees it, so ending TLS before it breaks every token."""
    if not request.connection.tls:
        name = host.split(":", maxsplit=1)[0]
        reason = (
            f"2000003;reason=\"The hostname component of the audience claim value 'https://{name}' is invalid. "
            f"Expected 'https://{name}'. Actual 'http://{name}'.\";error_category=\"invalid_resource\""
        )
        return Response(401, headers=[("x-ms-diagnostics", reason), ("WWW-Authenticate", "Bearer")])
    if not farm.directory.oauth2_client_profile_enabled:
        return Response(401, headers=[("WWW-Authenticate", "Bearer")])
    return "oauth"
