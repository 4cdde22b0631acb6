"""The HAProxy provider: the contract's five questions, each answered by its own room.

Rule of this room: it hands on; nothing is decided here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial

from pydantic import JsonValue

from lbsync.changes import Change
from lbsync.costs import BalancerCost
from lbsync.facts import BalancerFacts, FarmFacts, ServerFacts
from lbsync.kit.answers import seconds
from lbsync.kit.costing import measure_on
from lbsync.kit.host import open_host
from lbsync.kit.marker import read_marker
from lbsync.kit.pem_files import leaf_of
from lbsync.kit.texts import texts_of
from lbsync.kit.waiting import then_cut
from lbsync.model import Action, Check, CheckResult, Mode, Receipt, State, Step
from lbsync.services import Service
from lbsync.target import BalancerSpec, Capabilities, MaterialSource, Provider
from lbsync_certs import Fingerprint
from lbsync_haproxy import checks, effects, layout, members, sides
from lbsync_haproxy.device import Device
from lbsync_haproxy.disk import read_text
from lbsync_haproxy.judge import judge
from lbsync_haproxy.lowering import Lowering
from lbsync_haproxy.pools import map_key
from lbsync_haproxy.publish import write_files
from lbsync_haproxy.render import render
from lbsync_haproxy.settings import HaproxySettings


class HaproxyProvider:
    """One HAProxy."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.capabilities = Capabilities(
            switches_sides=True,
            resumes_sessions=device.settings.resumption,
            resumption_remedy="Set resumption = false in balancers.settings",
        )
        self._lowering = Lowering(device.spec, device.settings)

    @property
    def name(self) -> str:
        """The balancer's configured name."""
        return self._device.spec.name

    def observe(self, services: frozenset[Service]) -> BalancerFacts:
        """See ``Target.observe``. An HAProxy that is down, too old or without a socket is told in ``blockers``."""
        return judge(self._device.spec, self._device.settings, self._device.see(), services)

    def lower(self, change: Change, seen: ServerFacts | FarmFacts | BalancerFacts) -> tuple[Step, ...]:
        """See ``Target.lower``. Raises TypeError for facts or changes of another kind of target."""
        if not isinstance(seen, BalancerFacts):
            raise TypeError("a balancer lowers by a balancer's facts")
        return self._lowering.lower(change, seen)

    def read(self, action: Action) -> State:
        """See ``Target.read``."""
        device, args = self._device, action.args
        match action.verb:
            case "install-certificate" | "remove-certificate":
                path = device.home.certificate(Fingerprint(str(args["leaf"])))
                return {"installed": device.host.stat(path) is not None}
            case "write-files":
                return self._files_state()
            case "switch-certificate":
                return {"memory": device.look().thumbprint, "disk": leaf_of(device.host.read_link(device.home.live))}
            case "switch-mode":
                key = map_key(Service(str(args["service"])))
                on_disk = effects.map_modes(read_text(device.host, device.home, layout.MAP), key)
                return {"memory": (device.look().map or {}).get(key), "disk": on_disk}
            case "switch-sides" | "server-state" | "cut-sessions":
                return self._servers_state(action)
            case "mark" | "unmark":
                return {"marker": read_marker(device.host, device.home.marker)}
            case other:
                raise ValueError(f"no such action: {other}")

    def _servers_state(self, action: Action) -> State:
        device, args = self._device, action.args
        if action.verb == "switch-sides":
            return sides.state_of(device, sides.Sides.of(args))
        rows = device.rows(device.look(), str(args["server"]))
        states: list[JsonValue] = [*sorted({row.state for row in rows})]
        return {"states": states}

    def _files_state(self) -> State:
        device = self._device
        texts = {name: read_text(device.host, device.home, name) for name in layout.TEXT_FILES}
        digests: dict[str, JsonValue] = {
            name: None if text is None else hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()
        }
        return {
            "files": digests,
            "live": leaf_of(device.host.read_link(device.home.live)),
            "loaded": device.look().structure,
        }

    def perform(self, action: Action, materials: MaterialSource) -> Receipt:
        """See ``Target.perform``. Raises CertificateError where the certificate cannot be opened."""
        device, args = self._device, action.args
        match action.verb:
            case "install-certificate":
                receipt = effects.install_certificate(device, Fingerprint(str(args["leaf"])), materials)
            case "remove-certificate":
                keep = bool(args.get("keep_directory", True))
                receipt = effects.remove_certificate(device, Fingerprint(str(args["leaf"])), keep_directory=keep)
            case "write-files":
                live, structure = args.get("live"), args.get("structure")
                receipt = write_files(
                    device,
                    texts_of(args["files"], layout.TEXT_FILES),
                    Fingerprint(live) if isinstance(live, str) else None,
                    structure if isinstance(structure, str) else None,
                )
            case "switch-certificate":
                receipt = effects.switch_certificate(device, Fingerprint(str(args["leaf"])))
            case "switch-mode":
                receipt = effects.switch_mode(device, Service(str(args["service"])), Mode(str(args["mode"])))
            case "switch-sides" | "server-state" | "cut-sessions":
                receipt = self._perform_on_servers(action)
            case "mark":
                receipt = effects.mark(device, str(args["marker"]))
            case "unmark":
                receipt = effects.unmark(device, str(args["marker"]))
            case other:
                raise ValueError(f"no such action: {other}")
        return receipt

    def _perform_on_servers(self, action: Action) -> Receipt:
        device, args = self._device, action.args
        match action.verb:
            case "switch-sides":
                wanted = sides.Sides.of(args)
                receipt = sides.switch_sides(device, wanted)
                return then_cut(receipt, wanted.old, args.get("cut_after_s"), partial(members.cut_sessions, device))
            case "server-state":
                return members.member_state(device, args)
            case _:
                return members.cut_sessions(device, str(args["server"]), seconds(args["wait_s"]))

    def check(self, check: Check) -> CheckResult:
        """See ``Target.check``."""
        return checks.answer(self._device, check)

    def cost(self, published: str | None, timeout_s: float) -> BalancerCost:
        """See ``Measurable.cost``."""
        return measure_on(self._device.host, self._device.spec, published, timeout_s, self._device.load)


@contextmanager
def connect(spec: BalancerSpec, settings: HaproxySettings) -> Generator[Provider]:
    """A provider; nothing is opened before it is asked something. Raises ConfigError for names HAProxy cannot carry."""
    render(spec, settings, {})
    host = open_host(settings.ssh)
    try:
        yield HaproxyProvider(Device(spec, settings, host))
    finally:
        host.close()
