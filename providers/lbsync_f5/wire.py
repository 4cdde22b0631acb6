"""What lbsync says to a BIG-IP's REST API, and what it reads in the answers.

Rule of this room: pure; JSON in, values out. Each place where f5-sdk falls short, so that its bare REST session is used instead,
stands in ``BARE`` with the reason.

Shapes as captured from 11.6 and 14.1.2.1; what differs on other versions by F5's documentation only.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lbsync_f5 import things
from lbsync_f5.names import split

Json = Mapping[str, Any]

SDK_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        things.NODE: ("ltm", "nodes", "node"),
        things.MONITOR_HTTP: ("ltm", "monitor", "https", "http"),
        things.MONITOR_HTTPS: ("ltm", "monitor", "https_s", "https"),
        things.HTTP: ("ltm", "profile", "https", "http"),
        things.TCP: ("ltm", "profile", "tcps", "tcp"),
        things.ONE_CONNECT: ("ltm", "profile", "one_connects", "one_connect"),
        things.CLIENT_SSL: ("ltm", "profile", "client_ssls", "client_ssl"),
        things.SERVER_SSL: ("ltm", "profile", "server_ssls", "server_ssl"),
        things.POOL: ("ltm", "pools", "pool"),
        things.POLICY: ("ltm", "policys", "policy"),
        things.VIRTUAL: ("ltm", "virtuals", "virtual"),
        things.DATA_GROUP: ("ltm", "data_group", "internals", "internal"),
        things.SSL_CERT: ("sys", "file", "ssl_certs", "ssl_cert"),
        things.SSL_KEY: ("sys", "file", "ssl_keys", "ssl_key"),
        "cm/device": ("cm", "devices", "device"),
        "cm/device-group": ("cm", "device_groups", "device_group"),
    }
)
"""What the SDK calls each collection, and one of it, below ``tm``."""

BARE: Mapping[str, str] = MappingProxyType(
    {
        "login": "the SDK's login takes no time-out, and never gives its token back",
        "modify": "load() before modify() is a request more for each object; modify() of ssl-key and ssl-cert raises, and "
        "update() PUTs the whole body, which a client-ssl profile refuses (01b4002a)",
        "delete": "load() before delete() is a request more for each object, and an object that is gone is no error here",
        "upload": "the SDK's upload turns verification off, and logs the key's bytes on the root logger",
        "commit": "the SDK's transaction context leaves a failed transaction open, and forgets the session's headers",
        "publish": "the SDK's publish() reads the policy again, from which nothing is needed",
        "remove-uploads": "the SDK demands an answer of the kind runstate, which several versions do not give",
        "stats": "the SDK's Stats resource wants its object loaded first",
        "cut": "the SDK's connection resource can only be read",
    }
)
"""Where the SDK's REST session is used instead of its resources, and why."""

COORDINATION = "X-F5-REST-Coordination-Id"
"""The header that puts a request into a transaction."""
OLDEST = (13, 0)
_F5_ERROR = re.compile(r"([0-9a-f]{8}):\d+: ")
_RESTARTING = "Configuration Utility restarting"
_BUSY = 503
_TAKES = frozenset({"monitor-enabled", "user-enabled"})
"""Sessions of a member that is given new connections; captured with states up, down and unchecked."""
IN_SYNC = "In Sync"
STANDALONE = "Standalone"
CHANGES_PENDING = "Changes Pending"


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One device of ``cm/device``. ``state`` is ``active``, ``standby``, ``offline`` ..."""

    name: str
    itself: bool
    state: str
    version: str


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """What ``cm/sync-status`` says: the words of the device, and its advice."""

    status: str
    details: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PoolMember:
    """A server in a pool as the device judges it; ``name`` is its full path."""

    name: str
    address: str
    port: int
    state: str
    session: str

    @property
    def up(self) -> bool:
        """By a monitor that answered."""
        return self.state == "up"

    @property
    def checked(self) -> bool:
        """False until the first health check has ended."""
        return self.state not in {"checking", "unchecked", "unknown"}

    @property
    def held(self) -> bool:
        """Taken out in this pool: no new connection."""
        return self.session == "user-disabled"

    @property
    def draining(self) -> bool:
        """Taken out, in this pool or with its node (``addr-disabled``): no new connection."""
        return self.session not in _TAKES or self.state == "user-down"


def version_of(link: str) -> str:
    """The TMOS version in a selfLink; empty where there is none."""
    return next(iter(parse_qs(urlsplit(link).query).get("ver", [])), "")


def version_numbers(version: str) -> tuple[int, int] | None:
    """Major and minor of ``14.1.2.1``; ``None`` for anything else."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None


def address_of(path: str) -> dict[str, str]:
    """Name, partition and folder of a full path, as a POST wants them."""
    partition, folder, name = split(path)
    return {"name": name, "partition": partition} | ({"subPath": folder} if folder else {})


def items(answer: Json) -> list[dict[str, Any]]:
    """The objects of a collection; none where it is empty, which has no ``items`` at all."""
    found = answer.get("items", [])
    return [dict(item) for item in found] if isinstance(found, list) else []


def inline(item: Json, name: str) -> list[dict[str, Any]]:
    """A sub-collection of an object read with expandSubcollections; also where it is given as a plain list."""
    reference = item.get(f"{name}Reference")
    if isinstance(reference, Mapping) and isinstance(reference.get("items"), list):
        return items(reference)
    plain = item.get(name)
    return (
        [dict(one) if isinstance(one, Mapping) else {"name": one} for one in plain] if isinstance(plain, list) else []
    )


def plain_rules(policy: Json) -> list[dict[str, Any]]:
    """A policy's rules by their order, their actions and conditions as plain lists."""
    rules = [
        {**rule, "actions": inline(rule, "actions"), "conditions": inline(rule, "conditions")}
        for rule in inline(policy, "rules")
    ]
    return sorted(rules, key=lambda rule: int(rule.get("ordinal", 0)))


def full_path(item: Json) -> str:
    """An object's full path, also where only partition and name are given."""
    path = item.get("fullPath")
    name = str(item.get("name", ""))
    if isinstance(path, str) and path.startswith("/"):
        return path
    return name if name.startswith("/") else f"/{item.get('partition', 'Common')}/{name}"


def devices(found: Iterable[Json]) -> tuple[DeviceInfo, ...]:
    """``cm/device``."""
    return tuple(
        DeviceInfo(
            name=str(item.get("name", "")),
            itself=str(item.get("selfDevice", "")).lower() == "true",
            state=str(item.get("failoverState", "unknown")),
            version=str(item.get("version", "")),
        )
        for item in found
    )


def failover_groups(found: Iterable[Json]) -> tuple[tuple[str, bool], ...]:
    """``cm/device-group``: full path and whether it synchronises by itself, of each sync-failover group."""
    return tuple(
        (full_path(item), str(item.get("autoSync", "disabled")) == "enabled")
        for item in found
        if item.get("type") == "sync-failover"
    )


def sync_status(answer: Json) -> SyncStatus:
    """``cm/sync-status``."""
    entries = _entries(answer)
    first: Any = next(iter(entries.values()), {})
    inner = _entries(first.get("nestedStats", {}) if isinstance(first, Mapping) else {})
    details = [
        text for entry in _nested(inner) if (text := str(entry.get("details", {}).get("description", "")).strip())
    ]
    return SyncStatus(_described(inner, "status"), tuple(details))


def pool_members(pool: Json) -> tuple[PoolMember, ...]:
    """The members of a pool read with expandSubcollections."""
    found: list[PoolMember] = []
    for item in inline(pool, "members"):
        name = full_path(item)
        port = re.search(r"[:.](\d+)\Z", name)
        found.append(
            PoolMember(
                name=name,
                address=canonical(str(item.get("address", ""))),
                port=int(port[1]) if port else 0,
                state=str(item.get("state", "unknown")),
                session=str(item.get("session", "unknown")),
            )
        )
    return tuple(found)


def canonical(address: str) -> str:
    """An address in its one spelling; anything else as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def connections(stats: Json) -> dict[tuple[str, int], int]:
    """``ltm/pool/X/members/stats``: current connections to servers by address and port."""
    found: dict[tuple[str, int], int] = {}
    for entry in _entries(stats).values():
        inner = _entries(entry.get("nestedStats", {}) if isinstance(entry, Mapping) else {})
        address = canonical(_described(inner, "addr"))
        current = inner.get("serverside.curConns", {})
        key = (address, int(inner.get("port", {}).get("value", 0)))
        found[key] = found.get(key, 0) + int(current.get("value", 0) if isinstance(current, Mapping) else 0)
    return found


def fingerprint(item: Json) -> str | None:
    """SHA-256 of a certificate object's leaf in lower case; ``None`` where the device does not tell it."""
    kind, _, digits = str(item.get("fingerprint", "")).partition("/")
    return digits.replace(":", "").lower() if kind == "SHA256" else None


def chain_entry(certificate: str, key: str, chain: str | None) -> list[dict[str, str]]:
    """``certKeyChain`` of a client-ssl profile, whole; ``none`` where there are no intermediates."""
    return [{"name": "lbsync", "cert": certificate, "key": key, "chain": chain or "none"}]


def served(profile: Json) -> str | None:
    """The full path of the certificate that a client-ssl profile serves."""
    entries = profile.get("certKeyChain")
    first = entries[0] if isinstance(entries, Sequence) and entries and isinstance(entries[0], Mapping) else profile
    found = first.get("cert")
    return str(found) if found and found != "none" else None


def error_of(status: int, text: str, answer: object) -> tuple[str, str]:
    """F5's own error id (or the HTTP status as text) and the device's words, for a person. Never what was sent."""
    message = answer.get("message") if isinstance(answer, Mapping) else None
    words = str(message) if message else ("an HTML page" if "<html" in text.lower() else "no reason was given")
    found = _F5_ERROR.search(words)
    return (found[1] if found else str(status)), words


def is_busy(status: int, text: str) -> bool:
    """Whether an answer means that nothing was done and that the device will be back: 503, or its restart page."""
    return status == _BUSY or _RESTARTING in text


def _entries(answer: Any) -> dict[str, Any]:
    found = answer.get("entries") if isinstance(answer, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def _described(entries: Json, name: str) -> str:
    found = entries.get(name)
    return str(found.get("description", "")).strip() if isinstance(found, Mapping) else ""


def _nested(entries: Json) -> Iterable[Json]:
    """Every table of entries below these."""
    for value in entries.values():
        inner = _entries(value.get("nestedStats", {}) if isinstance(value, Mapping) else {})
        if inner:
            yield inner
            yield from _nested(inner)
