"""From a change to steps, each with its way back: publish, switch a certificate, switch modes.

Rule of this room: pure; all it needs is in the facts' ``image``. An action carries file texts, names and fingerprints, never a
key. Every action forward also carries what the administrator's files were when the plan was made, so that a reload of ours never
makes somebody's half-done change live; the way back does not, since it must not be held up by what others did since.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from lbsync.changes import Change, Publish, SwitchCertificate, SwitchMode
from lbsync.errors import UnsupportedMode
from lbsync.facts import BalancerFacts
from lbsync.kit.lowering import BalancerLowering
from lbsync.kit.texts import differences, texts_of
from lbsync.model import Action, Check, Mode, Step
from lbsync.services import SERVICES, Service
from lbsync.target import BalancerSpec
from lbsync_nginx.layout import TEXT_FILES, Files, Layout, main_file
from lbsync_nginx.render import render, structure_of
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import LINKS, NO_LEAF, NginxState, state_of
from lbsync_nginx.version import version_of

_RELOADING = frozenset({"write-files", "switch-certificate", "switch-modes", "switch-sides", "server-state"})


class Lowering(BalancerLowering):
    """Lowers changes for one NGINX."""

    def __init__(self, spec: BalancerSpec, settings: NginxSettings) -> None:
        self._settings = settings
        self._home = Layout.of(settings)
        self._main = main_file(settings)
        traffic = "connection" if settings.proxy == "stream" else "request"
        super().__init__(spec, marker=self._home.marker, traffic=traffic)

    def lower(self, change: Change, seen: BalancerFacts) -> tuple[Step, ...]:
        """See ``Target.lower``. Raises UnsupportedMode; TypeError for a change or for facts that are not this provider's."""
        foreign = seen.image.get("foreign")
        known: dict[str, JsonValue] = {"warnings": seen.image.get("warnings", []), "log": seen.image.get("log")}

        def told(action: Action | None, **more: JsonValue) -> Action | None:
            if action is None or action.verb not in _RELOADING:
                return action
            return action.model_copy(update={"args": {**action.args, **known, **more}})

        return tuple(
            step.model_copy(update={"do": told(step.do, foreign=foreign), "undo": told(step.undo)})
            for step in super().lower(change, seen)
        )

    def publish(self, change: Publish, seen: BalancerFacts) -> tuple[Step, ...]:
        """One step: every file, the link, a reload and its proof."""
        self._refuse_mixed(change.modes)
        before, link = self._image(seen)
        self._refuse_mrsproxy_in_clear(change, before)
        was = next((state for text in before.values() if (state := state_of(text))), None)
        down = tuple(
            name for name in (was.down if was else ()) if name in {member.name for member in self.spec.members}
        )
        link_name = was.link if was else LINKS[0]
        state = NginxState(structure="", leaf=change.leaf, modes=dict(change.modes), down=down, link=link_name)
        wanted = render(self.spec, self._settings, version_of(seen.version), state)
        structure, before_structure = structure_of(wanted), structure_of(before)
        before_leaf = (was.leaf or link) if was else None
        undo_until = [self.check("published", "NGINX runs what it ran before", structure=before_structure)]
        if before_leaf is not None and before_leaf != NO_LEAF and before_structure is not None:
            undo_until.append(self.serving(before_leaf))
        sign: Literal["+", "~"] = "+" if was is None else "~"
        new_link = change.leaf if self._settings.certificate_form == "variable" else None
        return (
            Step(
                id=self.step_id("publish"),
                target=self.spec.name,
                sign=sign,
                summary=f"write our listeners and upstreams into {self._places()}, test them, reload NGINX, prove it",
                details=differences(before, wanted),
                do=self.action("write-files", files={**wanted}, link=new_link),
                undo=self.action("write-files", files={**before}, link=link),
                until=(
                    self.check("published", "NGINX runs our listeners and upstreams", structure=structure),
                    self.serving(change.leaf),
                ),
                undo_until=tuple(undo_until),
            ),
        )

    def switch_certificate(self, change: SwitchCertificate, seen: BalancerFacts) -> tuple[Step, ...]:
        """One step, by a reload or, with certificates by variable, without."""
        del seen
        how = "without a reload" if self._settings.certificate_form == "variable" else "by a reload"
        return (
            Step(
                id=self.step_id("switch-certificate"),
                target=self.spec.name,
                summary=f"serve certificate {change.after[:12]} instead of {change.before[:12]}, {how}",
                do=self.action("switch-certificate", leaf=change.after),
                undo=self.action("switch-certificate", leaf=change.before),
                until=(self.serving(change.after),),
                undo_until=(self.serving(change.before),),
            ),
        )

    def switch_mode(self, change: SwitchMode, seen: BalancerFacts) -> tuple[Step, ...]:
        """One step for all services of the change: one reload."""
        del seen
        self._refuse_mixed(dict.fromkeys(change.services, change.after) | self._others(change))
        names = [service.value for service in change.services]

        def flip(mode: Mode) -> Action:
            return self.action("switch-modes", services=[*names], mode=mode.value)

        def flipped(mode: Mode) -> Check:
            summary = f"NGINX routes {', '.join(names)} in mode {mode}"
            return self.check("mode", summary, services=[*names], mode=mode.value)

        return (
            Step(
                id=self.step_id("switch-mode", "+".join(names), change.after),
                target=self.spec.name,
                summary=f"route {', '.join(names)} in mode {change.after} instead of {change.before}, by one reload",
                do=flip(change.after),
                undo=flip(change.before),
                until=(flipped(change.after),),
                undo_until=(flipped(change.before),),
            ),
        )

    def _others(self, change: SwitchMode) -> dict[Service, Mode]:
        """Services that the change leaves where they are."""
        return {service: change.before for service in self.spec.services if service not in change.services}

    def _refuse_mixed(self, modes: Mapping[Service, Mode]) -> None:
        """A stream listener sees no path: all services that may be offloaded are in one mode."""
        if self._settings.proxy != "stream":
            return
        chosen = {modes.get(service, Mode.BRIDGE) for service in self.spec.services if SERVICES[service].offloadable}
        if len(chosen) > 1:
            raise UnsupportedMode(
                'proxy = "stream" has one mode for all services, since no path is seen',
                where=self.spec.name,
                state="nothing was changed",
                remedy='give all services one mode (where they have several now, bridge them all first), or set proxy = "http" '
                "where clients need no NTLM",
            )

    def _refuse_mrsproxy_in_clear(self, change: Publish, before: Files) -> None:
        """A publish begins in the modes in force: in a stream those of offload would take MRSProxy along, if for a moment."""
        offloads = Mode.OFFLOAD in change.modes.values()
        changes_way = state_of(before.get(self._main)) is None and any(map(state_of, before.values()))
        alone = self._settings.mrsproxy_host is not None or Service.MRSPROXY not in self.spec.services
        if self._settings.proxy == "stream" and offloads and changes_way and not alone:
            raise UnsupportedMode(
                "services are offloaded now, and a stream would take MRSProxy to port 80 with them",
                where=self.spec.name,
                state="nothing was changed",
                remedy='with proxy = "http" bridge every service first; or give MRSProxy a host name of its own (mrsproxy_host)',
            )

    def _places(self) -> str:
        return self._home.directory if self._settings.proxy == "stream" else self._home.http_file

    @staticmethod
    def _image(seen: BalancerFacts) -> tuple[Files, str | None]:
        """Our files and the link as they were seen. Raises TypeError for another provider's facts."""
        link = seen.image.get("link")
        return texts_of(seen.image.get("files"), TEXT_FILES), link if isinstance(link, str) else None
