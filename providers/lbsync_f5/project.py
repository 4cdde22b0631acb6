"""From what a device shows of an object to the properties that lbsync sets, in the form in which it sets them.

Rule of this room: pure. An object that nobody edited gives back exactly what was written, whatever else the device adds, and in
whatever order it lists things.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from lbsync_f5 import things
from lbsync_f5.things import Thing, rules_digest
from lbsync_f5.wire import full_path, inline, plain_rules, pool_members

_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        things.NODE: ("address",),
        things.MONITOR_HTTP: ("defaultsFrom", "send", "recv", "interval", "timeout"),
        things.MONITOR_HTTPS: ("defaultsFrom", "send", "recv", "interval", "timeout"),
        things.HTTP: ("defaultsFrom", "insertXforwardedFor", "redirectRewrite"),
        things.TCP: ("defaultsFrom", "idleTimeout"),
        things.ONE_CONNECT: ("defaultsFrom", "sourceMask", "idleTimeoutOverride"),
        things.SERVER_SSL: (
            "defaultsFrom", "caFile", "peerCertMode", "authenticateName", "serverName", "expireCertResponseControl",
            "untrustedCertResponseControl",
        ),
        things.CLIENT_SSL: ("defaultsFrom", "serverName", "sniDefault", "ciphers", "cacheSize", "sessionTicket"),
        things.POOL: ("loadBalancingMode", "slowRampTime", "serviceDownAction", "monitor", "members"),
        things.VIRTUAL: (
            "destination", "mask", "ipProtocol", "sourceAddressTranslation", "vlans", "profiles", "rules",
        ),
    }
)  # fmt: skip


def projected(collection: str, item: Mapping[str, Any]) -> Thing:
    """The object as we would have written it, with the description that it has."""
    body: dict[str, JsonValue] = {}
    for name in _KEYS[collection]:
        read = _READERS.get((collection, name))
        value = read(item) if read else item.get(name)
        if value is not None:
            body[name] = value
    return Thing(
        collection=collection, path=full_path(item), body={**body, "description": str(item.get("description", ""))}
    )


def policy_rules(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A policy's rules in order."""
    return plain_rules(item)


def is_whole(item: Mapping[str, Any]) -> bool:
    """Whether a policy's rules are those that its mark stands for, whatever a device adds to each."""
    rules = [
        {
            "name": str(rule.get("name", "")),
            "conditions": [_said(one, _CONDITION) for one in rule["conditions"]],
            "actions": [_said(one, _ACTION) for one in rule["actions"]],
        }
        for rule in plain_rules(item)
    ]
    return bool(rules) and str(item.get("description", "")).endswith(f" {rules_digest(rules)}")


_CONDITION = frozenset(
    {
        "httpUri", "path", "pathSegment", "httpHeader", "tmName", "equals", "startsWith", "endsWith", "contains", "not", "values",
        "caseInsensitive",
    }
)  # fmt: skip
_ACTION = frozenset(
    {
        "forward", "select", "pool", "serverSsl", "enable", "disable", "httpHeader", "httpReply", "redirect", "location",
        "shutdown", "connection", "insert", "remove", "replace", "tmName", "value",
    }
)  # fmt: skip


def _said(part: Mapping[str, Any], words: frozenset[str]) -> dict[str, object]:
    """What of a condition or an action matters; an index only where it tells segments apart."""
    kept: dict[str, object] = {name: value for name, value in part.items() if name in words}
    return {**kept, "index": part["index"]} if part.get("pathSegment") else kept


def profile_names(virtual: Mapping[str, Any]) -> list[JsonValue]:
    """A virtual server's profiles: full path and context, sorted."""
    found = sorted((full_path(one), str(one.get("context", "all"))) for one in inline(virtual, "profiles"))
    return [{"name": name, "context": context} for name, context in found]


def policy_names(virtual: Mapping[str, Any]) -> list[str]:
    """Full paths of the policies of a virtual server."""
    return [full_path(one) for one in inline(virtual, "policies")]


def _members(item: Mapping[str, Any]) -> JsonValue:
    found = sorted((member.address, member.port) for member in pool_members(item))
    return [{"address": address, "port": port} for address, port in found]


def _vlans(item: Mapping[str, Any]) -> JsonValue:
    """Those it listens on; none stands for all."""
    return [*sorted(str(vlan) for vlan in item.get("vlans") or [])] if item.get("vlansEnabled") else []


def _translation(item: Mapping[str, Any]) -> JsonValue:
    found = item.get("sourceAddressTranslation")
    kept = ("type", "pool")
    return {name: str(found[name]) for name in kept if name in found} if isinstance(found, Mapping) else None


def _rules(item: Mapping[str, Any]) -> JsonValue:
    return [str(rule) for rule in item.get("rules") or []]


def _monitor(item: Mapping[str, Any]) -> JsonValue:
    return str(item["monitor"]).strip() if "monitor" in item else None


_READERS: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], JsonValue]] = MappingProxyType(
    {
        (things.POOL, "members"): _members,
        (things.POOL, "monitor"): _monitor,
        (things.VIRTUAL, "profiles"): profile_names,
        (things.VIRTUAL, "rules"): _rules,
        (things.VIRTUAL, "sourceAddressTranslation"): _translation,
        (things.VIRTUAL, "vlans"): _vlans,
    }
)
