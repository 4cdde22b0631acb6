"""From a change to steps, each with its way back: what every balancer lowers alike.

Rule of this room: pure; all it needs is in the specification and the facts. An action carries names and fingerprints, never a
key.

A provider derives from ``BalancerLowering``, says how it publishes and switches, and answers these actions and checks:

| action | arguments |
|---|---|
| install-certificate | leaf |
| remove-certificate | leaf, keep_directory |
| server-state | server, state (``drain``, ``ready``), cut_after_s: then wait so long and cut what is left, as cut-sessions does |
| cut-sessions | server, wait_s |
| switch-sides | before, after, old (servers), fresh (servers): see ``lbsync.changes.SwitchSides``; cut_after_s for the old ones |
| mark, unmark | marker |

| check | arguments |
|---|---|
| serving | leaf |
| drained | server |
| member-up | server, services (a list, or null for all) |
| pool-up | service, mode; min: so many servers, else one; server: this one of them. Pools that get no requests are asked, too |
| certificate-gone | leaf |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from lbsync.changes import (
    Change,
    Drain,
    EnableCertificate,
    ImportCertificate,
    InstallCertificate,
    Mark,
    Publish,
    RemoveCertificate,
    RequireSsl,
    SetOutlookAnywhere,
    SwitchCertificate,
    SwitchMode,
    SwitchSides,
    Undrain,
    UninstallCertificate,
)
from lbsync.errors import UnsupportedMode
from lbsync.facts import BalancerFacts
from lbsync.model import Action, Check, Mode, Step, StepId
from lbsync.services import SERVICES, Service
from lbsync.target import BalancerSpec

_UP_WITHIN_S = 60.0


class BalancerLowering(ABC):
    """Lowers changes for one balancer.

    ``marker`` is the path of its run marker; ``traffic`` is what one drained server still has, in the singular: a request, or a
    connection where the balancer sees no requests; ``place`` is where certificates are put. ``image["certs_directory"]`` of the
    facts says whether the certificate folder is there.
    """

    def __init__(
        self, spec: BalancerSpec, *, marker: str, traffic: str = "request", place: str = "into the certificate folder"
    ) -> None:
        self.spec = spec
        self._place = place
        self._marker = marker
        self._traffic = traffic

    @abstractmethod
    def publish(self, change: Publish, seen: BalancerFacts) -> tuple[Step, ...]:
        """Listeners and pools. Every service's mode was found to be possible. Raises UnsupportedMode."""

    @abstractmethod
    def switch_certificate(self, change: SwitchCertificate, seen: BalancerFacts) -> tuple[Step, ...]:
        """Serve an installed certificate."""

    @abstractmethod
    def switch_mode(self, change: SwitchMode, seen: BalancerFacts) -> tuple[Step, ...]:
        """Route services to their other pool. Each is published and may go there. Raises UnsupportedMode."""

    def lower(self, change: Change, seen: BalancerFacts) -> tuple[Step, ...]:
        """See ``Target.lower``. Raises UnsupportedMode; TypeError for a change that is no balancer's."""
        match change:
            case InstallCertificate() | UninstallCertificate():
                steps = self._certificate(change, seen)
            case Publish():
                self._refuse_impossible(self.spec.services, change.modes)
                steps = self.publish(change, seen)
            case SwitchCertificate():
                steps = self.switch_certificate(change, seen)
            case SwitchMode():
                self._refuse_impossible(change.services, dict.fromkeys(change.services, change.after))
                steps = self.switch_mode(change, seen)
            case SwitchSides():
                steps = self._switch_sides(change)
            case Drain():
                steps = self._drain(change)
            case Undrain():
                steps = self._undrain(change, seen)
            case Mark():
                steps = self._mark(change, seen)
            case RequireSsl() | SetOutlookAnywhere() | ImportCertificate() | EnableCertificate() | RemoveCertificate():
                raise TypeError(f"{change.kind} is no change of a balancer")
        return steps

    def action(self, verb: str, **args: JsonValue) -> Action:
        """An action on this balancer."""
        return Action(target=self.spec.name, verb=verb, args=args)

    def check(self, verb: str, summary: str, deadline_s: float = _UP_WITHIN_S, **args: JsonValue) -> Check:
        """A check that this balancer answers."""
        return Check(target=self.spec.name, verb=verb, args=args, summary=summary, deadline_s=deadline_s)

    def step_id(self, *parts: str) -> StepId:
        """The id of a step of this balancer."""
        return StepId(":".join((self.spec.name, *parts)))

    def serving(self, leaf: str) -> Check:
        """The check that the listener serves a leaf."""
        return self.check("serving", f"the listener serves certificate {leaf[:12]}", leaf=leaf)

    def _certificate(self, change: InstallCertificate | UninstallCertificate, seen: BalancerFacts) -> tuple[Step, ...]:
        return self._install(change, seen) if isinstance(change, InstallCertificate) else self._uninstall(change, seen)

    def _install(self, change: InstallCertificate, seen: BalancerFacts) -> tuple[Step, ...]:
        if change.leaf in seen.installed:
            return ()
        keep = bool(seen.image.get("certs_directory"))
        return (
            Step(
                id=self.step_id("install-certificate", change.leaf[:12]),
                target=self.spec.name,
                sign="+",
                summary=f"put certificate {change.leaf[:12]} {self._place}; nothing serves it yet",
                do=self.action("install-certificate", leaf=change.leaf),
                undo=self.action("remove-certificate", leaf=change.leaf, keep_directory=keep),
            ),
        )

    def _uninstall(self, change: UninstallCertificate, seen: BalancerFacts) -> tuple[Step, ...]:
        if change.leaf not in seen.installed:
            return ()
        return (
            Step(
                id=self.step_id("remove-certificate", change.leaf[:12]),
                target=self.spec.name,
                sign="-",
                summary=f"remove certificate {change.leaf[:12]} with its key, which it does not serve",
                details=("for good: there is no way back from this step",),
                do=self.action("remove-certificate", leaf=change.leaf, keep_directory=True),
                until=(self.check("certificate-gone", f"{change.leaf[:12]} and its key are gone", leaf=change.leaf),),
            ),
        )

    def _drain(self, change: Drain) -> tuple[Step, ...]:
        drain = Step(
            id=self.step_id("drain", change.server),
            target=self.spec.name,
            summary=f"send nothing new to {change.server}",
            do=self.action("server-state", server=change.server, state="drain"),
            undo=self.action("server-state", server=change.server, state="ready"),
            until=(self._drained(change.server, change.timeout_s),) if change.on_timeout == "stop" else (),
            undo_until=(self._back(change.server, None),),
        )
        if change.on_timeout == "stop":
            return (drain,)
        return (drain, self._cut(change.server, change.timeout_s, after=drain.id))

    def _cut(self, server: str, timeout_s: float, after: StepId) -> Step:
        """Waiting is part of the effect: a check cannot be told to pass because time is over."""
        what, wait = f"the {self._traffic}s at {server}", f"{timeout_s:g} s"
        return Step(
            id=self.step_id("cut", server),
            target=self.spec.name,
            summary=f"wait up to {wait} for {what}, then cut what is left",
            after=(after,),
            do=self.action("cut-sessions", server=server, wait_s=timeout_s),
            until=(self._drained(server, _UP_WITHIN_S),),
        )

    def _switch_sides(self, change: SwitchSides) -> tuple[Step, ...]:
        old, fresh = ", ".join(change.old), ", ".join(change.fresh)
        # Going back, the servers change next under whatever is left at them: it must have ended, or is cut in the same step.
        cut = change.on_timeout == "cut"
        more: dict[str, JsonValue] = {"cut_after_s": change.timeout_s} if cut else {}
        patience_s = _UP_WITHIN_S if cut else change.timeout_s
        switch = Step(
            id=self.step_id("switch-sides", change.after[:12]),
            target=self.spec.name,
            summary=f"serve certificate {change.after[:12]}, and send what is new to {fresh}, in one moment",
            details=(
                f"~ certificate: {change.before[:12]} → {change.after[:12]}",
                f"~ new connections: {old} → {fresh}",
                f"connections opened under {change.before[:12]} stay with {old} until they end",
            ),
            do=self._sides(change.before, change.after, change.old, change.fresh),
            undo=self._sides(change.after, change.before, change.fresh, change.old, **more),
            until=(self.serving(change.after), *(self._back(server, None) for server in change.fresh)),
            undo_until=(
                self.serving(change.before),
                *(self._back(server, None) for server in change.old),
                *(self._drained(server, patience_s) for server in change.fresh),
            ),
        )
        if cut:
            return (switch, *(self._cut(server, change.timeout_s, after=switch.id) for server in change.old))
        gone = tuple(self._drained(server, change.timeout_s) for server in change.old)
        wait = Step(
            id=self.step_id("old-side-left", change.after[:12]),
            target=self.spec.name,
            sign="?",
            summary=f"wait up to {change.timeout_s:g} s until no {self._traffic} is at {old}",
            after=(switch.id,),
            until=gone,
        )
        return (switch, wait)

    def _sides(self, before: str, after: str, old: Iterable[str], fresh: Iterable[str], **more: JsonValue) -> Action:
        return self.action("switch-sides", before=before, after=after, old=[*old], fresh=[*fresh], **more)

    def _undrain(self, change: Undrain, seen: BalancerFacts) -> tuple[Step, ...]:
        # Going back is a drain, whole in one step: what is left is cut there too, before Require SSL changes under it.
        cut = change.on_timeout == "cut"
        more: dict[str, JsonValue] = {"cut_after_s": change.timeout_s} if cut else {}
        return (
            Step(
                id=self.step_id("undrain", change.server),
                target=self.spec.name,
                summary=f"let {self._traffic}s to {change.server} again",
                do=self.action("server-state", server=change.server, state="ready"),
                undo=self.action("server-state", server=change.server, state="drain", **more),
                until=(self._back(change.server, _healthy_before(seen, change.server)),),
                undo_until=(self._drained(change.server, _UP_WITHIN_S if cut else change.timeout_s),),
            ),
        )

    def _drained(self, server: str, timeout_s: float) -> Check:
        summary = f"no {self._traffic} is at {server} any more"
        return self.check("drained", summary, max(timeout_s, 1.0), server=server)

    def _back(self, server: str, services: list[JsonValue] | None) -> Check:
        return self.check("member-up", f"{server} is up and takes requests", server=server, services=services)

    def _mark(self, change: Mark, seen: BalancerFacts) -> tuple[Step, ...]:
        # A marker found before was left by another run; putting it back is not ours to do.
        on, off = self.action("mark", marker=change.marker), self.action("unmark", marker=change.marker)
        return (
            Step(
                id=self.step_id("mark" if change.present else "unmark"),
                target=self.spec.name,
                sign="+" if change.present else "-",
                summary=f"{'leave' if change.present else 'remove'} the run marker {self._marker}",
                details=(f"there is one already: {seen.marker}",) if seen.marker and change.present else (),
                do=on if change.present else off,
                undo=off if change.present else on,
            ),
        )

    def _refuse_impossible(self, services: Iterable[Service], modes: Mapping[Service, Mode]) -> None:
        for service in services:
            if modes.get(service) is Mode.OFFLOAD and not SERVICES[service].offloadable:
                raise UnsupportedMode(
                    f"{service} cannot be offloaded: Exchange answers it over TLS only",
                    where=self.spec.name,
                    state="nothing was changed",
                    remedy=f"leave {service} in mode bridge",
                )
            if service not in self.spec.services:
                raise UnsupportedMode(
                    f"{service} is not published by this balancer",
                    where=self.spec.name,
                    state="nothing was changed",
                    remedy="publish it first",
                )


def _healthy_before(seen: BalancerFacts, server: str) -> list[JsonValue] | None:
    """Services whose live pool had the server up; ``None`` (all of them) where nothing was published yet."""
    if not seen.published:
        return None
    return [
        service.value
        for service, mode in seen.modes.items()
        if any(m.up and (m.server, m.service, m.mode) == (server, service, mode) for m in seen.live.members)
    ]
