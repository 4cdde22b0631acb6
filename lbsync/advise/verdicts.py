"""From findings to verdicts: what either mode of a service is, on all servers and where they differ.

Rule of this room: no reason is found here; a word follows from the rules that spoke, and bears their ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lbsync.advice import Finding, Judgement, ServerGroup, Verdict, Word
from lbsync.advise.case import Case
from lbsync.advise.catalogue import CATALOGUE, MODE_RULES
from lbsync.advise.rule import Asked, Rule
from lbsync.model import Mode
from lbsync.services import SERVICES, Service

ByMode = Mapping[Mode, tuple[Finding, ...]]


def findings(case: Case) -> dict[Service, ByMode]:
    """What speaks of each service in each mode. A rule that is about all services alike is asked once."""
    common = {rule.id: rule.findings(case) for rules in MODE_RULES.values() for rule in rules if isinstance(rule, Rule)}
    return {
        service: {
            mode: tuple(
                finding
                for rule in MODE_RULES[mode]
                for finding in (
                    common[rule.id] if isinstance(rule, Rule) else rule.findings(Asked(case, service, mode))
                )
            )
            for mode in Mode
        }
        for service in SERVICES
    }


def verdicts(case: Case) -> tuple[Verdict, ...]:
    """One for each service, in the order of their table."""
    return tuple(_verdict(case, service, found) for service, found in findings(case).items())


def _verdict(case: Case, service: Service, found: ByMode) -> Verdict:
    wanted = case.desired.modes[service]
    # Microsoft supports offloading on 2013 SP1 only and gives prohibitions for later versions: bridging with the same
    # certificate is the mode nothing forbids, so offload is always an explicit choice and never a recommendation.
    return Verdict(
        service=service,
        wanted=wanted,
        possible=tuple(mode for mode in Mode if not _refusing(found[mode])),
        recommended=Mode.BRIDGE,
        findings=found[wanted],
        judgements=judgements(found),
        groups=_groups(case, service, found),
    )


def judgements(found: ByMode) -> tuple[Judgement, ...]:
    """A word for each mode, from what speaks of both.

    A mode that nothing refuses must be had where the other one is not to be mended, and else is recommended where it is
    bridging: what speaks against offloading stands behind that.
    """
    return tuple(_judgement(mode, found) for mode in Mode)


def _judgement(mode: Mode, found: ByMode) -> Judgement:
    other = Mode.BRIDGE if mode is Mode.OFFLOAD else Mode.OFFLOAD
    refused = _refusing(found[mode])
    if refused:
        return _of(mode, "must not", refused)
    demanded = [finding for finding in found[other] if CATALOGUE[finding.rule].verdict == "must"]
    if demanded:
        return _of(mode, "must", demanded)
    if mode is Mode.BRIDGE:
        return _of(mode, "recommended", found[other])
    return _of(mode, "fine", found[mode])


def _of(mode: Mode, word: Word, behind: Iterable[Finding]) -> Judgement:
    return Judgement(mode=mode, word=word, rules=tuple(dict.fromkeys(finding.rule for finding in behind)))


def _refusing(found: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.severity == "refuse"]


def _groups(case: Case, service: Service, found: ByMode) -> tuple[ServerGroup, ...]:
    """Servers by what IIS is set to and what either mode is there; nothing where all are alike in both.

    A finding that names no server (a balancer, the directory, the configuration) is about every one.
    """
    names = [server.server for server in case.facts.servers]
    places = [(mode, finding, set(finding.where).intersection(names)) for mode in Mode for finding in found[mode]]
    plain = _plain_http(case, service)
    told: dict[tuple[int, ...], tuple[Judgement, ...]] = {}
    alike: dict[tuple[bool | None, tuple[Word, ...]], dict[str, tuple[Judgement, ...]]] = {}
    for name in names:
        about = tuple(index for index, (_, _, where) in enumerate(places) if not where or name in where)
        if about not in told:
            told[about] = judgements(
                {mode: tuple(places[index][1] for index in about if places[index][0] is mode) for mode in Mode}
            )
        words: tuple[Word, ...] = tuple(judgement.word for judgement in told[about])
        alike.setdefault((plain.get(name), words), {})[name] = told[about]
    if len(alike) <= 1:
        return ()
    return tuple(
        ServerGroup(servers=tuple(members), plain_http=how, judgements=_together(members.values()))
        for (how, _), members in alike.items()
    )


def _together(judged: Iterable[tuple[Judgement, ...]]) -> tuple[Judgement, ...]:
    """One judgement by mode, of servers that have the same words, with all rules behind them."""
    by_mode = zip(*dict.fromkeys(judged), strict=True)
    return tuple(
        Judgement(
            mode=each[0].mode, word=each[0].word, rules=tuple(dict.fromkeys(r for one in each for r in one.rules))
        )
        for each in by_mode
    )


def _plain_http(case: Case, service: Service) -> dict[str, bool]:
    """By server: whether plain HTTP is answered, as sslFlags are now."""
    if not SERVICES[service].offloadable:
        return {}
    return {server.server: not vdir.requires_ssl for server, vdir in case.vdirs(service)}
