"""The front end's virtual directories: our reading of the configuration joined with what IIS itself answers.

Rule of this room: pure; where the two disagree IIS is right (a web.config may say more than applicationHost.config), and
the disagreement is told as a problem.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from lbsync.errors import Rejected
from lbsync.exchange.answers import Effective, Redirect, Rewrite
from lbsync.exchange.iis import IisConfig, normal_flags, same_flags
from lbsync.facts import TokenChecking, VdirFacts
from lbsync.services import FRONT_END_SITE, SERVICES, Service

ACTIVESYNC_PROXY = f"{SERVICES[Service.ACTIVESYNC].location}/Proxy"
"""No application of its own, but a location with Extended Protection of its own."""

# tokenChecking as IIS keeps it, where a cmdlet answers the number instead of the name.
_TOKEN_NUMBERS = {"0": "None", "1": "Allow", "2": "Require"}


def _carried() -> Mapping[str, tuple[Service, ...]]:
    carried: dict[str, tuple[Service, ...]] = {}
    for spec in SERVICES.values():
        carried[spec.location.lower()] = (*carried.get(spec.location.lower(), ()), spec.service)
    return MappingProxyType(carried)


_CARRIED = _carried()
_CANONICAL = MappingProxyType({spec.location.lower(): spec.location for spec in SERVICES.values()})


def front_end(
    config: IisConfig,
    effective: Iterable[Effective],
    redirects: Iterable[Redirect] = (),
    rewrites: Iterable[Rewrite] = (),
) -> tuple[tuple[VdirFacts, ...], tuple[str, ...]]:
    """Every application of the front-end site, its root and ActiveSync/Proxy; and the problems met, in plain words.

    Raises Rejected ``bad_token_checking`` for a value IIS does not know.
    """
    answered = {item.location.lower(): item for item in effective}
    sent = {item.location.lower(): item.destination for item in redirects}
    rules: defaultdict[str, list[str]] = defaultdict(list)
    for rule in rewrites:
        rules[rule.location.lower()].append(rule.name)
    problems: list[str] = []
    found: list[VdirFacts] = []
    for key, location in _locations(config, answered).items():
        flags, token, differing = _judged(config, location, answered.get(key))
        problems += differing
        found.append(
            VdirFacts(
                location=location,
                services=_CARRIED.get(key, ()),
                own_ssl_flags=config.own_flags(location),
                ssl_flags=flags,
                token_checking=token,
                authentication=config.methods(location),
                providers=config.providers(location),
                pool=config.pool(location),
                redirect=sent.get(key) or config.redirect(location),
                rewrite_rules=tuple(rules[key]) if key in rules else (),
            )
        )
    return tuple(found), tuple(problems)


def token_checking(text: str) -> TokenChecking:
    """Extended Protection from IIS' word (any case) or number. Raises Rejected ``bad_token_checking``."""
    word = _TOKEN_NUMBERS.get(text.strip(), text.strip()).lower()
    for value in TokenChecking:
        if value.value.lower() == word:
            return value
    raise Rejected(f"tokenChecking {text!r} is unknown; expected None, Allow or Require.", code="bad_token_checking")


def _locations(config: IisConfig, answered: Mapping[str, Effective]) -> dict[str, str]:
    """Lower-case location to its spelling: services in the order of their table, then the others by name."""
    site = FRONT_END_SITE.lower()
    keys = {key for key in config.pools if key == site or key.startswith(f"{site}/")}
    proxy = ACTIVESYNC_PROXY.lower()
    if proxy in config.sections or proxy in answered:
        keys.add(proxy)
    keys.update(key for key in answered if key in _CANONICAL)
    order = [site, *_CANONICAL, proxy]
    ordered = [key for key in order if key in keys] + sorted(keys.difference(order))
    spelling = {site: FRONT_END_SITE, proxy: ACTIVESYNC_PROXY, **_CANONICAL}
    return {key: spelling.get(key) or config.spelling.get(key, key) for key in ordered}


def _judged(config: IisConfig, location: str, answer: Effective | None) -> tuple[str, TokenChecking, list[str]]:
    flags, token = config.flags(location), token_checking(config.token_checking(location))
    if answer is None:
        return flags, token, []
    problems: list[str] = []
    if not same_flags(flags, answer.ssl_flags):
        told = normal_flags(answer.ssl_flags)
        problems.append(
            f"{location}: IIS answers sslFlags {told}, applicationHost.config gives {flags}; IIS is believed. "
            "Look for a web.config, or a location written twice."
        )
        flags = told
    if token is not (told_token := token_checking(answer.token_checking or "None")):
        problems.append(
            f"{location}: IIS answers tokenChecking {told_token.value}, applicationHost.config gives {token.value}; "
            "IIS is believed. Look for a web.config, or a location written twice."
        )
        token = told_token
    return flags, token, problems
