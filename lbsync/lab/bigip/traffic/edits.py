"""What the http profile changes in the heads that pass, and the answers that are the device's own.

Rule of this room: pure but for the heads it edits.
"""

from __future__ import annotations

import re

from lbsync.lab.bigip.traffic.conditions import without_port
from lbsync.lab.bigip.traffic.messages import Request, Response
from lbsync.lab.bigip.traffic.virtuals import Http, Virtual

_PLAIN = re.compile(r"http://(\[[^\]/]*\]|[^/:?#]*)(?::\d*)?(.*)", re.IGNORECASE)


def to_server(request: Request, virtual: Virtual, http: Http, peer: str) -> None:
    """Edit a request on its way to a server; ``peer`` is the client's address."""
    if http.erase:
        request.remove(http.erase)
    if http.insert is not None:
        request.insert(*http.insert)
    if http.forwarded_for:
        request.insert("X-Forwarded-For", peer)
    if virtual.one_connect is not None and http.transform and not request.keep:
        # The server's connection is for others too: the client's wish to close does not reach it.
        if request.start[2] == "HTTP/1.1":
            request.fields = [(_crossed(name), value) for name, value in request.fields]
            request.raw = b""
        else:
            request.replace("Connection", "Keep-Alive")


def _crossed(name: str) -> str:
    return "Xonnection" if name.lower() == "connection" else name


def to_client(response: Response, virtual: Virtual, http: Http, *, stays: bool, framed: bool) -> bool:
    """Edit an answer for what becomes of the client's connection; false when it ends with the server's.

    ``stays``: the server keeps its connection; ``framed``: the answer's end is seen without the connection's.
    """
    if stays:
        return True
    if virtual.one_connect is None or not http.transform or not framed:
        return False
    response.remove("Connection")
    return True


def answer(response: Response, virtual: Virtual, http: Http, request: Request, host: str) -> None:
    """Edit an answer to a request that came with this Host header."""
    location = response.get("location")
    if location is None or http.rewrite == "none" or virtual.client_ssl is None:
        return
    plain = _PLAIN.fullmatch(location)
    if plain is None:
        return
    name, rest = plain.groups()
    same = name.lower() == without_port(host).lower() and rest.rstrip("/") == request.target.rstrip("/")
    if http.rewrite == "all" or same:
        response.replace("Location", f"https://{name}{rest}")


def redirected(location: str, agent: str, *, keep: bool) -> bytes:
    """The device's own redirect."""
    line = re.sub(r"[\r\n]", "", location)
    connection = "Keep-Alive" if keep else "close"
    head = f"HTTP/1.0 302 Found\r\nLocation: {line}\r\nServer: {agent}\r\nConnection: {connection}\r\n"
    return f"{head}Content-Length: 0\r\n\r\n".encode("latin-1", "replace")
