"""Local traffic policies: which rule a request meets, and what that rule does to it.

Rule of this room: pure. An action that is not simulated raises Misconfigured when it is read, never when a request meets it;
silence would send a request where the policy did not say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lbsync.lab.bigip.plane import Body, Config
from lbsync.lab.bigip.traffic.conditions import Condition, read_condition, without_port
from lbsync.lab.bigip.traffic.messages import Request
from lbsync.lab.bigip.traffic.objects import Misconfigured, bodies, number, text

_HOST_AND_URI = "https://[HTTP::host][HTTP::uri]"
_NAME_AND_URI = 'https://[getfield [HTTP::host] ":" 1][HTTP::uri]'
_OTHER_EVENTS = ("response", "proxyConnect", "proxyRequest", "proxyResponse", "clientAccepted", "serverConnected")


@dataclass(slots=True)
class Verdict:
    """What is done with one request. ``pool``: where it goes, empty for the virtual server's own pool.

    ``server_ssl`` is ``None`` where no action says anything of it: what the client's connection met before holds on.
    """

    pool: str = ""
    server_ssl: bool | None = None
    redirect: str | None = None
    reset: bool = False


Action = Callable[[Request, Verdict], None]


@dataclass(frozen=True, slots=True)
class Rule:
    """All conditions must hold; a rule without any always matches."""

    name: str
    conditions: tuple[Condition, ...]
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules in the order of their ordinals; ``every``: all that match act (all-match), else the first alone."""

    rules: tuple[Rule, ...] = field(default=())
    every: bool = False

    def judge(self, request: Request, sni: str, verdict: Verdict) -> None:
        """Write into the verdict, and into the request's headers, what the rules say."""
        for rule in self.rules:
            if all(condition.holds(request, sni) for condition in rule.conditions):
                for action in rule.actions:
                    action(request, verdict)
                if not self.every:
                    return


def read_policy(config: Config, path: str) -> Policy:
    """A published policy of the configuration. Raises Misconfigured."""
    body = config.of("ltm/policy").get(path)
    if body is None:
        raise Misconfigured(f"there is no policy {path}")
    strategy = text(body, "strategy").rpartition("/")[2] or "first-match"
    if strategy not in {"first-match", "all-match"}:
        raise Misconfigured(f"{path}: strategy {strategy} is not simulated")
    rules = sorted(bodies(body, "rules"), key=lambda rule: number(rule, "ordinal", 0))
    return Policy(tuple(_rule(config, path, rule) for rule in rules), strategy == "all-match")


def _rule(config: Config, path: str, body: Body) -> Rule:
    name = str(body.get("name"))
    try:
        return Rule(
            name,
            tuple(read_condition(each) for each in bodies(body, "conditions")),
            tuple(_action(config, each) for each in bodies(body, "actions")),
        )
    except Misconfigured as problem:
        raise Misconfigured(f"{path}, rule {name}: {problem}") from problem


def _action(config: Config, body: Body) -> Action:
    if unknown := [key for key in _OTHER_EVENTS if body.get(key)]:
        raise Misconfigured(f"an action at {', '.join(unknown)} is not simulated")
    if body.get("forward"):
        return _forward(config, body)
    if body.get("serverSsl") and (body.get("disable") or body.get("enable")):
        return _server_ssl(on=bool(body.get("enable")))
    if body.get("httpReply") and body.get("redirect"):
        return _redirect(text(body, "location"))
    if body.get("shutdown") and body.get("connection"):
        return _reset
    if body.get("httpHeader"):
        return _header(body)
    raise Misconfigured(f"an action with {', '.join(sorted(key for key in body if body[key]))} is not simulated")


def _forward(config: Config, body: Body) -> Action:
    pool = text(body, "pool")
    if body.get("reset"):
        return _reset
    if not pool:
        raise Misconfigured("forwarding to anything but a pool is not simulated")
    if pool not in config.of("ltm/pool"):
        raise Misconfigured(f"there is no pool {pool}")

    def act(_request: Request, verdict: Verdict) -> None:
        verdict.pool = pool

    return act


def _server_ssl(*, on: bool) -> Action:
    def act(_request: Request, verdict: Verdict) -> None:
        verdict.server_ssl = on

    return act


def _reset(_request: Request, verdict: Verdict) -> None:
    verdict.reset = True


def _redirect(location: str) -> Action:
    expression = location.removeprefix("tcl:")
    if location == expression:
        make: Callable[[Request], str] = lambda _request: location  # noqa: E731
    elif expression == _HOST_AND_URI:
        make = lambda request: f"https://{request.host}{request.target}"  # noqa: E731
    elif expression == _NAME_AND_URI:
        make = https_location
    else:
        raise Misconfigured(f"the expression {expression} is not simulated")

    def act(request: Request, verdict: Verdict) -> None:
        verdict.redirect = make(request)

    return act


def https_location(request: Request) -> str:
    """The same URI over HTTPS, the port dropped, as the built-in rule ``_sys_https_redirect`` has it."""
    return f"https://{without_port(request.host)}{request.target}"


def _header(body: Body) -> Action:
    name, value = text(body, "tmName"), str(body.get("value") or "")
    if not name:
        raise Misconfigured("an action on an HTTP header names no header")
    if value.startswith("tcl:"):
        raise Misconfigured(f"the expression {value} is not simulated")
    if any(end in name + value for end in "\r\n"):
        raise Misconfigured("a header is one line")
    if body.get("insert"):
        return lambda request, _verdict: request.insert(name, value)
    if body.get("replace"):
        return lambda request, _verdict: request.replace(name, value)
    if body.get("remove"):
        return lambda request, _verdict: request.remove(name)
    raise Misconfigured("an action on an HTTP header inserts, replaces or removes")
