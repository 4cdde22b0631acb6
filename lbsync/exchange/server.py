"""One client access server as a target: observed by one script, changed by whole steps, checked by reading.

Rule of this room: only the front end's own sslFlags, the recycle of just their pools, the certificate of IIS and of other
services that were named, and the store of certificates are ever written; never Rpc's flags (Set-OutlookAnywhere owns them),
never the back end site. Every write is read back.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbsync.changes import Change
from lbsync.errors import Rejected, UnsupportedMode
from lbsync.exchange import certificates, lowering, retiring
from lbsync.exchange.actions import (
    EnableArgs,
    EnabledCheck,
    FlagArgs,
    FlagsCheck,
    ImportArgs,
    LeafCheck,
    PoolsCheck,
    Question,
    RemoveArgs,
    Verb,
    args_of,
    unknown_verb,
)
from lbsync.exchange.answers import FlagsAnswer, shaped
from lbsync.exchange.facts import server_facts
from lbsync.exchange.holders import certificates_of, holds, strangers
from lbsync.exchange.iis import normal_flags, same_flags
from lbsync.exchange.session import SessionPool
from lbsync.exchange.tier import NO_EXCHANGE, ExchangeTier
from lbsync.facts import BalancerFacts, FarmFacts, ServerFacts
from lbsync.model import Action, Check, CheckResult, Receipt, State, Step
from lbsync.services import Service
from lbsync.target import MaterialSource
from lbsync_certs import Thumbprint

_OBSERVE_S = 120.0
_READ_S = 60.0
_CHANGE_S = 180.0


class ServerTarget:
    """A server by its configured name. Keeps one session per thread; ``release`` closes that of the calling thread."""

    def __init__(self, name: str, pool: SessionPool, *, tier: ExchangeTier = NO_EXCHANGE) -> None:
        """``tier`` is needed for changes of certificates only; facts and Require SSL are local."""
        self._name = name
        self._pool = pool
        self._tier = tier

    @property
    def name(self) -> str:
        """The configured name; the server's own name in Exchange."""
        return self._name

    def observe(self, services: frozenset[Service]) -> ServerFacts:  # noqa: ARG002  one script reads all services
        """Everything local about the server, by one script. Raises TargetError."""
        answer = self._pool.call("server-facts", {}, deadline_s=_OBSERVE_S, retry=True)
        return server_facts(answer, name=self._name)

    def lower(self, change: Change, seen: ServerFacts | FarmFacts | BalancerFacts) -> tuple[Step, ...]:
        """Require SSL; import, enabling or removal of a certificate: one whole step. Raises UnsupportedMode, UnsafeChange."""
        if not isinstance(seen, ServerFacts):
            raise UnsupportedMode(f"{self._name} is a server, and was given facts of a {seen.kind}", where=self._name)
        return lowering.lower(change, seen)

    def read(self, action: Action) -> State:
        """Own sslFlags of the locations governed; whether the certificate is stored; which one IIS 443 serves.

        Where other services were given it, too, which certificates these have that are none of this step's.
        """
        match action.verb:
            case Verb.SET_FLAGS:
                told = self._flags(args_of(FlagArgs, action).flags, ())
                return {vdir.location: None if vdir.own is None else normal_flags(vdir.own) for vdir in told.vdirs}
            case Verb.IMPORT:
                return {"stored": self._stored(args_of(ImportArgs, action).thumbprint)}
            case Verb.REMOVE:
                return {"stored": self._stored(args_of(RemoveArgs, action).thumbprint)}
            case Verb.ENABLE:
                return {"thumbprint": self._served(), **self._strangers(args_of(EnableArgs, action))}
            case _:
                raise unknown_verb(action)

    def perform(self, action: Action, materials: MaterialSource) -> Receipt:
        """Carry out one effect and read it back. Raises TargetError; Rejected ``read_back`` where it did not take."""
        match action.verb:
            case Verb.SET_FLAGS:
                return self._set_flags(args_of(FlagArgs, action))
            case Verb.IMPORT:
                bundle = materials.open(args_of(ImportArgs, action).leaf)
                thumbprint, already = certificates.import_bundle(self._pool, bundle, tier=self._tier)
                word = "was there already" if already else "imported"
                return Receipt(summary=f"{thumbprint} {word}", details={"thumbprint": thumbprint, "already": already})
            case Verb.ENABLE:
                return self._enable(args_of(EnableArgs, action))
            case Verb.REMOVE:
                return self._remove(args_of(RemoveArgs, action))
            case _:
                raise unknown_verb(action)

    def check(self, check: Check) -> CheckResult:
        """Answer once, by reading. Raises TargetError when the server cannot be asked."""
        match check.verb:
            case Question.FLAGS:
                return self._flags_hold(args_of(FlagsCheck, check).flags)
            case Question.POOLS:
                return self._pools_run(args_of(PoolsCheck, check).pools)
            case Question.LEAF:
                wanted, served = args_of(LeafCheck, check).thumbprint, self._served()
                detail = f"IIS 443 serves {served or 'no certificate'}"
                return CheckResult(passed=served == wanted, detail=detail, evidence={"served": served})
            case Question.ENABLED:
                return holds(args_of(EnabledCheck, check), certificates_of(self._pool, self._tier))
            case Question.STORED:
                found = self._stored(args_of(LeafCheck, check).thumbprint)
                return CheckResult(passed=found, detail="stored with its key" if found else "not in the store")
            case Question.GONE:
                there = self._stored(args_of(LeafCheck, check).thumbprint)
                return CheckResult(passed=not there, detail="still in the store" if there else "gone from the store")
            case _:
                raise unknown_verb(check)

    def release(self) -> None:
        """Close the calling thread's connection."""
        self._pool.release()

    def _flags(self, locations: Iterable[str], pools: Iterable[str]) -> FlagsAnswer:
        params = {"locations": list(locations), "pools": list(pools)}
        answer = self._pool.call("read-flags", params, deadline_s=_READ_S, retry=True)
        return shaped(FlagsAnswer, answer, "read-flags")

    def _set_flags(self, args: FlagArgs) -> Receipt:
        params = {
            "changes": [{"location": location, "own": own} for location, own in args.flags.items()],
            "recycle": list(args.pools),
        }
        # Twice is once: the flags are absolute, and a second recycle finds nobody waiting on a drained server.
        answer = self._pool.call("set-require-ssl", params, deadline_s=_CHANGE_S, retry=True)
        told = shaped(FlagsAnswer, answer, "set-require-ssl")
        shown = {vdir.location.lower(): vdir for vdir in told.vdirs}
        for location, own in args.flags.items():
            found = shown.get(location.lower())
            if found is None or not _same_own(own, found.own):
                raise Rejected(
                    f"{location}: own sslFlags were set to {_word(own)}, and IIS shows {_word(found.own if found else None)}",
                    where=self._name,
                    state="the other locations of this step may have been changed; they are restored on the way back",
                    remedy="look for a locked section, a second location element or a configuration tool that writes it back",
                    code="read_back",
                )
        return Receipt(
            summary=f"{len(args.flags)} location(s) set, {len(told.recycled)} app pool(s) recycled",
            details={
                "flags": {location: vdir.own for location, vdir in ((v.location, v) for v in told.vdirs)},
                "recycled": list(told.recycled),
            },
        )

    def _enable(self, args: EnableArgs) -> Receipt:
        done = certificates.enable(self._pool, args.thumbprint, also=args.also, tier=self._tier)
        if args.pools:
            self._set_flags(FlagArgs(flags={}, pools=args.pools))
        bound = sorted({f"{b.site} {b.information}" for b in done.bindings if b.thumbprint == args.thumbprint})
        also = "".join(f", {one.service} to {one.thumbprint}" for one in args.also)
        return Receipt(
            summary=f"IIS bound to {args.thumbprint}{also}",
            details={"bindings": list(bound), "recycled": list(args.pools), "restarted": list(done.restarted)},
        )

    def _remove(self, args: RemoveArgs) -> Receipt:
        already = retiring.remove(self._pool, args.thumbprint, tier=self._tier, released=args.released)
        word = "was gone already" if already else "removed with its key"
        return Receipt(summary=f"{args.thumbprint} {word}", details={"thumbprint": args.thumbprint, "already": already})

    def _flags_hold(self, wanted: dict[str, str]) -> CheckResult:
        shown = {vdir.location.lower(): vdir.effective for vdir in self._flags(wanted, ()).vdirs}
        found = {location: normal_flags(shown.get(location.lower(), "")) for location in wanted}
        wrong = [
            f"{place}: {found[place]}, not {flags}"
            for place, flags in wanted.items()
            if not same_flags(found[place], flags)
        ]
        return CheckResult(
            passed=not wrong,
            detail="; ".join(wrong) or f"{len(wanted)} location(s) as wanted",
            evidence={"flags": dict(found)},
        )

    def _pools_run(self, wanted: tuple[str, ...]) -> CheckResult:
        states = {pool.name: pool.state for pool in self._flags((), wanted).pools}
        wrong = [f"{name} is {states.get(name, 'missing')}" for name in wanted if states.get(name) != "Started"]
        return CheckResult(
            passed=not wrong,
            detail="; ".join(wrong) or f"{len(wanted)} app pool(s) started",
            evidence={"pools": dict(states)},
        )

    def _strangers(self, args: EnableArgs) -> State:
        found = strangers(args.also, certificates_of(self._pool, self._tier)) if args.also else {}
        return {"others": {**found}} if found else {}

    def _served(self) -> Thumbprint | None:
        leaf = self.observe(frozenset()).front_end_leaf
        return None if leaf is None else leaf.info.thumbprint

    def _stored(self, thumbprint: Thumbprint) -> bool:
        stored = self.observe(frozenset()).certificate(thumbprint)
        return stored is not None and stored.has_private_key


def _same_own(one: str | None, other: str | None) -> bool:
    return one is other if one is None or other is None else same_flags(one, other)


def _word(own: str | None) -> str:
    return "(inherited)" if own is None else own
