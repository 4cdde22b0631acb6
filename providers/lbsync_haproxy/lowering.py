"""From a change to steps, each with its way back.

Rule of this room: pure; all it needs is in the facts' ``image``. An action carries file texts, names and fingerprints, never a
key.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from lbsync.changes import (
    Change,
    Drain,
    EnableCertificate,
    ImportCertificate,
    InstallCertificate,
    Mark,
    Publish,
    RequireSsl,
    SetOutlookAnywhere,
    SwitchCertificate,
    SwitchMode,
    Undrain,
)
from lbsync.errors import UnsupportedMode
from lbsync.facts import BalancerFacts
from lbsync.model import Action, Check, Mode, Step, StepId
from lbsync.services import SERVICES, Service
from lbsync.target import BalancerSpec
from lbsync_haproxy import layout
from lbsync_haproxy.layout import body_of
from lbsync_haproxy.render import render, structure_of
from lbsync_haproxy.settings import HaproxySettings

_DIFF_LINES = 40
_UP_WITHIN_S = 60.0


class Lowering:
    """Lowers changes for one balancer."""

    def __init__(self, spec: BalancerSpec, settings: HaproxySettings) -> None:
        self._spec = spec
        self._settings = settings

    def lower(self, change: Change, seen: BalancerFacts) -> tuple[Step, ...]:
        """See ``Target.lower``. Raises UnsupportedMode; TypeError for a change that is no balancer's."""
        match change:
            case InstallCertificate():
                steps = self._install(change, seen)
            case Publish():
                steps = self._publish(change, seen)
            case SwitchCertificate():
                steps = self._switch_certificate(change)
            case SwitchMode():
                steps = self._switch_mode(change)
            case Drain():
                steps = self._drain(change)
            case Undrain():
                steps = self._undrain(change, seen)
            case Mark():
                steps = self._mark(change, seen)
            case RequireSsl() | SetOutlookAnywhere() | ImportCertificate() | EnableCertificate():
                raise TypeError(f"{change.kind} is no change of a balancer")
        return steps

    def _action(self, verb: str, **args: JsonValue) -> Action:
        return Action(target=self._spec.name, verb=verb, args=args)

    def _check(self, verb: str, summary: str, deadline_s: float = _UP_WITHIN_S, **args: JsonValue) -> Check:
        return Check(target=self._spec.name, verb=verb, args=args, summary=summary, deadline_s=deadline_s)

    def _id(self, *parts: str) -> StepId:
        return StepId(":".join((self._spec.name, *parts)))

    def _install(self, change: InstallCertificate, seen: BalancerFacts) -> tuple[Step, ...]:
        if change.leaf in seen.installed:
            return ()
        keep = bool(seen.image.get("certs_directory"))
        return (
            Step(
                id=self._id("install-certificate", change.leaf[:12]),
                target=self._spec.name,
                sign="+",
                summary=f"put certificate {change.leaf[:12]} into the certificate folder; nothing serves it yet",
                do=self._action("install-certificate", leaf=change.leaf),
                undo=self._action("remove-certificate", leaf=change.leaf, keep_directory=keep),
            ),
        )

    def _publish(self, change: Publish, seen: BalancerFacts) -> tuple[Step, ...]:
        for service in self._spec.services:
            self._refuse_unsupported(service, change.modes.get(service, Mode.BRIDGE))
        wanted = render(self._spec, self._settings, change.modes)
        before, live = _image(seen)
        structure, before_structure = structure_of(wanted), structure_of(before)
        undo_until = [self._check("published", "HAProxy runs what it ran before", structure=before_structure)]
        if live is not None and before_structure is not None:
            undo_until.append(self._serving(live))
        sign: Literal["+", "~"] = "~" if before[layout.CFG] is not None else "+"
        return (
            Step(
                id=self._id("publish"),
                target=self._spec.name,
                sign=sign,
                summary=f"write our listeners and pools into {self._settings.directory}, check them, reload HAProxy",
                details=_details(before, wanted),
                do=self._action("write-files", files={**wanted}, live=change.leaf, structure=structure),
                undo=self._action("write-files", files={**before}, live=live, structure=before_structure),
                until=(
                    self._check("published", "HAProxy runs our listeners and pools", structure=structure),
                    self._serving(change.leaf),
                ),
                undo_until=tuple(undo_until),
            ),
        )

    def _serving(self, leaf: str) -> Check:
        return self._check("serving", f"the listener serves certificate {leaf[:12]}", leaf=leaf)

    def _switch_certificate(self, change: SwitchCertificate) -> tuple[Step, ...]:
        return (
            Step(
                id=self._id("switch-certificate"),
                target=self._spec.name,
                summary=f"serve certificate {change.after[:12]} instead of {change.before[:12]}, live",
                do=self._action("switch-certificate", leaf=change.after),
                undo=self._action("switch-certificate", leaf=change.before),
                until=(self._serving(change.after),),
                undo_until=(self._serving(change.before),),
            ),
        )

    def _switch_mode(self, change: SwitchMode) -> tuple[Step, ...]:
        for service in change.services:
            self._refuse_unsupported(service, change.after)
            if service not in self._spec.services:
                raise UnsupportedMode(
                    f"{service} is not published by this balancer",
                    where=self._spec.name,
                    state="nothing was changed",
                    remedy="publish it first",
                )
        return tuple(self._flip(service, change.before, change.after) for service in change.services)

    def _flip(self, service: Service, before: Mode, after: Mode) -> Step:
        def flip(mode: Mode) -> Action:
            return self._action("switch-mode", service=service.value, mode=mode.value)

        def flipped(mode: Mode) -> Check:
            summary = f"{service} goes to its {mode} pool, in memory and on disk"
            return self._check("mode", summary, service=service.value, mode=mode.value)

        return Step(
            id=self._id("switch-mode", service, after),
            target=self._spec.name,
            summary=f"route {service} to its {after} pool instead of {before}, live",
            do=flip(after),
            undo=flip(before),
            until=(flipped(after),),
            undo_until=(flipped(before),),
        )

    def _drain(self, change: Drain) -> tuple[Step, ...]:
        drain = Step(
            id=self._id("drain", change.server),
            target=self._spec.name,
            summary=f"send nothing new to {change.server}",
            do=self._action("server-state", server=change.server, state="drain"),
            undo=self._action("server-state", server=change.server, state="ready"),
            until=(self._drained(change.server, change.timeout_s),) if change.on_timeout == "stop" else (),
            undo_until=(self._back(change.server, None),),
        )
        if change.on_timeout == "stop":
            return (drain,)
        # Waiting is part of the effect: a check cannot be told to pass because time is over.
        cut = Step(
            id=self._id("cut", change.server),
            target=self._spec.name,
            summary=f"wait up to {change.timeout_s:g} s for the requests at {change.server}, then cut what is left",
            after=(drain.id,),
            do=self._action("cut-sessions", server=change.server, wait_s=change.timeout_s),
            until=(self._drained(change.server, _UP_WITHIN_S),),
        )
        return (drain, cut)

    def _undrain(self, change: Undrain, seen: BalancerFacts) -> tuple[Step, ...]:
        undo_until = (self._drained(change.server, change.timeout_s),) if change.on_timeout == "stop" else ()
        return (
            Step(
                id=self._id("undrain", change.server),
                target=self._spec.name,
                summary=f"let requests to {change.server} again",
                do=self._action("server-state", server=change.server, state="ready"),
                undo=self._action("server-state", server=change.server, state="drain"),
                until=(self._back(change.server, _healthy_before(seen, change.server)),),
                undo_until=undo_until,
            ),
        )

    def _drained(self, server: str, timeout_s: float) -> Check:
        return self._check("drained", f"no request is at {server} any more", max(timeout_s, 1.0), server=server)

    def _back(self, server: str, services: list[JsonValue] | None) -> Check:
        return self._check("member-up", f"{server} is up and takes requests", server=server, services=services)

    def _mark(self, change: Mark, seen: BalancerFacts) -> tuple[Step, ...]:
        # A marker found before was left by another run; putting it back is not ours to do.
        on, off = self._action("mark", marker=change.marker), self._action("unmark", marker=change.marker)
        path = layout.Layout(self._settings.directory).marker
        return (
            Step(
                id=self._id("mark" if change.present else "unmark"),
                target=self._spec.name,
                sign="+" if change.present else "-",
                summary=f"{'leave' if change.present else 'remove'} the run marker {path}",
                details=(f"there is one already: {seen.marker}",) if seen.marker and change.present else (),
                do=on if change.present else off,
                undo=off if change.present else on,
            ),
        )

    def _refuse_unsupported(self, service: Service, mode: Mode) -> None:
        if mode is Mode.OFFLOAD and not SERVICES[service].offloadable:
            raise UnsupportedMode(
                f"{service} cannot be offloaded: Exchange answers it over TLS only",
                where=self._spec.name,
                state="nothing was changed",
                remedy=f"leave {service} in mode bridge",
            )


def _image(seen: BalancerFacts) -> tuple[dict[str, str | None], str | None]:
    """The text files and the live leaf as they were seen. Raises TypeError for another provider's facts."""
    files, live = seen.image.get("files"), seen.image.get("live")
    if not isinstance(files, Mapping):
        raise TypeError("these facts were not read by the HAProxy provider")
    texts = {name: text if isinstance(text := files.get(name), str) else None for name in layout.TEXT_FILES}
    return texts, live if isinstance(live, str) else None


def _healthy_before(seen: BalancerFacts, server: str) -> list[JsonValue] | None:
    """Services whose live pool had the server up; ``None`` (all of them) where nothing was published yet."""
    if not seen.published:
        return None
    return [
        service.value
        for service, mode in seen.modes.items()
        if any(m.up and (m.server, m.service, m.mode) == (server, service, mode) for m in seen.live.members)
    ]


def _details(before: Mapping[str, str | None], after: Mapping[str, str]) -> tuple[str, ...]:
    lines: list[str] = []
    for name in layout.TEXT_FILES:
        old, new = before.get(name), after[name]
        if old is None:
            lines.append(f"+ {name} ({len(body_of(new).splitlines())} lines)")
        elif body_of(old) != body_of(new):
            diff = difflib.unified_diff(body_of(old).splitlines(), body_of(new).splitlines(), name, name, "", "", 0, "")
            lines += list(diff)
    if len(lines) > _DIFF_LINES:
        return (*lines[:_DIFF_LINES], f"… and {len(lines) - _DIFF_LINES} lines more")
    return tuple(lines)
