"""What a policy's conditions look at, and how they compare it.

Rule of this room: a condition that is not simulated raises Misconfigured when it is read, never when a request meets it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lbsync.lab.bigip.plane import Body
from lbsync.lab.bigip.traffic.messages import Request
from lbsync.lab.bigip.traffic.objects import Misconfigured, number, text

_Look = Callable[[Request, str], str | None]
"""Takes a request and the name its TLS hello asked for (empty where none); ``None`` where there is nothing to see."""

_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "equals": lambda seen, value: seen == value,
    "startsWith": lambda seen, value: seen.startswith(value),
    "endsWith": lambda seen, value: seen.endswith(value),
    "contains": lambda seen, value: value in seen,
}
_NOT_SIMULATED = ("matches", "less", "lessOrEqual", "greater", "greaterOrEqual", "datagroup", "externalDatagroup")
_OTHER_EVENTS = (
    "response",
    "proxyConnect",
    "proxyRequest",
    "proxyResponse",
    "clientAccepted",
    "wsRequest",
    "wsResponse",
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: one value is enough, ``negated`` turns the whole. No ``compare``: it asks whether there is anything."""

    look: _Look
    compare: Callable[[str, str], bool] | None
    values: tuple[str, ...]
    negated: bool
    fold: bool

    def holds(self, request: Request, sni: str) -> bool:
        """True when it is met."""
        seen = self.look(request, sni)
        if self.compare is None or seen is None:
            return (seen is not None) is not self.negated
        if self.fold:
            seen = seen.lower()
        return any(self.compare(seen, value) for value in self.values) is not self.negated


def read_condition(body: Body) -> Condition:
    """One condition as REST shows it. Raises Misconfigured."""
    if unknown := [key for key in (*_NOT_SIMULATED, *_OTHER_EVENTS) if body.get(key)]:
        raise Misconfigured(f"a condition with {', '.join(unknown)} is not simulated")
    fold = bool(body.get("caseInsensitive"))
    values = tuple(str(value) for value in body.get("values") or ())
    named = [key for key in _COMPARE if body.get(key)]
    if len(named) > 1:
        raise Misconfigured(f"a condition compares in one way, not by {' and '.join(named)}")
    if not named and values:
        named = ["equals"]
    negated = bool(body.get("not"))
    if not named and body.get("missing"):
        negated = not negated
    return Condition(
        _look(body),
        _COMPARE[named[0]] if named else None,
        tuple(value.lower() for value in values) if fold else values,
        negated,
        fold,
    )


def _look(body: Body) -> _Look:
    if body.get("httpUri"):
        return _uri(body)
    if body.get("httpHost"):
        return _name_alone if body.get("host") else _host
    if body.get("httpMethod"):
        return lambda request, _sni: request.method
    if body.get("httpHeader"):
        name = text(body, "tmName")
        if not name:
            raise Misconfigured("a condition on an HTTP header names no header")
        return lambda request, _sni: request.get(name)
    if body.get("sslExtension") and body.get("serverName"):
        return lambda _request, sni: sni or None
    raise Misconfigured(f"a condition on {', '.join(sorted(body))} is not simulated")


def _host(request: Request, _sni: str) -> str | None:
    return request.get("host")


def _name_alone(request: Request, _sni: str) -> str | None:
    value = request.get("host")
    return None if value is None else without_port(value)


def _uri(body: Body) -> _Look:
    if body.get("pathSegment"):
        index = number(body, "index", 0)
        if index < 1:
            raise Misconfigured("path segments are counted from 1")
        return lambda request, _sni: _segment(request, index)
    if body.get("path"):
        return lambda request, _sni: _path(request)
    if body.get("queryString"):
        return lambda request, _sni: request.target.partition("?")[2]
    if others := [key for key in ("extension", "host", "port", "queryParameter", "scheme", "unnamedQueryParameter")
                  if body.get(key)]:  # fmt: skip
        raise Misconfigured(f"a condition on the URI's {', '.join(others)} is not simulated")
    return lambda request, _sni: request.target


def _path(request: Request) -> str:
    return request.target.partition("?")[0]


def _segment(request: Request, index: int) -> str | None:
    segments = _path(request).split("/")
    return segments[index] if index < len(segments) else None


def without_port(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
