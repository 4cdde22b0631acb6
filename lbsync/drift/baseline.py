"""The baseline: what held when lbsync last left the farm, or when a person adopted what was there.

Rule of this file: values and nothing that changes by itself (pools, sessions, marks, remarks) and no file's text: of a balancer's
files and objects only digests are kept. Facts hold no secret, so neither does a baseline.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from lbsync.desired import FactSet
from lbsync.facts import BalancerFacts, BalancerLive, FarmFacts, ServerFacts, ServerLive
from lbsync.model import Value
from lbsync.run import RunPhase, RunSummary

DIRECTORY = "directory"
"""The name of what lives in AD, as in plans."""
PARTS = "parts"
_DIGITS = 16


class Baseline(Value):
    """What held at ``taken``, and by whose doing. ``run`` is ``None`` where it was adopted.

    ``missing`` names who could not be read then, with the reason: of these nothing can be said. ``lbsync`` is the version that
    wrote it.
    """

    format: Literal[1] = 1
    farm: str
    taken: AwareDatetime
    origin: Literal["applied", "rolled back", "adopted"]
    run: str | None = None
    actor: str
    lbsync: str
    facts: FactSet
    missing: dict[str, str] = Field(default_factory=dict[str, str])

    @property
    def told(self) -> str:
        """Where it comes from, in words."""
        when = f"{self.taken:%Y-%m-%d %H:%M} UTC"
        how = {"applied": f"run {self.run}", "rolled back": f"run {self.run}, taken back", "adopted": "adopted"}
        return f"{when} ({how[self.origin]}, by {self.actor})"


class Sighted(Value):
    """Today: what was seen, and who is configured but did not answer, with the reason."""

    facts: FactSet
    silent: dict[str, str] = Field(default_factory=dict[str, str])


def sighted(facts: FactSet, configured: Iterable[str], errors: Iterable[tuple[str, str]] = ()) -> Sighted:
    """A look, told apart from who did not answer; ``configured`` names servers and balancers, ``errors`` are (where, message)."""
    told = {where.lower(): message for where, message in errors}
    answered = {one.server.lower() for one in facts.servers} | {one.balancer.lower() for one in facts.balancers}
    silent = {name: told.get(name.lower(), "it did not answer") for name in configured if name.lower() not in answered}
    if not facts.farm.read:
        silent[DIRECTORY] = told.get(DIRECTORY, "Exchange's own settings are not read with this configuration")
    return Sighted(facts=kept(facts), silent=silent)


def kept(facts: FactSet) -> FactSet:
    """The same without what may change by itself, and with digests in place of a balancer's texts."""
    farm = facts.farm.model_copy(update={"certificates": (), "problems": (), "missing_cmdlets": ()})
    return FactSet(
        servers=tuple(_server(one) for one in facts.servers),
        farm=farm if facts.farm.read else FarmFacts(read=False),
        balancers=tuple(_balancer(one) for one in facts.balancers),
    )


def outdated(baseline: Baseline, runs: Iterable[RunSummary]) -> str | None:
    """The run that ended after the baseline was taken and is not in it (the snapshot failed then); ``None`` where none did."""
    for one in runs:
        if one.farm == baseline.farm and one.phase is RunPhase.APPLIED and one.last > baseline.taken:
            return one.run_id
        if one.run_id == baseline.run and one.phase is RunPhase.UNDONE and baseline.origin == "applied":
            return one.run_id
    return None


def _server(seen: ServerFacts) -> ServerFacts:
    certificates = tuple(one.model_copy(update={"status": None}) for one in seen.certificates)
    update = {"live": ServerLive(), "problems": (), "certificates": certificates}
    return seen.model_copy(update={**update, "setup_running": False, "setup_incomplete": False, "administrator": True})


def _balancer(seen: BalancerFacts) -> BalancerFacts:
    parts: dict[str, JsonValue] = {**_parts(seen.image)}
    update = {"marker": None, "blockers": (), "problems": (), "notes": (), "image": {PARTS: parts}}
    return seen.model_copy(update={**update, "live": BalancerLive(unit=seen.live.unit)})


def _parts(image: Mapping[str, JsonValue]) -> dict[str, str]:
    """Our files or objects on a balancer by name, each as a digest; of an image that was reduced before, the same again."""
    before, files, things = image.get(PARTS), image.get("files"), image.get("things")
    if isinstance(before, dict):
        return {name: str(digest) for name, digest in before.items()}
    found = (
        {f"file {name}": _digest(text) for name, text in files.items() if text is not None}
        if isinstance(files, dict)
        else {}
    )
    for thing in things if isinstance(things, list) else ():
        if isinstance(thing, dict):
            found[f"{thing.get('collection')} {thing.get('path')}"] = _digest(thing.get("body"))
    return found


def _digest(value: JsonValue) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
