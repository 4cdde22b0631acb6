"""The NGINX provider: the contract's five questions, each answered by its own room.

Rule of this room: it hands on; nothing is decided here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

from pydantic import JsonValue

from lbsync.changes import Change
from lbsync.costs import OPENED, BalancerCost, Unknown
from lbsync.facts import BalancerFacts, FarmFacts, ServerFacts
from lbsync.kit.answers import seconds
from lbsync.kit.costing import measure_on
from lbsync.kit.host import open_host
from lbsync.kit.marker import leave_marker, read_marker, remove_marker
from lbsync.kit.texts import texts_of
from lbsync.kit.waiting import then_cut
from lbsync.model import Action, Check, CheckResult, Mode, Receipt, State, Step
from lbsync.services import Service
from lbsync.target import BalancerSpec, Capabilities, MaterialSource, Provider
from lbsync_certs import Fingerprint
from lbsync_nginx import checks, effects
from lbsync_nginx.abilities import capabilities
from lbsync_nginx.device import Device
from lbsync_nginx.disk import read_links, read_texts
from lbsync_nginx.judge import judge
from lbsync_nginx.layout import TEXT_FILES
from lbsync_nginx.lowering import Lowering
from lbsync_nginx.process import master_of, not_running
from lbsync_nginx.publish import write_files
from lbsync_nginx.render import refuse_bad_names
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.sides import sides_of, switch_sides
from lbsync_nginx.state import LINKS, NginxState, state_of
from lbsync_nginx.tidy import tidy


class NginxProvider:
    """One NGINX."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lowering = Lowering(device.spec, device.settings)

    @property
    def name(self) -> str:
        """The balancer's configured name."""
        return self._device.spec.name

    @property
    def capabilities(self) -> Capabilities:
        """What this NGINX can do, by its settings alone."""
        return capabilities(self._device.settings)

    def observe(self, services: frozenset[Service]) -> BalancerFacts:
        """See ``Target.observe``. An NGINX that is down, too old or misconfigured is told in ``blockers``."""
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
                found: State = {"installed": device.host.stat(path) is not None}
            case "write-files":
                found = self._files_state()
            case "switch-certificate":
                found = self._leaf_state()
            case "switch-modes":
                services = effects.services_of(args["services"])
                found = self._both(
                    lambda state: {one.value: state.modes[one].value for one in services if one in state.modes}
                )
            case "server-state":
                found = self._both(lambda state: "drain" if str(args["server"]) in state.down else "ready")
            case "switch-sides":
                links = read_links(device.host, device.home)
                servers = (*effects.names_of(args["old"]), *effects.names_of(args["fresh"]))
                found = self._both(lambda state: sides_of(state, links, servers))
            case "cut-sessions":
                found = {}
            case "mark" | "unmark":
                found = {"marker": read_marker(device.host, device.home.marker)}
            case other:
                raise ValueError(f"no such action: {other}")
        return found

    def _leaf_state(self) -> State:
        """What the disk says alone: this action is proven by handshakes before it ends."""
        device = self._device
        if device.settings.certificate_form == "variable":
            return {"link": self._link()}
        disk = state_of(read_texts(device.host, device.home)[device.main])
        return {"disk": disk.leaf if disk else None}

    def _link(self) -> Fingerprint | None:
        """Where the link leads that our configuration on the disk names."""
        device = self._device
        disk = state_of(read_texts(device.host, device.home)[device.main])
        return read_links(device.host, device.home)[disk.link if disk else LINKS[0]]

    def _both(self, part: Callable[[NginxState], JsonValue]) -> State:
        """Part of the state on the disk and of the one that runs; ``None`` where there is none."""
        running = self._running()
        disk = state_of(read_texts(self._device.host, self._device.home)[self._device.main])
        return {"disk": part(disk) if disk else None, "running": part(running) if running else None}

    def _running(self) -> NginxState | None:
        """What runs of ours. Raises Unreachable where NGINX is stopped: that is no change of somebody's to our state."""
        device = self._device
        running = device.running()
        if running is not None:
            return running.state
        if master_of(device.host, device.settings) is None:
            raise not_running(device.settings)
        return None

    def _files_state(self) -> State:
        device = self._device
        texts = read_texts(device.host, device.home)
        digests: dict[str, JsonValue] = {
            name: None if text is None else hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()
        }
        running = self._running()
        return {
            "files": digests,
            "link": self._link(),
            "loaded": running.model_dump(mode="json") if running else None,
        }

    def perform(self, action: Action, materials: MaterialSource) -> Receipt:
        """See ``Target.perform``. Raises CertificateError where the certificate cannot be opened."""
        device, args = self._device, action.args
        basis = effects.basis_of(args)
        match action.verb:
            case "install-certificate":
                receipt = effects.install_certificate(device, Fingerprint(str(args["leaf"])), materials)
            case "remove-certificate":
                keep = bool(args.get("keep_directory", True))
                receipt = effects.remove_certificate(device, Fingerprint(str(args["leaf"])), keep_directory=keep)
            case "write-files":
                link = args.get("link")
                leaf = Fingerprint(link) if isinstance(link, str) else None
                receipt = write_files(device, texts_of(args["files"], TEXT_FILES), leaf, basis)
            case "switch-certificate":
                receipt = effects.switch_certificate(device, Fingerprint(str(args["leaf"])), basis)
            case "switch-modes":
                services = effects.services_of(args["services"])
                receipt = effects.switch_mode(device, services, Mode(str(args["mode"])), basis)
            case "server-state":
                receipt = effects.member_state(device, args, basis)
            case "switch-sides":
                old, fresh = effects.names_of(args["old"]), effects.names_of(args["fresh"])
                receipt = switch_sides(device, Fingerprint(str(args["after"])), old, fresh, basis)
                receipt = then_cut(receipt, old, args.get("cut_after_s"), partial(effects.cut_sessions, device))
            case "cut-sessions":
                receipt = effects.cut_sessions(device, str(args["server"]), seconds(args["wait_s"]))
            case "mark" | "unmark":
                tidy(device.host, device.home)
                change = leave_marker if action.verb == "mark" else remove_marker
                receipt = change(device.host, device.home.marker, str(args["marker"]))
            case other:
                raise ValueError(f"no such action: {other}")
        return receipt

    def check(self, check: Check) -> CheckResult:
        """See ``Target.check``."""
        return checks.answer(self._device, check)

    def cost(self, published: str | None, timeout_s: float) -> BalancerCost:
        """See ``Measurable.cost``. Open-source NGINX counts neither handshakes nor the connections it opens (stub_status)."""
        why = "NGINX counts neither handshakes nor the connections it opens to servers"
        load = (Unknown(id=OPENED, subject=self.name, why=why),)
        return measure_on(self._device.host, self._device.spec, published, timeout_s, lambda: load)


@contextmanager
def connect(spec: BalancerSpec, settings: NginxSettings) -> Generator[Provider]:
    """A provider; nothing is opened before it is asked something. Raises ConfigError for names NGINX cannot carry."""
    refuse_bad_names(spec)
    host = open_host(settings.ssh)
    try:
        yield NginxProvider(Device(spec, settings, host))
    finally:
        host.close()
