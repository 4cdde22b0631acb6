"""Write docs/which-mode.md from the adviser's catalogue of rules: which_mode.py [PATH]."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from lbsync.advise.catalogue import CATALOGUE
from lbsync.advise.rule import About, AnyRule

PAGE = Path("docs/which-mode.md")
_HEAD = """# Which mode?

A service is *offloaded* (TLS ends at the balancer, plain HTTP goes on to the servers) or *bridged* (TLS ends at the balancer
and is taken up again towards the servers). In short:

1. **Start with bridging**, with the same certificate on balancer and servers. Nothing in Exchange's documentation forbids
   that, and what set-up may turn on later (Extended Protection) demands it.
2. **Offload only if all of this holds**: Extended Protection is off on every member and will stay off; no OAuth (hybrid
   modern authentication) is in use; no client certificates are asked for; the network between balancer and servers is yours
   alone, and your policy lets passwords cross it in clear; the balancer can do it for the ways your users log on. And you
   have a reason: Microsoft describes offloading for Exchange 2013 SP1 only.
3. **MRSProxy is bridged always.** Mailbox moves fail over plain HTTP.
4. **From Exchange 2019 CU14 on, and with Subscription Edition, expect to bridge**: set-up turns Extended Protection on by
   itself unless it is run with `/DoNotEnableEP`. Go from offload back to bridging *before* that update; `lbsync advise --if
   version=SE` shows what would change.
5. **Let the farm answer**: `lbsync advise` judges what it really finds, per service and per server; `lbsync advise --explain
   ews` shows every rule behind one verdict. [modes.md](modes.md) is about trying and changing modes.

What `lbsync advise` says of a mode: **must not**: a rule refuses it. **must**: the other one is refused for good, as long as
nothing else changes. **recommended**: bridging, where both are possible. **fine**: possible.

Below is every rule, by what it is about. A rule's own verdict: **must not** refuses as long as its condition holds; **must**
refuses too, and the other mode is the way; **recommended** is a warning, and what to do instead; **fine** is told so that
you know. Words in *italics* stand for what is found on your farm. This page is made from the rules themselves
(`tools/which_mode.py`).
"""
_TOPICS: Mapping[About, str] = {
    "offload": "Offloading a service",
    "bridge": "Bridging a service",
    "either mode": "A service in either mode",
    "farm": "The farm, whatever the mode",
    "certificate": "The certificate, whatever the mode",
    "balancer": "Balancers, whatever the mode",
    "rotation": "Changing the certificate",
}
_FILLED = re.compile(r"\{(\w+)\}")


def page() -> str:
    """The page's text."""
    return "\n".join([_HEAD, *(line for about, title in _TOPICS.items() for line in _section(about, title))])


def _section(about: About, title: str) -> Iterable[str]:
    yield from (
        f"## {title}",
        "",
        "| rule | when | verdict | because | what to do | source |",
        "|---|---|---|---|---|---|",
    )
    yield from (_row(rule) for rule in CATALOGUE.values() if rule.about == about)
    yield ""


def _row(rule: AnyRule) -> str:
    cells = (rule.condition, f"**{rule.verdict}**", _said(rule.reason), _said(rule.remedy) or "-", _plain(rule.source))
    return f"| `{rule.id}` | {' | '.join(cells)} |"


def _said(template: str) -> str:
    """A rule's sentence with the names of its fill-ins in italics."""
    return _FILLED.sub(lambda found: f"*{found[1].replace('_', ' ')}*", _plain(template))


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    for sign in ("\\", "*", "|"):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;")


def main(arguments: list[str]) -> None:
    """Write it."""
    path = Path(arguments[0]) if arguments else PAGE
    path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
