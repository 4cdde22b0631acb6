"""What HAProxy lowers in its own way: files and a reload for the structure, certificate and modes live.

Rule of this room: pure; all it needs is in the facts' ``image``. An action carries file texts, names and fingerprints, never a
key.
"""

from __future__ import annotations

from typing import Literal

from lbsync.changes import Publish, SwitchCertificate, SwitchMode
from lbsync.facts import BalancerFacts
from lbsync.kit.lowering import BalancerLowering
from lbsync.kit.texts import differences, texts_of
from lbsync.model import Action, Check, Mode, Step
from lbsync.services import Service
from lbsync.target import BalancerSpec
from lbsync_haproxy import layout
from lbsync_haproxy.render import render, structure_of
from lbsync_haproxy.settings import HaproxySettings


class Lowering(BalancerLowering):
    """Lowers changes for one HAProxy."""

    def __init__(self, spec: BalancerSpec, settings: HaproxySettings) -> None:
        super().__init__(spec, marker=layout.Layout(settings.directory).marker)
        self._settings = settings

    def publish(self, change: Publish, seen: BalancerFacts) -> tuple[Step, ...]:
        """Files and live link in one step. Raises TypeError for another provider's facts."""
        wanted = render(self.spec, self._settings, change.modes)
        before, image_live = texts_of(seen.image.get("files"), layout.TEXT_FILES), seen.image.get("live")
        live = image_live if isinstance(image_live, str) else None
        structure, before_structure = structure_of(wanted), structure_of(before)
        undo_until = [self.check("published", "HAProxy runs what it ran before", structure=before_structure)]
        if live is not None and before_structure is not None:
            undo_until.append(self.serving(live))
        sign: Literal["+", "~"] = "~" if before[layout.CFG] is not None else "+"
        return (
            Step(
                id=self.step_id("publish"),
                target=self.spec.name,
                sign=sign,
                summary=f"write our listeners and pools into {self._settings.directory}, check them, reload HAProxy",
                details=differences(before, wanted),
                do=self.action("write-files", files={**wanted}, live=change.leaf, structure=structure),
                undo=self.action("write-files", files={**before}, live=live, structure=before_structure),
                until=(
                    self.check("published", "HAProxy runs our listeners and pools", structure=structure),
                    self.serving(change.leaf),
                ),
                undo_until=tuple(undo_until),
            ),
        )

    def switch_certificate(self, change: SwitchCertificate, seen: BalancerFacts) -> tuple[Step, ...]:  # noqa: ARG002 -- the kit's signature
        """Live, over the socket."""
        return (
            Step(
                id=self.step_id("switch-certificate"),
                target=self.spec.name,
                summary=f"serve certificate {change.after[:12]} instead of {change.before[:12]}, live",
                do=self.action("switch-certificate", leaf=change.after),
                undo=self.action("switch-certificate", leaf=change.before),
                until=(self.serving(change.after),),
                undo_until=(self.serving(change.before),),
            ),
        )

    def switch_mode(self, change: SwitchMode, seen: BalancerFacts) -> tuple[Step, ...]:  # noqa: ARG002 -- the kit's signature
        """Live, one service at a time."""
        return tuple(self._flip(service, change.before, change.after) for service in change.services)

    def _flip(self, service: Service, before: Mode, after: Mode) -> Step:
        def flip(mode: Mode) -> Action:
            return self.action("switch-mode", service=service.value, mode=mode.value)

        def flipped(mode: Mode) -> Check:
            summary = f"{service} goes to its {mode} pool, in memory and on disk"
            return self.check("mode", summary, service=service.value, mode=mode.value)

        return Step(
            id=self.step_id("switch-mode", service, after),
            target=self.spec.name,
            summary=f"route {service} to its {after} pool instead of {before}, live",
            do=flip(after),
            undo=flip(before),
            until=(flipped(after),),
            undo_until=(flipped(before),),
        )
