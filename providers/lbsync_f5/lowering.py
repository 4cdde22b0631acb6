"""What a BIG-IP lowers in its own way: objects in transactions, certificate and modes by one change of one object.

Rule of this room: pure; all it needs is in the facts' ``image``. An action carries objects, names and fingerprints, never a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import JsonValue

from lbsync.changes import Change, Drain, Publish, SwitchCertificate, SwitchMode, SwitchSides
from lbsync.errors import UnsupportedMode
from lbsync.facts import BalancerFacts
from lbsync.kit.lowering import BalancerLowering
from lbsync.model import Action, Check, Mode, Step
from lbsync.services import SERVICES, Service
from lbsync.target import BalancerSpec
from lbsync_f5.abilities import capabilities
from lbsync_f5.judge import structure_by_marks
from lbsync_f5.policy import one_mode
from lbsync_f5.render import names_of, render
from lbsync_f5.settings import F5Settings
from lbsync_f5.things import Thing, alike, structure_of, things_of


class Lowering(BalancerLowering):
    """Lowers changes for one BIG-IP or pair."""

    def __init__(self, spec: BalancerSpec, settings: F5Settings) -> None:
        names = names_of(spec, settings)
        traffic = "connection" if settings.ntlm == "used" else "request"
        super().__init__(spec, marker=names.marker, traffic=traffic, place=f"into {names.place} as file objects")
        self._settings = settings
        self._names = names
        self._able = capabilities(settings)

    def lower(self, change: Change, seen: BalancerFacts) -> tuple[Step, ...]:
        """See BalancerLowering. The way back of a drain waits for the monitors where clients may keep a policy (``settle``).

        Raises UnsupportedMode, too, where leaf and side cannot change together.
        """
        if isinstance(change, SwitchSides):
            self._refuse_sides(seen)
        steps = super().lower(change, seen)
        if not isinstance(change, Drain) or not self._able.per_path_modes:
            return steps
        return tuple(
            step.model_copy(update={"undo": step.undo.model_copy(update={"args": {**step.undo.args, "settle": True}})})
            if step.undo is not None
            else step
            for step in steps
        )

    def publish(self, change: Publish, seen: BalancerFacts) -> tuple[Step, ...]:
        """All objects in one step. Raises UnsupportedMode where the modes do not go together."""
        self._refuse_mixed(change.modes)
        wanted = render(self.spec, self._settings)
        before = things_of(seen.image.get("things"))
        modes: dict[str, JsonValue] = {
            service.value: change.modes.get(service, Mode.BRIDGE).value for service in self.spec.services
        }
        leaf = seen.image.get("leaf")
        now, then = self._attachments(seen.image.get("attached"))
        structure, before_structure = structure_of(wanted), structure_by_marks(before, self._names)
        sign: Literal["+", "~"] = "~" if before else "+"
        undo_until = [self.check("published", "the BIG-IP has what it had before", structure=before_structure)]
        if isinstance(leaf, str) and seen.published:
            undo_until.append(self.serving(leaf))
        return (
            Step(
                id=self.step_id("publish"),
                target=self.spec.name,
                sign=sign,
                summary=f"make {len(wanted)} objects named {self._names.prefix}…, in transactions; save",
                details=differences(before, wanted),
                do=self._publish(wanted, change.leaf, modes, now),
                undo=self._publish(before, leaf, seen.image.get("modes", {}), then),
                until=(
                    self.check(
                        "published", "the BIG-IP has our objects, every server was checked", structure=structure
                    ),
                    self.serving(change.leaf),
                ),
                undo_until=tuple(undo_until),
            ),
        )

    def switch_certificate(self, change: SwitchCertificate, seen: BalancerFacts) -> tuple[Step, ...]:  # noqa: ARG002 -- the kit's signature
        """Live: one change of the client-ssl profile."""
        return (
            Step(
                id=self.step_id("switch-certificate"),
                target=self.spec.name,
                summary=f"serve certificate {change.after[:12]} instead of {change.before[:12]} to new connections; save",
                do=self.action("switch-certificate", leaf=change.after),
                undo=self.action("switch-certificate", leaf=change.before),
                until=(self.serving(change.after),),
                undo_until=(self.serving(change.before),),
            ),
        )

    def switch_mode(self, change: SwitchMode, seen: BalancerFacts) -> tuple[Step, ...]:
        """One service, or all where connections belong to clients: another policy, in one change of the virtual server."""
        after = {**seen.modes, **dict.fromkeys(change.services, change.after)}
        if not self._able.per_path_modes:
            offloadable = {service for service in self.spec.services if SERVICES[service].offloadable}
            if set(change.services) != offloadable:
                raise self._mixed()
            self._refuse_mixed(after)
        services: list[JsonValue] = [service.value for service in change.services]
        told = ", ".join(change.services)

        def flip(mode: Mode) -> Action:
            return self.action("switch-modes", services=services, mode=mode.value)

        def flipped(mode: Mode) -> Check:
            return self.check(
                "modes", f"{told}: the {mode} pools by the policy that is live", services=services, mode=mode.value
            )

        return (
            Step(
                id=self.step_id("switch-mode", "all" if len(services) > 1 else told, change.after),
                target=self.spec.name,
                summary=f"route {told} to the {change.after} pools instead of {change.before}, by another policy; save",
                do=flip(change.after),
                undo=flip(change.before),
                until=(flipped(change.after),),
                undo_until=(flipped(change.before),),
            ),
        )

    def _attachments(self, image: JsonValue) -> tuple[JsonValue, JsonValue]:
        """What becomes of the virtual server we attach to, there and back; its name goes with it, as settings may change."""
        if not isinstance(image, Mapping):
            return None, None
        place: dict[str, JsonValue] = {"virtual": self._settings.attach}
        now = {**place, "profiles": image["wanted"]}
        return now, {**place, "profiles": image["profiles"], "policies": image["policies"]}

    def _publish(self, wanted: Iterable[Thing], leaf: JsonValue, modes: JsonValue, attachment: JsonValue) -> Action:
        listed: list[JsonValue] = [thing.model_dump(mode="json") for thing in wanted]
        return self.action("publish", things=listed, leaf=leaf, modes=modes, attachment=attachment)

    def _refuse_mixed(self, modes: Mapping[Service, Mode]) -> None:
        published = {service: modes.get(service, Mode.BRIDGE) for service in self.spec.services}
        if (
            not self._able.per_path_modes
            and any(SERVICES[s].offloadable for s in published)
            and one_mode(published) is None
        ):
            raise self._mixed()

    def _refuse_sides(self, seen: BalancerFacts) -> None:
        remedy = "publish what the settings call for first: lbsync plan, lbsync apply"
        if not self._able.switches_sides:
            why, remedy = "requests of one client go to several servers here", 'set ntlm = "used" in balancers.settings'
        elif seen.structure != seen.wanted_structure:
            why = "what is published is not what the settings call for: pools may be missing, or sessions be resumed"
        elif _persists(seen.image.get("attached")):
            # F5: a disabled member is still given the new connections of clients that persist to it.
            why, remedy = f"{self._settings.attach} has a persistence profile", "take it off: lbsync's pools need none"
        elif set(seen.modes.values()) - {Mode.BRIDGE}:
            why, remedy = "services are offloaded here", "bridge all services, as Extended Protection needs it anyway"
        else:
            return
        raise UnsupportedMode(
            f"leaf and servers cannot change in one moment: {why}",
            where=self.spec.name,
            state="nothing was changed",
            remedy=remedy,
        )

    def _mixed(self) -> UnsupportedMode:
        return UnsupportedMode(
            "connections to servers belong to clients here (NTLM), so all services share one mode",
            where=self.spec.name,
            state="nothing was changed",
            remedy='offload all services or none; or declare ntlm = "unused" where nobody logs on by NTLM or Negotiate',
        )


def _persists(attached: JsonValue) -> bool:
    """Whether the virtual server to attach to sends clients back to the server they had, also where it takes no others."""
    return isinstance(attached, Mapping) and bool(attached.get("persists"))


def differences(before: Iterable[Thing], after: Iterable[Thing]) -> tuple[str, ...]:
    """What changes, object by object; new ones counted by their collection."""
    old = {(thing.collection, thing.path): thing for thing in before}
    new = {(thing.collection, thing.path): thing for thing in after}
    counted: dict[str, int] = {}
    lines: list[str] = []
    for key, thing in new.items():
        was = old.get(key)
        if was is None:
            counted[thing.collection] = counted.get(thing.collection, 0) + 1
            continue
        lines += [
            f"~ {thing.path} {name}: {was.body.get(name)} → {value}"
            for name, value in thing.body.items()
            if name != "description" and not alike(was.body.get(name), value)
        ]
    lines += [f"- {path}" for collection, path in old if (collection, path) not in new]
    return (*(f"+ {number} {collection}" for collection, number in counted.items()), *lines)
