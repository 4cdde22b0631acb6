"""A house of farms for pictures and for the browser: the same every time, with everything that a page can show.

``Showcase`` carries out what was approved step by step, each when the test says so.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import JsonValue

from lbsync.model import Action, Check, Mode, Plan, Step, StepId
from lbsync.run import RunPhase, Shown
from lbsync.service.port import NotFound, NotYours
from lbsync.service.values import (
    CertificateState,
    Changed,
    DriftState,
    Item,
    JobState,
    Lamp,
    Level,
    ListenerState,
    ModeState,
    NamespaceState,
    Proposal,
    RunDetail,
    RunState,
    ServerState,
    StepState,
    Who,
)
from lbsync.services import Service
from tests.service.fakes import NOW, FakeHub

OLD = "4F1C0A6E93B27D58E0A1C3F4D2B68A7790E1D5C2"
NEW = "9B30D7E2A54C1F886B02E9D4713FAC5510D8E6B7"
RUN = "20260601-120000-7a2e"
BASIS = "6f2d1c9a" * 8
_OFF = frozenset({Service.OWA, Service.ECP, Service.ACTIVESYNC, Service.EWS, Service.AUTODISCOVER, Service.OAB})
_TEXTS = {
    Lamp.GREEN: "",
    Lamp.YELLOW: "serves another certificate than the one stored on the balancer",
    Lamp.RED: "nothing answers on 10.20.0.12:443",
    Lamp.UNKNOWN: "something is served, and what was stored nobody could say",
}


def listener(balancer: str, host: str, light: Lamp, days: int, number: int = 10) -> ListenerState:
    """One published name."""
    served = light in {Lamp.GREEN, Lamp.YELLOW}
    return ListenerState(
        balancer=balancer, host=host, address=f"10.20.0.{number}:443", light=light, text=_TEXTS[light],
        thumbprint=(OLD if light is Lamp.GREEN else NEW) if served else None,
        not_after=NOW + timedelta(days=days) if served else None, days=days if served else None,
    )  # fmt: skip


def mixed(*balancers: str, wrong: Service | None = None) -> tuple[ModeState, ...]:
    """Six services offloaded, three bridged; ``wrong`` is bridged although offload is wanted."""
    return tuple(
        ModeState(
            balancer=name, service=service, wanted=Mode.OFFLOAD if service in _OFF else Mode.BRIDGE,
            mode=Mode.OFFLOAD if service in _OFF and service is not wrong else Mode.BRIDGE,
        )
        for name in balancers
        for service in Service
    )  # fmt: skip


def healthy(name: str, farm: str, days: int = 212) -> NamespaceState:
    """Everything green."""
    hosts = (f"mail.{name}.example", f"autodiscover.{name}.example")
    return NamespaceState(
        name=name, farm=farm, config=f"{name}.toml", level=Level.OK,
        items=(Item(level=Level.OK, subject=f"lb-{name}-1 {hosts[0]}", text="served as stored"),),
        listeners=tuple(listener(f"lb-{name}-{n}", host, Lamp.GREEN, days, n) for n in (1, 2) for host in hosts),
        modes=mixed(f"lb-{name}-1", f"lb-{name}-2"),
        servers=(ServerState(name=f"ex-{name}-1", build="15.2.1748.10", thumbprint=OLD, days=days, prepared=tuple(_OFF)),),
        certificates=(
            CertificateState(
                thumbprint=f"{len(name):02X}{OLD[2:]}", subject=f"CN={hosts[0]}", not_after=NOW + timedelta(days=days),
                days=days, users=(f"lb-{name}-1", f"lb-{name}-2", f"ex-{name}-1"),
            ),
        ),
        drift=DriftState(count=0), next_text="the next look", looked_at=NOW - timedelta(minutes=4),
        next_look_at=NOW + timedelta(minutes=11),
    )  # fmt: skip


def munich() -> NamespaceState:
    """A certificate that ends soon, its renewal at hand, a rotation that waits for approval, one service in another mode."""
    days = 9
    hosts = ("mail.contoso.example", "autodiscover.contoso.example", "legacy.contoso.example")
    return NamespaceState(
        name="contoso-muc", farm="Contoso Munich", config="contoso-muc.toml", level=Level.WARNING,
        items=(
            Item(level=Level.OK, subject="lb-muc-1 mail.contoso.example", text="serves the certificate that is stored there"),
            Item(level=Level.WARNING, subject=f"{OLD} at lb-muc-1, lb-muc-2, ex01, ex02, ex03",
                 text="ends in 9 days, on 2026-06-10 (CN=mail.contoso.example)",
                 remedy="renew it; lbsync rotate takes the new one to everybody", days=days),
            Item(level=Level.WARNING, subject="renewed", text=f"{NEW} (until 2027-06-08), at ex01", remedy="lbsync rotate"),
        ),
        listeners=tuple(
            listener(f"lb-muc-{n}", host, *((Lamp.YELLOW, 372) if n == 2 and host == hosts[2] else (Lamp.GREEN, days)), n + 10)
            for n in (1, 2) for host in hosts
        ),
        modes=mixed("lb-muc-1", "lb-muc-2", wrong=Service.OAB),
        servers=tuple(
            ServerState(name=f"ex0{n}", build="15.2.1748.10", thumbprint=OLD, days=days, prepared=tuple(sorted(_OFF)))
            for n in (1, 2, 3)
        ),
        certificates=(
            CertificateState(
                thumbprint=OLD, subject="CN=mail.contoso.example", not_after=NOW + timedelta(days=days, hours=3), days=days,
                users=("lb-muc-1", "lb-muc-2", "ex01", "ex02", "ex03"),
            ),
            CertificateState(
                thumbprint=NEW, subject="CN=legacy.contoso.example", not_after=NOW + timedelta(days=372), days=372,
                users=("lb-muc-2",),
            ),
        ),
        drift=DriftState(count=1, lines=("lb-muc-1, lb-muc-2: oab is bridged, offload is wanted",)),
        next_text="rotate to the renewed certificate once it is approved", next_at=NOW + timedelta(hours=10),
        looked_at=NOW - timedelta(minutes=2), next_look_at=NOW + timedelta(minutes=13),
        runs=(
            _run("20260301-020412-11c9", RunPhase.APPLIED, "applied", 92),
            _run("20251114-221033-a04e", RunPhase.UNDONE, "taken back, as before", 199),
        ),
        proposals=(rotation(),),
    )  # fmt: skip


def house() -> tuple[NamespaceState, ...]:
    """Six namespaces of every kind."""
    paris = healthy("fabrikam-par", "Fabrikam Paris", 131)
    lights = (*paris.listeners[:3], listener("lb-fabrikam-par-2", "autodiscover.fabrikam-par.example", Lamp.RED, 0, 12))
    return (
        munich(),
        paris.model_copy(update={
            "level": Level.CRITICAL, "listeners": lights,
            "items": (Item(level=Level.CRITICAL, subject="lb-fabrikam-par-2", text=_TEXTS[Lamp.RED], remedy="lbsync verify"),),
            "next_text": "look again", "next_at": NOW + timedelta(minutes=3),
        }),
        healthy("northwind", "Northwind Traders"),
        healthy("tailspin", "Tailspin Toys", 88),
        NamespaceState(
            name="woodgrove", farm="Woodgrove Bank", config="woodgrove.toml", failures=3, next_text="look again",
            next_at=NOW + timedelta(minutes=8), error="no server answered: ex-wg-1 refused the connection (5986)",
        ),
        healthy("wingtip", "Wingtip", 301),
    )  # fmt: skip


def _run(run_id: str, phase: RunPhase, words: str, days: int) -> RunState:
    began = NOW - timedelta(days=days)
    return RunState(
        run_id=run_id, phase=phase, words=words, actor="anna via lbsync serve (lbsync)", started=began,
        last=began + timedelta(minutes=6),
    )  # fmt: skip


def _step(  # noqa: PLR0917  # a table of steps
    number: int, target: str, summary: str, sign: str, details: tuple[str, ...], verb: str, undo: str
) -> Step:
    return Step.model_validate({
        "id": StepId(f"s{number}"), "target": target, "summary": summary, "sign": sign, "details": details,
        "do": Action(target=target, verb=verb, args={"thumbprint": NEW}),
        "undo": Action(target=target, verb=undo, args={"thumbprint": OLD if sign == "~" else NEW}),
        "until": (Check(target=target, verb="serving", summary=f"{target} serves {NEW[:8]}", deadline_s=60),),
    })  # fmt: skip


def plan() -> Plan:
    """Eight steps of a rotation."""
    balancers = ("lb-muc-1", "lb-muc-2")
    servers = ("ex01", "ex02", "ex03")
    steps = [_step(1 + n, name, "import the renewed certificate", "+", (f"thumbprint {NEW}",), "import", "remove")
             for n, name in enumerate(servers)]  # fmt: skip
    steps += [
        _step(
            4 + n, name, "take the renewed certificate", "~", (f"served {OLD[:12]}… -> {NEW[:12]}…",), "serve", "serve"
        )
        for n, name in enumerate(balancers)
    ]
    steps += [
        _step(6 + n, name, "bind it to IIS 443", "~", (f"binding {OLD[:12]}… -> {NEW[:12]}…",), "bind", "bind")
        for n, name in enumerate(servers)
    ]  # fmt: skip
    return Plan(farm="Contoso Munich", basis=BASIS, steps=tuple(steps),
                modes={s: Mode.OFFLOAD if s in _OFF else Mode.BRIDGE for s in Service},
                notes=("Extended Protection is off on every server: nobody has to sign in again.",))  # fmt: skip


def rotation(asked_by: str = "schedule", *, needs: int = 1, approvals: tuple[str, ...] = ()) -> Proposal:
    """The rotation that waits."""
    document: dict[str, JsonValue] = plan().model_dump(mode="json") | {"left_out": []}
    return Proposal(
        id="p-20260601-1", namespace="contoso-muc", kind="rotate", basis=BASIS, steps=8, plan=document, asked_by=asked_by,
        summary=f"rotate mail.contoso.example to {NEW[:12]}…, good until 2027-06-08", asked_at=NOW - timedelta(hours=1),
        expires_at=NOW + timedelta(hours=23), approvals=approvals, needs=needs,
    )  # fmt: skip


class Showcase(FakeHub):
    """The house; what was approved stands at step ``at`` of eight, the one after it under way."""

    def __init__(self, *states: NamespaceState) -> None:
        super().__init__(*(states or house()))
        self.at = 0
        self.ended = False

    async def approve(self, ns: str, proposal: str, who: Who) -> Proposal | JobState:
        """Two approvals where it needs two; then a run begins."""
        waiting = self._proposal(ns, proposal)
        if who.name in waiting.approvals:
            raise NotYours("somebody else has to approve this", where=ns, code="four-eyes")
        self.calls.append(("approve", ns, str(who)))
        told = waiting.model_copy(update={"approvals": (*waiting.approvals, who.name)})
        if len(told.approvals) < told.needs:
            self.kept[ns] = self.kept[ns].model_copy(update={"proposals": (told,)})
            self.tell(Changed(ns, "proposal", proposal))
            return told
        job = self._job(ns, waiting.kind, who, run_id=RUN, of=proposal)
        self.move(0)
        self._without(ns, proposal)
        return self.jobs[job.id]

    def move(self, at: int) -> None:
        """The run is that far; at its end so is the job."""
        self.at, self.ended = at, at >= len(plan().steps)
        state = self.kept["contoso-muc"]
        job = state.job
        if job is None:
            raise AssertionError("nothing was approved")
        lines = tuple(
            f"{NOW + timedelta(seconds=7 * n):%H:%M:%S} {s.target}: {s.summary}"
            for n, s in enumerate(plan().steps[: at + 1])
        )
        job = job.model_copy(
            update={"lines": lines, "ended": _at(60) if self.ended else None, "exit_code": 0 if self.ended else None}
        )
        self.jobs[job.id] = job
        runs = (self._mine(), *(run for run in state.runs if run.run_id != RUN))
        self.kept["contoso-muc"] = state.model_copy(update={"job": job, "runs": runs})
        self.tell(Changed("contoso-muc", "run", RUN))

    def tell_of(self, ns: str, **changes: object) -> None:
        """Change a namespace, and say so."""
        self.kept[ns] = self.kept[ns].model_copy(update=changes)
        self.tell(Changed(ns, "state"))

    def _mine(self) -> RunState:
        phase, words = (RunPhase.APPLIED, "applied") if self.ended else (RunPhase.APPLYING, "being applied")
        return RunState(
            run_id=RUN,
            phase=phase,
            words=words,
            actor="anna via lbsync serve (lbsync)",
            started=NOW,
            last=_at(7 * self.at),
        )

    async def run(self, ns: str, run_id: str) -> RunDetail:
        """The run that was begun, as far as it is."""
        if run_id != RUN or not any(run.run_id == RUN for run in self.state(ns).runs):
            raise NotFound("there is no such run", where=run_id, code="unknown-run")
        looks: list[Shown] = ["done" if n < self.at else "running" if n == self.at else "waiting" for n in range(8)]
        steps = tuple(
            StepState(id=str(s.id), target=s.target, summary=s.summary, look=look,
                      lines={"done": (f"did it in {n + 2} s",), "running": ("waiting until clients are served",)}.get(look, ()))
            for n, (s, look) in enumerate(zip(plan().steps, looks, strict=True))
        )  # fmt: skip
        canary: dict[str, JsonValue] = {"requests": 412 * (self.at + 1), "errors": 0, "longest_gap_s": 0.2}
        return RunDetail(run=self._mine(), farm="Contoso Munich", host="adm01", steps=steps, canary=canary)

    async def advice(self, ns: str, who: Who) -> dict[str, JsonValue]:
        """One service refused, one warned of."""
        self._asked("advice", ns, who)
        return ADVICE


def _at(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


def _verdict(service: Service) -> JsonValue:
    offload = service in _OFF
    findings: list[JsonValue] = []
    if service is Service.MRSPROXY:
        findings = [{
            "rule": "mrsproxy-bridge", "severity": "refuse", "reason": "MRSProxy refuses plain HTTP, so moves would fail",
            "remedy": "leave it bridged", "source": "Microsoft: SSL offloading in Exchange", "where": ["ex01", "ex02"],
        }]  # fmt: skip
    return {"service": service.value, "wanted": "offload" if offload or findings else "bridge",
            "possible": ["bridge"] if findings else ["offload", "bridge"],
            "recommended": "offload" if offload else "bridge", "findings": findings}  # fmt: skip


ADVICE: dict[str, JsonValue] = {
    "farm": [{"rule": "extended-protection-off", "severity": "info", "reason": "Extended Protection is off on every server",
              "remedy": "", "source": "", "where": ["ex01", "ex02", "ex03"]}],
    "services": [_verdict(service) for service in Service],
}  # fmt: skip
