"""From a recording to a lab that is like it: ``lbsync lab up --from FILE``.

Rule of this file: the lab never sees a recording; it gets facts and options. What it will not be like is told, not dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lbsync.cli.demo import Kind, Proxied
from lbsync.cli.recorded import load_recording
from lbsync.errors import ConfigError
from lbsync.lab.likeness import Likeness
from lbsync.lab.spec import LabSpec

if TYPE_CHECKING:
    from lbsync.facts import BalancerFacts
    from lbsync.lab.configfile import ConfigOptions
    from lbsync.recording import Recording

MOST = 12
"""So many servers of a recording are started unless a number is given."""
_KINDS: dict[str, Kind] = {"haproxy": "haproxy", "nginx": "nginx", "bigip": "bigip"}
_LIMITS = frozenset({"max_unavailable", "drain_timeout_s", "on_drain_timeout", "allow_drift"})
"""Others are as long as real servers need, and a lab does not."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What to start. ``balancer`` and ``proxy`` are ``None`` where the machine decides."""

    spec: LabSpec
    options: ConfigOptions
    balancer: Kind | None
    proxy: Proxied | None
    recorded: Kind | None
    unlike: tuple[str, ...]

    def unlike_with(self, balancer: Kind) -> tuple[str, ...]:
        """What differs, once it is known which balancer stands in front."""
        if balancer == self.recorded:
            return self.unlike
        return (f"the balancer is another one: {balancer}", *self.unlike)


def rebuilt(path: Path, servers: int | None, balancer: Kind | None, proxy: Proxied | None) -> Rebuilt:
    """What a recording makes of a lab; ``servers`` chooses the first so many, ``balancer`` and ``proxy`` another front.

    Raises LbsyncError where the file is no recording, ConfigError for more servers than it has.
    """
    recording = load_recording(path)
    every = recording.facts.servers
    if servers is not None and servers > len(every):
        raise ConfigError(
            f"the recording has {len(every)} server(s), not {servers}",
            where="--servers",
            state="nothing was started",
            remedy="leave it out, or name a smaller number",
        )
    chosen = every[: servers or MOST]
    first = recording.facts.balancers[0] if recording.facts.balancers else None
    kind = _KINDS.get(first.provider) if first is not None else None
    able = recording.capabilities.get(first.balancer) if first is not None else None
    like = Likeness(
        servers=chosen,
        farm=recording.facts.farm,
        taken=recording.taken,
        leaf=recording.desired.leaf,
        provider=first.provider if first is not None else "",
        mrsproxy_host=able.mrsproxy_host if able is not None else None,
    )
    if proxy is None and balancer in {None, "nginx"} and kind == "nginx" and able is not None and able.filters_paths:
        proxy = "http"
    spec = LabSpec(
        servers=len(chosen),
        hosts=recording.desired.hosts,
        likeness=like,
        missing_cmdlets=recording.facts.farm.missing_cmdlets,
    )
    return Rebuilt(
        spec=spec,
        options=_options(recording),
        balancer=balancer or kind,
        proxy=proxy,
        recorded=kind,
        unlike=(*_unlike(recording, len(chosen)), *like.unlike),
    )


def _options(recording: Recording) -> ConfigOptions:
    """The recorded wishes as a configuration."""
    wish = recording.desired
    options: ConfigOptions = {
        "modes": {service.value: mode.value for service, mode in wish.modes.items()},
        "limits": wish.limits.model_dump(mode="json", include=set(_LIMITS)),
        "certificate": {"source": "server", "allow_self_signed": wish.allow_self_signed},
        "tls_names": wish.tls_names,
        "trusted_leg": wish.trusted_leg,
        "exchange": "explicit" if recording.facts.farm.read else "none",
    }
    asked = wish.outlook_anywhere.model_dump(mode="json", exclude_none=True)
    if asked:
        options["outlook_anywhere"] = asked
    return options


def _unlike(recording: Recording, started: int) -> Iterator[str]:
    every, balancers = recording.facts.servers, recording.facts.balancers
    if started < len(every):
        yield f"{started} of {len(every)} servers are here, the first ones; --servers N chooses how many"
    if len(balancers) > 1:
        yield f"one balancer is here, like {balancers[0].balancer}, of {len(balancers)}"
    for balancer in balancers[:1]:
        yield from _unlike_balancer(balancer)
    if recording.desired.leaf is None and recording.desired.leaf_problem:
        yield f"there was no certificate to publish: {recording.desired.leaf_problem}"


def _unlike_balancer(balancer: BalancerFacts) -> Iterator[str]:
    name = balancer.balancer
    yield f"{name} is as lbsync finds one that it never touched, on ports of its own, with the settings of the lab"
    if balancer.published:
        yield f"{name}: what lbsync has there (listeners, modes, certificates) is not here"
    if balancer.marker is not None:
        yield f"{name}: the mark of a run is not here"
    for text in (*balancer.blockers, *balancer.problems):
        yield f"{name}: this is not repeated: {text}"
