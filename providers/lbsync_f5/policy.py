"""The LTM policy that sends each request where its service's mode says: rules in order, the first that matches decides.

Rule of this room: pure. Only plain spellings of published paths reach a pool in clear; what can climb out of a published path is
never let through; MRSProxy is matched before EWS. A policy is named by the digest of its rules and never changed: another choice
of modes is another policy.

Sources: F5's policy reference; path segments and actions as F5's own modules write them (disable server-ssl, shutdown
connection). How a device treats the combination was not checked on one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pydantic import JsonValue

from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync_f5.names import Names
from lbsync_f5.things import POLICY, Thing, rules_digest, short_digest

Rule = dict[str, JsonValue]
_REQUEST: Rule = {"request": True}
_EVERYWHERE = frozenset({"name", "request"})

_CLIMBING = ("powershell", "\\", "%5c", "%2e", "%u", "/..", "%2f..")
"""Ways out of a published path as Windows may read it (``%u002e`` is a dot to IIS), and PowerShell whatever stands before it."""
_ODD = (*"%:;~'*!()$&\"<>|{}[]^`#", "//", "./")
"""Characters that no plain path of Exchange has, empty segments, and segments that end in a dot (Windows drops it)."""
_CONNECTION_BOUND = ("ntlm", "negotiate")
_REST_ON_TWINS = "rest-on-twins"
"""The last rule's name says which pools are live: with everything in clear no other rule would."""


def policy(
    names: Names, services: Iterable[Service], modes: Mapping[Service, Mode], *, ntlm: bool, apart: bool
) -> Thing:
    """The policy for these modes of the published services.

    ``ntlm``: connections to servers belong to clients, so that all services share a mode; ``apart``: MRSProxy has a virtual
    server of its own, and is not served here.
    """
    wanted = frozenset(services)
    published = [service for service in SERVICES if service in wanted]
    rules = [
        *_guards(ntlm=ntlm),
        *_mrsproxy(names, published, modes, ntlm=ntlm, apart=apart),
        *_odd(names, published, modes, ntlm=ntlm, apart=apart),
        *(_route(names, service, modes[service]) for service in published if service is not Service.MRSPROXY),
        *_root(names, published, modes, ntlm=ntlm),
        _rest(names),
    ]
    return _named(names, rules)


def mrsproxy_policy(names: Names) -> Thing:
    """The policy of MRSProxy's own virtual server: its path over TLS, and nothing else."""
    _, first, second = SERVICES[Service.MRSPROXY].prefix.split("/")
    conditions = (_segment(1, first), _segment(2, second))
    forward = _forward(names.pool(Service.MRSPROXY, Mode.BRIDGE), Mode.BRIDGE)
    rules = [*_guards(ntlm=True), _rule(Service.MRSPROXY.value, conditions, forward), _rest(names)]
    return _named(names, rules)


def modes_of(rules: Iterable[Mapping[str, JsonValue]], names: Names) -> dict[Service, Mode]:
    """What the rules of a policy say of each service, by the pool that its rule forwards to.

    ``rules`` as ``plain_rules`` gives them. A service is left out where no rule of ours sends it anywhere.
    """
    found: dict[Service, Mode] = {}
    for rule in rules:
        if rule.get("name") not in SERVICES:
            continue
        service = Service(str(rule["name"]))
        pools = {each.pool(service, mode): mode for each in (names, names.turned) for mode in Mode}
        for pool in _forwarded(rule):
            if pool in pools:
                found[service] = pools[pool]
    return found


def live_names(rules: Iterable[Mapping[str, JsonValue]], names: Names) -> Names:
    """The names of the pools that are live by the rules of a policy of ours: twins or not, also where it bridges nothing."""
    twins = any(rule.get("name") == _REST_ON_TWINS for rule in rules)
    return names if names.twins is twins else names.turned


def _forwarded(rule: Mapping[str, JsonValue]) -> Iterator[str]:
    actions = rule.get("actions")
    for action in actions if isinstance(actions, list) else []:
        pool = action.get("pool") if isinstance(action, dict) else None
        if isinstance(pool, str):
            yield pool


def one_mode(modes: Mapping[Service, Mode]) -> Mode | None:
    """The mode of all services that may be in either; ``None`` where they differ."""
    found = {mode for service, mode in modes.items() if SERVICES[service].offloadable}
    return found.pop() if len(found) == 1 else None


def _named(names: Names, rules: Iterable[Rule]) -> Thing:
    ordered: list[JsonValue] = [{**rule, "ordinal": ordinal} for ordinal, rule in enumerate(rules)]
    body: dict[str, JsonValue] = {
        "strategy": "/Common/first-match",
        "controls": ["forwarding", "server-ssl"],
        "requires": ["http"],
        "rules": ordered,
    }
    path = names.policy(short_digest(ordered)[:16])
    body["description"] = f"lbsync {names.balancer} {rules_digest([_told(rule) for rule in ordered])}"
    return Thing(collection=POLICY, path=path, body=body)


def _told(rule: JsonValue) -> JsonValue:
    """A rule without what every one of ours has: so is it read back, too."""
    assert isinstance(rule, dict)  # noqa: S101 -- all are
    parts: dict[str, JsonValue] = {
        kind: [{name: value for name, value in one.items() if name not in _EVERYWHERE} for one in _dicts(rule[kind])]
        for kind in ("conditions", "actions")
    }
    return {"name": rule["name"], **parts}


def _dicts(value: JsonValue) -> list[Rule]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _in_clear(modes: Mapping[Service, Mode], *, ntlm: bool) -> bool:
    """Whether connections to servers may be in clear for everything that comes after on them."""
    return ntlm and Mode.OFFLOAD in modes.values()


def _guards(*, ntlm: bool) -> list[Rule]:
    climbing = _rule("refuse-climbing", (_path("contains", *_CLIMBING),), _refuse())
    if ntlm:
        return [climbing]
    # Requests share connections to servers here: a login that belonged to one would be everybody's.
    header: Rule = {"httpHeader": True, "tmName": "Authorization", "startsWith": True}
    bound = _condition({**header, "values": list(_CONNECTION_BOUND)})
    return [climbing, _rule("refuse-connection-bound", (bound,), _refuse())]


def _mrsproxy(
    names: Names, published: Iterable[Service], modes: Mapping[Service, Mode], *, ntlm: bool, apart: bool
) -> list[Rule]:
    _, first, second = SERVICES[Service.MRSPROXY].prefix.split("/")
    conditions = (_segment(1, first), _segment(2, second))
    if Service.MRSPROXY not in frozenset(published) or apart or _in_clear(modes, ntlm=ntlm):
        return [_rule("refuse-mrsproxy", conditions, _refuse())]
    return [_rule(Service.MRSPROXY.value, conditions, _forward(names.pool(Service.MRSPROXY, Mode.BRIDGE), Mode.BRIDGE))]


def _odd(
    names: Names, published: Iterable[Service], modes: Mapping[Service, Mode], *, ntlm: bool, apart: bool
) -> list[Rule]:
    """Other spellings below a published path go to TLS, where the server itself says what they are.

    Below /ews they may be EWS or MRSProxy: they are refused where not both are served here.
    """
    here = frozenset(published) - (frozenset({Service.MRSPROXY}) if apart else frozenset[Service]())
    either = frozenset({Service.EWS, Service.MRSPROXY})
    known = [service for service in published if service in here and (service not in either or either <= here)]
    doubtful = [service for service in published if service in here and service not in known]
    found: list[Rule] = []
    if known:
        pool = names.pool(known[0], Mode.BRIDGE)
        actions = _refuse() if _in_clear(modes, ntlm=ntlm) else _forward(pool, Mode.BRIDGE)
        found += _odd_below("odd", known, actions)
    if doubtful:
        found += _odd_below("refuse-odd", doubtful, _refuse())
    return found


def _odd_below(name: str, services: Iterable[Service], actions: list[JsonValue]) -> list[Rule]:
    first = _segment(1, *sorted({SERVICES[service].prefix.split("/")[1] for service in services}))
    return [
        _rule(f"{name}-spellings", (first, _path("contains", *_ODD)), actions),
        _rule(f"{name}-endings", (first, _path("endsWith", ".")), actions),
    ]


def _route(names: Names, service: Service, mode: Mode) -> Rule:
    prefix = SERVICES[service].prefix.removeprefix("/")
    return _rule(service.value, (_segment(1, prefix),), _forward(names.pool(service, mode), mode))


def _root(names: Names, published: Iterable[Service], modes: Mapping[Service, Mode], *, ntlm: bool) -> list[Rule]:
    """``/``: the servers send it to /owa, but keep Require SSL there; where all is in clear the device says it itself."""
    if Service.OWA not in frozenset(published):
        return []
    actions = (
        _actions({"httpReply": True, "redirect": True, "location": f"{SERVICES[Service.OWA].prefix}/"})
        if _in_clear(modes, ntlm=ntlm)
        else _forward(names.pool(Service.OWA, Mode.BRIDGE), Mode.BRIDGE)
    )
    return [_rule("root", (_path("equals", "/"),), actions)]


def _rest(names: Names) -> Rule:
    return _rule(_REST_ON_TWINS if names.twins else "rest", (), _refuse())


def _forward(pool: str, mode: Mode) -> list[JsonValue]:
    """To a pool, with what Exchange wants to know of the connection before it; in clear with server-ssl off."""
    # Each rule says it, whatever the one before it on the same connection said.
    server_ssl: Rule = {"disable" if mode is Mode.OFFLOAD else "enable": True, "serverSsl": True}
    return _actions(
        {"forward": True, "select": True, "pool": pool},
        server_ssl,
        {"httpHeader": True, "replace": True, "tmName": "X-Forwarded-Proto", "value": "https"},
        {"httpHeader": True, "replace": True, "tmName": "Front-End-Https", "value": "on"},
    )


def _refuse() -> list[JsonValue]:
    """Reset: a policy knows no answer 404."""
    return _actions({"shutdown": True, "connection": True})


def _actions(*actions: Rule) -> list[JsonValue]:
    return [{"name": str(number), **action, **_REQUEST} for number, action in enumerate(actions)]


def _rule(name: str, conditions: Iterable[Rule], actions: list[JsonValue]) -> Rule:
    numbered: list[JsonValue] = [{"name": str(number), **one} for number, one in enumerate(conditions)]
    return {"name": name, "conditions": numbered, "actions": actions}


def _path(operator: str, *values: str) -> Rule:
    return _condition({"httpUri": True, "path": True, operator: True, "values": list(values)})


def _segment(index: int, *values: str) -> Rule:
    return _condition({"httpUri": True, "pathSegment": True, "index": index, "equals": True, "values": list(values)})


def _condition(condition: Rule) -> Rule:
    return {**condition, "caseInsensitive": True, **_REQUEST}
