"""The BIG-IP provider: the contract's five questions, each answered by its own room.

Rule of this room: it hands on; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from lbsync.changes import Change
from lbsync.errors import ConfigError
from lbsync.facts import BalancerFacts, FarmFacts, ServerFacts
from lbsync.kit.answers import seconds
from lbsync.model import Action, Check, CheckResult, Mode, Receipt, State, Step
from lbsync.services import Service
from lbsync.target import BalancerSpec, Capabilities, MaterialSource, Provider
from lbsync_certs import Fingerprint
from lbsync_f5 import checks, effects
from lbsync_f5.abilities import capabilities
from lbsync_f5.device import Device
from lbsync_f5.judge import judge
from lbsync_f5.lowering import Lowering
from lbsync_f5.modes import switch_modes
from lbsync_f5.publish import publish
from lbsync_f5.render import refuse_unsuited
from lbsync_f5.settings import F5Settings
from lbsync_f5.sides import switch_sides
from lbsync_f5.states import state_of
from lbsync_f5.wish import Wish


class F5Provider:
    """One BIG-IP, or an active/standby pair."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lowering = Lowering(device.spec, device.settings)

    @property
    def name(self) -> str:
        """The balancer's configured name."""
        return self._device.spec.name

    @property
    def capabilities(self) -> Capabilities:
        """What this BIG-IP can do, by its settings alone."""
        return capabilities(self._device.settings)

    def observe(self, services: frozenset[Service]) -> BalancerFacts:
        """See ``Target.observe``. A standby device, a group out of sync, a foreign object in the way are told in ``blockers``."""
        return judge(self._device.spec, self._device.settings, self._device.see(), services)

    def lower(self, change: Change, seen: ServerFacts | FarmFacts | BalancerFacts) -> tuple[Step, ...]:
        """See ``Target.lower``. Raises TypeError for facts or changes of another kind of target."""
        if not isinstance(seen, BalancerFacts):
            raise TypeError("a balancer lowers by a balancer's facts")
        return self._lowering.lower(change, seen)

    def read(self, action: Action) -> State:
        """See ``Target.read``."""
        return state_of(self._device, action)

    def perform(self, action: Action, materials: MaterialSource) -> Receipt:
        """See ``Target.perform``. Raises CertificateError where the certificate cannot be opened."""
        device, args = self._device, action.args
        match action.verb:
            case "install-certificate":
                receipt = effects.install_certificate(device, Fingerprint(str(args["leaf"])), materials)
            case "remove-certificate":
                receipt = effects.remove_certificate(device, Fingerprint(str(args["leaf"])))
            case "publish":
                receipt = publish(device, Wish.of(args))
            case "switch-certificate":
                receipt = effects.switch_certificate(device, Fingerprint(str(args["leaf"])))
            case "switch-modes":
                listed = args["services"]
                services = tuple(Service(str(one)) for one in listed) if isinstance(listed, list) else ()
                receipt = switch_modes(device, services, Mode(str(args["mode"])))
            case "switch-sides":
                receipt = switch_sides(device, args)
            case "server-state":
                receipt = effects.member_state(device, args)
            case "cut-sessions":
                receipt = effects.cut_sessions(device, str(args["server"]), seconds(args["wait_s"]))
            case "mark" | "unmark":
                act = {"mark": effects.mark, "unmark": effects.unmark}[action.verb]
                receipt = act(device, str(args["marker"]))
            case other:
                raise ValueError(f"no such action: {other}")
        return receipt

    def check(self, check: Check) -> CheckResult:
        """See ``Target.check``."""
        return checks.answer(self._device, check)


@contextmanager
def connect(spec: BalancerSpec, settings: F5Settings) -> Generator[Provider]:
    """A provider; nothing is opened before it is asked something.

    Raises ConfigError where f5-sdk is not installed, or for servers that a BIG-IP cannot have.
    """
    try:
        from lbsync_f5.addresses import addresses
    except ImportError as error:
        raise ConfigError(
            "BIG-IP needs the Python package f5-sdk, which is not installed",
            where=f"balancer {spec.name}",
            remedy="pip install 'lbsync[f5]'",
        ) from error
    refuse_unsuited(spec)
    device = Device(spec, settings, addresses(settings))
    try:
        yield F5Provider(device)
    finally:
        device.close()
