"""What lives in AD, as a target named ``directory``: read and set once per farm, through one server.

Rule of this room: Set-OutlookAnywhere is the only thing written, and only the fields asked for; the sslFlags of Rpc are never
touched, only waited for: the service host copies AD to IIS within 15 minutes, so one shared wait asks every server's IIS.

Source: Set-OutlookAnywhere (SSLOffloading $false needs both ...RequireSsl $true in the same call).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from lbsync.changes import Change, SetOutlookAnywhere
from lbsync.errors import Rejected, UnsupportedMode
from lbsync.exchange.actions import (
    OutlookAnywhereArgs,
    Question,
    SettledCheck,
    Verb,
    action,
    args_of,
    check,
    unknown_verb,
)
from lbsync.exchange.answers import FlagsAnswer, OutlookAnywhereAnswer, shaped
from lbsync.exchange.facts import farm_facts, outlook_anywhere_facts
from lbsync.exchange.fanout import answers, fan_out
from lbsync.exchange.session import SessionPool
from lbsync.exchange.tier import ExchangeTier
from lbsync.facts import BalancerFacts, FarmFacts, OutlookAnywhereFacts, ServerFacts
from lbsync.model import Action, Check, CheckResult, Receipt, State, Step, StepId
from lbsync.services import SERVICES, Service
from lbsync.target import MaterialSource

_READ_S = 300.0
_FLAGS_S = 60.0

_RPC = SERVICES[Service.OUTLOOK_ANYWHERE].location
_OFFLOADING = ("ssl_offloading", "internal_clients_require_ssl", "external_clients_require_ssl")
"""Set together, always: see the source above."""

# Set-OutlookAnywhere takes a host name only together with these of the same side [u]; they go along as they are.
_WITH_NAME = {
    "external_hostname": ("external_clients_require_ssl", "external_authentication"),
    "internal_hostname": ("internal_clients_require_ssl",),
}


class FarmTarget:
    """The directory. ``pools`` are all servers' sessions by name, for the shared wait; ``through`` names the one asked."""

    def __init__(
        self,
        pools: Mapping[str, SessionPool],
        *,
        through: str,
        tier: ExchangeTier,
        name: str = "directory",
        parallel: int = 64,
    ) -> None:
        self._pools = dict(pools)
        self._pool = self._pools[through]
        self._tier = tier
        self._name = name
        self._parallel = parallel

    @property
    def name(self) -> str:
        """``directory``."""
        return self._name

    def observe(self, services: frozenset[Service]) -> FarmFacts:  # noqa: ARG002  one script reads all services
        """What AD holds of the farm's servers. Without the Exchange tier: facts that say they were not read."""
        if not self._tier.available:
            return FarmFacts(read=False)
        return self._facts(list(self._pools))

    def lower(self, change: Change, seen: ServerFacts | FarmFacts | BalancerFacts) -> tuple[Step, ...]:
        """Outlook Anywhere of all servers named, and one wait for them, as one step. Raises UnsupportedMode."""
        if not isinstance(change, SetOutlookAnywhere) or not isinstance(seen, FarmFacts):
            raise UnsupportedMode(
                f"the directory has no {change.kind}",
                where=self._name,
                remedy="this is lbsync's mistake: please report it",
            )
        return (_step(self._name, change),)

    def read(self, action: Action) -> State:
        """The fields governed, as AD holds them now, by server. Raises TargetError."""
        args = self._args(action)
        found = self._facts(list(args.settings)).outlook_anywhere
        return {
            item.server: _fields(item, args.settings[item.server]) for item in found if item.server in args.settings
        }

    def perform(self, action: Action, materials: MaterialSource) -> Receipt:  # noqa: ARG002  no certificate is needed
        """Set what is asked and read it back from AD; IIS follows later. Twice is once. Raises TargetError."""
        args = self._args(action)
        params = {
            "exchange": self._tier.params(self._pool.settings.tls_name),
            "settings": [{"server": server, **fields} for server, fields in args.settings.items()],
        }
        answer = self._pool.call("set-outlook-anywhere", params, deadline_s=_READ_S, retry=True)
        told = shaped(OutlookAnywhereAnswer, answer, "set-outlook-anywhere").outlook_anywhere
        shown = {item.server.lower(): outlook_anywhere_facts(item) for item in told}
        for server, fields in args.settings.items():
            found = shown.get(server.lower())
            now = None if found is None else _fields(found, fields)
            if now != fields:
                raise Rejected(
                    f"Outlook Anywhere of {server} was set to {_told(fields)}, and AD shows {_told(now or {})}",
                    where=self._name,
                    state="other servers of this step may have been changed; they are restored on the way back",
                    remedy="wait for AD to replicate and look at Get-OutlookAnywhere -Server " + server,
                    code="read_back",
                )
        return Receipt(
            summary=f"Outlook Anywhere set for {', '.join(args.settings)}", details={"settings": dict(args.settings)}
        )

    def check(self, check: Check) -> CheckResult:
        """Whether every server's IIS shows what AD holds. A server that cannot be asked has not settled. Raises Denied."""
        if check.verb != Question.SETTLED:
            raise unknown_verb(check)
        wanted = args_of(SettledCheck, check).requires_ssl
        asked = [name for name in wanted if name in self._pools]
        outcomes = fan_out(asked, self._requires_ssl, parallel=self._parallel)
        if any(outcome.error is not None for outcome in outcomes) and not any(o.answer is not None for o in outcomes):
            answers(outcomes)  # nobody could be asked: that is no answer but an error
        waiting = {name: "not one of the configured servers" for name in wanted if name not in self._pools}
        for outcome in outcomes:
            if outcome.error is not None:
                waiting[outcome.item] = outcome.error.message
            elif outcome.answer is not wanted[outcome.item]:
                waiting[outcome.item] = (
                    "Rpc requires SSL" if outcome.answer else "Rpc does not require SSL yet or any more"
                )
        shown = "; ".join(f"{name}: {why}" for name, why in waiting.items())
        return CheckResult(
            passed=not waiting,
            detail=f"{len(wanted) - len(waiting)} of {len(wanted)} servers show it"
            + (f" ({shown})" if waiting else ""),
            evidence={"waiting": [*sorted(waiting)]},
        )

    def release(self) -> None:
        """Close the calling thread's connection."""
        self._pool.release()

    def _args(self, action: Action) -> OutlookAnywhereArgs:
        if action.verb != Verb.SET_OUTLOOK_ANYWHERE:
            raise unknown_verb(action)
        return args_of(OutlookAnywhereArgs, action)

    def _facts(self, servers: Sequence[str]) -> FarmFacts:
        params = {"exchange": self._tier.params(self._pool.settings.tls_name), "servers": list(servers)}
        return farm_facts(self._pool.call("farm-facts", params, deadline_s=_READ_S, retry=True))

    def _requires_ssl(self, server: str) -> bool:
        pool = self._pools[server]
        try:
            answer = pool.call("read-flags", {"locations": [_RPC], "pools": []}, deadline_s=_FLAGS_S, retry=True)
        finally:
            pool.release()  # the threads of a fan-out end with it
        told = shaped(FlagsAnswer, answer, "read-flags")
        return any("ssl" in {flag.strip().lower() for flag in vdir.effective.split(",")} for vdir in told.vdirs)


def _step(name: str, change: SetOutlookAnywhere) -> Step:
    before = {item.server: item for item in change.before}
    after = {item.server: item for item in change.after}
    fields = {server: _touched(before[server], after[server]) for server in after}
    details = [
        f"~ {server} {field}: {_shown(getattr(before[server], field))} → {_shown(getattr(after[server], field))}"
        for server in after
        for field in OutlookAnywhereFacts.model_fields
        if getattr(before[server], field) != getattr(after[server], field)
    ]
    return Step(
        id=StepId(f"{name}:set-outlook-anywhere"),
        target=name,
        summary=f"Outlook Anywhere of {', '.join(after)} in AD; wait until every IIS shows it",
        details=(*details, f"one shared wait of up to {change.wait_s:g} s, since AD reaches IIS within 15 minutes"),
        do=_setting(name, after, fields),
        undo=_setting(name, before, fields),
        until=(_settled(name, after.values(), change.wait_s),),
        undo_until=(_settled(name, before.values(), change.wait_s),),
    )


def _touched(before: OutlookAnywhereFacts, after: OutlookAnywhereFacts) -> tuple[str, ...]:
    """Fields to set: those that differ, and what the cmdlet wants along with them."""
    differing = {
        field for field in OutlookAnywhereFacts.model_fields if getattr(before, field) != getattr(after, field)
    }
    if differing.intersection(_OFFLOADING):
        differing.update(_OFFLOADING)
    for name, along in _WITH_NAME.items():
        if name in differing:
            differing.update(field for field in along if getattr(before, field) and getattr(after, field))
    return tuple(field for field in OutlookAnywhereFacts.model_fields if field in differing and field != "server")


def _setting(name: str, values: Mapping[str, OutlookAnywhereFacts], fields: Mapping[str, Iterable[str]]) -> Action:
    settings = {server: _fields(item, fields[server]) for server, item in values.items()}
    return action(name, Verb.SET_OUTLOOK_ANYWHERE, OutlookAnywhereArgs(settings=settings))


def _settled(name: str, items: Iterable[OutlookAnywhereFacts], wait_s: float) -> Check:
    wanted = {item.server: not item.ssl_offloading for item in items}
    return check(
        name,
        Question.SETTLED,
        SettledCheck(requires_ssl=wanted),
        f"IIS of {len(wanted)} server(s) shows what AD holds for Outlook Anywhere",
        wait_s,
    )


def _fields(item: OutlookAnywhereFacts, names: Iterable[str]) -> dict[str, JsonValue]:
    data = item.model_dump(mode="json")
    return {name: data[name] for name in names}


def _shown(value: object) -> str:
    match value:
        case None:
            return "(empty)"
        case tuple():
            return ", ".join(str(part) for part in value) or "(none)"
        case _:
            return str(value)


def _told(fields: Mapping[str, JsonValue]) -> str:
    return ", ".join(f"{name}={value}" for name, value in fields.items()) or "nothing"
