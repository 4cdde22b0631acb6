"""A virtual server made ready to carry traffic: its profiles, policies and pool, read once.

Rule of this room: it is read whole or not at all; what cannot be read leaves a virtual server that resets every connection,
with its ``fault``. A connection keeps the virtual server it was opened on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from lbsync.lab.bigip.plane import Body, Config
from lbsync.lab.bigip.traffic.messages import Limits, Request
from lbsync.lab.bigip.traffic.objects import Misconfigured, bodies, destination, flag, full_path, number, seconds, text
from lbsync.lab.bigip.traffic.policy import Policy, Verdict, https_location, read_policy
from lbsync.lab.bigip.traffic.tls import ClientSsl, Contexts, ServerSsl, read_client_ssl, read_server_ssl

_HTTPS_REDIRECT = "/Common/_sys_https_redirect"
_PROFILES = "ltm/profile/"
_IDLE_S = 300.0


@dataclass(frozen=True, slots=True)
class Http:
    """The http profile. ``rewrite``: none, all or matching; ``reuse``: statuses after which a server's connection is shared."""

    limits: Limits = field(default_factory=Limits)
    forwarded_for: bool = False
    insert: tuple[str, str] | None = None
    erase: str = ""
    rewrite: str = "none"
    transform: bool = True
    reuse: frozenset[int] = frozenset({200, 206})
    agent: str = "BigIP"


@dataclass(frozen=True, slots=True)
class OneConnect:
    """The one-connect profile; ``mask`` says which clients share connections: those with the same bits under it."""

    mask: str = "any"
    most: int = 10000
    max_reuse: int = 1000
    max_age_s: float = 86400.0
    idle_s: float | None = None
    """``idleTimeoutOverride``; ``None``: as any connection."""


@dataclass(frozen=True, slots=True, eq=False)
class Virtual:
    """One virtual server. ``ntlm``: it has an ntlm profile, which binds a server's connection to its client after a login."""

    path: str
    address: str
    port: int
    enabled: bool
    pool: str = ""
    policies: tuple[Policy, ...] = ()
    http: Http | None = None
    client_ssl: ClientSsl | None = None
    server_ssl: ServerSsl | None = None
    one_connect: OneConnect | None = None
    ntlm: bool = False
    https_redirect: bool = False
    client_idle_s: float = _IDLE_S
    server_idle_s: float = _IDLE_S
    fault: str = ""

    def judge(self, request: Request, sni: str) -> Verdict:
        """What policies and built-in rules say to one request; header actions are done on it."""
        verdict = Verdict()
        for policy in self.policies:
            policy.judge(request, sni, verdict)
        if self.https_redirect and not verdict.reset:
            verdict.redirect = https_location(request)
        verdict.pool = verdict.pool or self.pool
        return verdict


def read_virtuals(config: Config, contexts: Contexts) -> Iterator[Virtual]:
    """Every virtual server of a configuration. Raises Misconfigured when one has no destination."""
    for path, body in config.of("ltm/virtual").items():
        address, port = destination(config, body)
        enabled = not body.get("disabled") and body.get("enabled") is not False
        bare = Virtual(path, address, port, enabled)
        try:
            yield _read(config, contexts, bare, body)
        except (Misconfigured, ValueError, KeyError) as problem:
            yield replace(bare, fault=f"{path}: {problem}")


def _read(config: Config, contexts: Contexts, bare: Virtual, body: Body) -> Virtual:
    found = dict[str, list[tuple[str, Body]]]()
    for entry in bodies(body, "profiles"):
        for kind, profile in _profiles(config, full_path(entry)):
            found.setdefault(kind, []).append((str(entry.get("context", "all")), profile))
    pool = text(body, "pool")
    if pool and pool not in config.of("ltm/pool"):
        raise Misconfigured(f"there is no pool {pool}")
    client_ssl = [profile for _, profile in found.get("client-ssl", ())]
    return replace(
        bare,
        pool=pool,
        policies=tuple(read_policy(config, full_path(entry)) for entry in bodies(body, "policies")),
        http=next((_http(profile) for _, profile in found.get("http", ())), None),
        client_ssl=read_client_ssl(config, contexts, bare.path, client_ssl) if client_ssl else None,
        server_ssl=next((read_server_ssl(config, contexts, each) for _, each in found.get("server-ssl", ())), None),
        one_connect=next((_one_connect(profile) for _, profile in found.get("one-connect", ())), None),
        ntlm="ntlm" in found,
        https_redirect=_HTTPS_REDIRECT in (body.get("rules") or ()),
        client_idle_s=_idle_s(found, "clientside"),
        server_idle_s=_idle_s(found, "serverside"),
    )


def _profiles(config: Config, path: str) -> Iterator[tuple[str, Body]]:
    known = False
    for collection, objects in config.objects.items():
        if collection.startswith(_PROFILES) and path in objects:
            known = True
            yield collection.removeprefix(_PROFILES), objects[path]
    if not known:
        raise Misconfigured(f"there is no profile {path}")


def _idle_s(found: dict[str, list[tuple[str, Body]]], side: str) -> float:
    for wanted in (side, "all"):
        for context, profile in found.get("tcp", ()):
            if context == wanted:
                return seconds(profile, "idleTimeout", _IDLE_S)
    return _IDLE_S


def _http(profile: Body) -> Http:
    enforcement: Body = profile.get("enforcement") or {}
    insert = text(profile, "headerInsert")
    name, colon, value = insert.partition(":")
    if insert and not colon:
        raise Misconfigured(f"headerInsert {insert} is no header")
    rewrite = text(profile, "redirectRewrite") or "none"
    if rewrite not in {"none", "all", "matching"}:
        raise Misconfigured(f"redirectRewrite {rewrite} is not simulated")
    return Http(
        Limits(number(enforcement, "maxHeaderSize", 32768), number(enforcement, "maxHeaderCount", 64)),
        flag(profile, "insertXforwardedFor"),
        (name.strip(), value.strip()) if insert else None,
        text(profile, "headerErase"),
        rewrite,
        text(profile, "oneconnectTransformations") != "disabled",
        frozenset(int(each) for each in (text(profile, "oneconnectStatusReuse") or "200 206").split()),
        text(profile, "serverAgentName") or "BigIP",
    )


def _one_connect(profile: Body) -> OneConnect:
    return OneConnect(
        text(profile, "sourceMask") or "any",
        number(profile, "maxSize", 10000),
        number(profile, "maxReuse", 1000),
        seconds(profile, "maxAge", 86400),
        None
        if text(profile, "idleTimeoutOverride") in {"", "disabled"}
        else seconds(profile, "idleTimeoutOverride", 0),
    )
