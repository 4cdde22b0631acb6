"""How advice is shown: a word for each service and mode, and the reasons behind them as a tree on request.

Rule of this file: a finding carries its own words; nothing is added to them here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from lbsync.advice import Advice, Finding, ServerGroup, Verdict, Word, listed
from lbsync.model import Mode

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text
    from rich.tree import Tree

STYLES: Final = {"refuse": "bold red", "warn": "yellow", "info": "dim"}
WORDS: Final[Mapping[Word, str]] = {"must not": "bold red", "must": "bold", "recommended": "green", "fine": ""}
_PLAIN: Final = {True: "takes plain HTTP now", False: "wants TLS now", None: ""}


def advice_view(advice: Advice) -> list[RenderableType]:
    """A table of verdicts, the servers that differ, then each distinct reason once."""
    from rich.text import Text

    parts: list[RenderableType] = [_table(advice.services)] if advice.services else []
    mixed = list(_mixed(advice.services))
    if mixed:
        parts += [Text(), Text("Servers differ:", style="bold"), *mixed]
    seen = dict.fromkeys([*advice.farm, *(f for verdict in advice.services for f in verdict.findings)])
    return [*parts, *([Text()] if seen and parts else []), *findings_view(seen)]


def _table(verdicts: Iterable[Verdict]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "service", "wanted", "verdict", "offload", "bridge", "why", box=None, header_style="bold", pad_edge=False
    )
    for verdict in verdicts:
        words: dict[Mode, Word] = {judgement.mode: judgement.word for judgement in verdict.judgements}
        table.add_row(
            verdict.service.value,
            verdict.wanted.value,
            Text("refused", style="bold red") if verdict.refused else Text("yes", style="green"),
            *(Text(words[mode], style=WORDS[words[mode]]) for mode in (Mode.OFFLOAD, Mode.BRIDGE)),
            ", ".join(dict.fromkeys(finding.rule for finding in verdict.findings)),
        )
    return table


def _mixed(verdicts: Iterable[Verdict]) -> Iterable[Text]:
    """Services whose servers differ, those that differ alike together."""
    from rich.text import Text

    alike: dict[tuple[ServerGroup, ...], list[str]] = {}
    for verdict in verdicts:
        if verdict.groups:
            alike.setdefault(verdict.groups, []).append(verdict.service.value)
    for groups, services in alike.items():
        yield Text(f"  {', '.join(services)}")
        for group in groups:
            yield Text("    ").append_text(_servers(group))


def _servers(group: ServerGroup) -> Text:
    """One line: who, how IIS is set, what either mode is there."""
    from rich.text import Text

    said = Text(listed(group.servers), style="bold").append(": ", style="")
    told = [Text(_PLAIN[group.plain_http])] if group.plain_http is not None else []
    for judgement in group.judgements:
        rules = f" ({', '.join(judgement.rules)})" if judgement.rules and judgement.word != "recommended" else ""
        told.append(Text.assemble(f"{judgement.mode.value} ", (judgement.word, WORDS[judgement.word]), rules))
    return said.append_text(Text(", ").join(told))


def verdict_view(
    verdict: Verdict, farm: Iterable[Finding], reasons: Mapping[Mode, Iterable[Finding]]
) -> list[RenderableType]:
    """One service as a tree: each mode, its word, the rules behind it with reason, remedy and source; then the farm's.

    ``reasons`` has what speaks of the service in each mode, whichever is wanted.
    """
    from rich.text import Text
    from rich.tree import Tree

    outcome = ("refused", "bold red") if verdict.refused else ("possible", "green")
    head = Text.assemble(
        (verdict.service.value, "bold"), f": {verdict.wanted.value} is wanted, which is ", outcome, "."
    )
    possible = ", ".join(mode.value for mode in verdict.possible) or "neither mode"
    tree = Tree(Text(verdict.service.value, style="bold"), guide_style="dim")
    for judgement in verdict.judgements:
        mode = judgement.mode
        wanted = " (wanted)" if mode is verdict.wanted else ""
        label = Text.assemble(f"{mode.value}{wanted}: ", (judgement.word, WORDS[judgement.word]))
        own = tuple(reasons[mode])
        others = sorted(set(judgement.rules).difference(finding.rule for finding in own))
        if others:
            label.append(f", because of {', '.join(others)}")
        _grow(tree.add(label), own)
    if verdict.groups:
        servers = tree.add(Text("servers differ"))
        for group in verdict.groups:
            servers.add(_servers(group))
    common = tuple(farm)
    if common:
        _grow(tree.add(Text("the farm, whatever the mode")), common)
    return [head, Text(f"Possible now: {possible}. Recommended: {verdict.recommended.value}."), Text(), tree]


def _grow(branch: Tree, findings: Iterable[Finding]) -> None:
    from rich.text import Text

    found = False
    for finding in findings:
        found = True
        leaf = branch.add(Text.assemble((finding.rule, STYLES[finding.severity]), f"  {_placed(finding)}"))
        if finding.remedy:
            leaf.add(Text(f"do: {finding.remedy}"))
        if finding.source:
            leaf.add(Text(f"source: {finding.source}", style="dim"))
    if not found:
        branch.add(Text("nothing speaks against it", style="dim"))


def _placed(finding: Finding) -> str:
    """The reason with where it was seen; of many servers the first few."""
    return f"{listed(finding.where, 6)}: {finding.reason}" if finding.where else finding.reason


def findings_view(findings: Iterable[Finding]) -> list[RenderableType]:
    """Each finding in one or two lines."""
    from rich.text import Text

    lines: list[RenderableType] = []
    for finding in findings:
        lines.append(
            Text.assemble(
                (f"{finding.severity:<7}", STYLES[finding.severity]),
                (finding.rule, "bold"),
                f"  {_placed(finding)}",
            )
        )
        if finding.remedy:
            lines.append(Text(f"         do: {finding.remedy}"))
    return lines
