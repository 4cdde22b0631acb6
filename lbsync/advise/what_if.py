"""Suppose something were otherwise: KEY=VALUE in words, and the farm as it would be then.

Rule of this room: pure; what is supposed is said by the operator and never mixed with what was seen before it is asked for.
Every key and value stands in the tables here, and whatever is in none of them is refused with the list of those known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from lbsync.desired import Desired, FactSet
from lbsync.errors import ConfigError
from lbsync.facts import BalancerFacts, OAuthFacts, ServerFacts, TokenChecking, VdirFacts
from lbsync.services import SERVICES
from lbsync.target import Capabilities


@dataclass(frozen=True, slots=True)
class Form:
    """A balancer as it might be: its provider, and the settings that make this form of it; all others are defaults."""

    provider: str
    settings: Mapping[str, JsonValue]


# An address reserved for documentation: a provider opens nothing before it is asked about its device, and this one never is.
_BIGIP: Final[Mapping[str, JsonValue]] = {
    "hosts": ["192.0.2.1"],
    "user": "-",
    "password": "-",
    "bind_address": "192.0.2.1",
}

FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "haproxy": Form("haproxy", {}),
        "nginx": Form("nginx", {}),
        "nginx-http": Form("nginx", {"proxy": "http"}),
        "nginx-stream": Form("nginx", {"proxy": "stream"}),
        "bigip": Form("bigip", _BIGIP),
    }
)
"""The balancers that may be supposed, by the word for each."""

VERSIONS: Final[Mapping[str, tuple[str, bool]]] = MappingProxyType(
    {
        "2013": ("15.0.1497.2", False),
        "2016": ("15.1.2507.6", False),
        "2019": ("15.2.1258.12", False),
        "2019CU14": ("15.2.1544.4", True),
        "SE": ("15.2.2562.17", True),
    }
)
"""Build, and whether its set-up turns Extended Protection on (unless /DoNotEnableEP): the last cumulative update of 2013 and
2016 (both CU23), CU13 and CU14 of 2019, the first of Subscription Edition.

Source: Microsoft, Exchange Server build numbers; Configure Windows Extended Protection in Exchange Server.
"""

_ON_OFF: Final = ("on", "off")
_TRUE_FALSE: Final = ("true", "false")
KEYS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ep": _ON_OFF,
        "version": tuple(VERSIONS),
        "balancer": tuple(FORMS),
        "mrsproxy": _ON_OFF,
        "oauth": _ON_OFF,
        "trusted_leg": _TRUE_FALSE,
        "encrypt_inside": _TRUE_FALSE,
    }
)
"""What may be supposed, and the values each key takes."""


def supposition(words: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` words as a mapping, each key and value known. Raises ConfigError for any other, and for a key given twice."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in KEYS:
            raise _refused(word, f"nothing is known by {key!r}" if equals else "this is not KEY=VALUE", _all_keys())
        if value not in KEYS[key]:
            raise _refused(word, f"{key} cannot be {value!r}", f"give one of: {', '.join(KEYS[key])}")
        if key in found:
            raise _refused(word, f"{key} is given twice", "give each key once")
        found[key] = value
    return found


def _all_keys() -> str:
    return "give one of: " + "; ".join(f"{key}={'|'.join(values)}" for key, values in KEYS.items())


def _refused(word: str, message: str, remedy: str) -> ConfigError:
    return ConfigError(message, where=f"--if {word}", state="nothing was read and nothing was changed", remedy=remedy)


def implied(supposed: Mapping[str, str]) -> dict[str, str]:
    """What follows from a supposition without being in it: a version whose set-up turns Extended Protection on."""
    version = supposed.get("version")
    if version is not None and VERSIONS[version][1] and "ep" not in supposed:
        return {"ep": "on"}
    return {}


def suppose(
    supposed: Mapping[str, str],
    desired: Desired,
    facts: FactSet,
    capabilities: Mapping[str, Capabilities],
    form: Capabilities | None = None,
) -> tuple[Desired, FactSet, dict[str, Capabilities]]:
    """The same wish, facts and capabilities with what is supposed, and what that implies, in their place.

    ``form`` is what the balancer of ``supposed["balancer"]`` can do: each configured one becomes such a one with nothing on
    it yet, and where none is configured there is one, named after its form.
    """
    said = {**supposed, **implied(supposed)}
    if "trusted_leg" in said:
        desired = desired.model_copy(update={"trusted_leg": said["trusted_leg"] == "true"})
    if "encrypt_inside" in said:
        policy = desired.policy.model_copy(update={"encrypt_inside": said["encrypt_inside"] == "true"})
        desired = desired.model_copy(update={"policy": policy})
    servers = tuple(_server(server, said) for server in facts.servers)
    farm = facts.farm
    if "mrsproxy" in said:
        enabled = {server.server: said["mrsproxy"] == "on" for server in servers}
        farm = farm.model_copy(update={"mrsproxy_enabled": enabled})
    if "oauth" in said:
        oauth = OAuthFacts(oauth2_client_profile_enabled=said["oauth"] == "on")
        farm = farm.model_copy(update={"oauth": oauth})
    balancers, able = facts.balancers, dict(capabilities)
    if form is not None:
        names = tuple(balancer.balancer for balancer in balancers) or (said["balancer"],)
        provider = FORMS[said["balancer"]].provider
        balancers = tuple(BalancerFacts(balancer=name, provider=provider) for name in names)
        able = dict.fromkeys(names, form)
    return desired, FactSet(servers=servers, farm=farm, balancers=balancers), able


def _server(server: ServerFacts, said: Mapping[str, str]) -> ServerFacts:
    """One server as it would be. Off is off everywhere; on is what Microsoft's script sets where a service is published."""
    if "version" in said:
        build = VERSIONS[said["version"]][0]
        server = server.model_copy(update={"version": build, "build": build})
    if "ep" not in said:
        return server
    vdirs = tuple(
        vdir.model_copy(update={"token_checking": _checking(vdir, on=said["ep"] == "on")}) for vdir in server.vdirs
    )
    return server.model_copy(update={"vdirs": vdirs})


def _checking(vdir: VdirFacts, *, on: bool) -> TokenChecking:
    if not on:
        return TokenChecking.NONE
    return TokenChecking(SERVICES[vdir.services[0]].extended_protection) if vdir.services else vdir.token_checking
