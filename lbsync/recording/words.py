"""Free text with every name in it replaced: those that are known, and whatever looks like one.

Rule of this file: it errs on the side of replacing. A word that is no name may become one; a name that is met never stays.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from lbsync.desired import Limits
from lbsync.recording.pseudonyms import Pseudonyms
from lbsync.services import SERVICES, Service

_OURS = frozenset(
    {
        *("applicationhost.config", "web.config", "exsetup.exe", "lbsync.toml", "haproxy.cfg", "nginx.conf"),
        *("farm.exchange", "farm.trusted_leg", "limits.parallel", "limits.connect_timeout_s", "balancers.settings"),
        *(
            "certificate.source",
            "certificate.thumbprint",
            "certificate.file",
            "publish.hosts",
            "publish.server_ca_file",
        ),
        *(f"limits.{name}" for name in Limits.model_fields),
        *(f"modes.{service}" for service in Service),
        *(spec.prefix for spec in SERVICES.values()),
        *("/api", "/powershell"),
    }
)
"""What lbsync's own sentences say of every farm."""
_SETTING = re.compile(r"balancers\.settings\.[a-z_]+")
_VERSION = re.compile(r"[\d.]+[\w.+~-]*", re.ASCII)

_PATTERNS = {
    "name": r"\b(?:CN|OU|O|L|ST|DC|E)=(?:\\.|\"[^\"]*\"|[^,+\\\";)\n])+",
    "account": r"(?<=//)[^\s/@]+@[\w-]+(?:\.[\w-]+)*|[\w.+-]+@[\w-]+(?:\.[\w-]+)*|(?<![\w:\\])[\w.-]+\\[\w.$-]+(?:\\[\w.$-]+)*",
    "path": r"(?:\b[A-Za-z]:|\\)\\[^\s\"';,]+|(?:(?<![\w/.>])|(?<=file://))/(?!/)[\w.~/-]*[\w~]",
    "id": r"\bS-1-[\d-]+\d|\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b",
    "hex": r"\b(?:[0-9A-Fa-f]{2}:){15,}[0-9A-Fa-f]{2}\b|\b[0-9A-Fa-f]{32,}\b",
    "address": r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\w)|(?<![\w:])[0-9A-Fa-f]*(?::[0-9A-Fa-f]*){2,}[\d.]*",
    "host": r"(?<![\w.-])(?:\*\.)?(?:[\w-]+\.)+[A-Za-z][\w-]+",
}


class Words:
    """Replaces in texts by one set of pseudonyms, all of whose originals are known by now."""

    def __init__(self, names: Pseudonyms) -> None:
        self._names = names
        known = sorted(names.table, key=len, reverse=True)
        # Patterns first: a host nobody knew may begin with a server's name.
        parts = [f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS.items()]
        parts += [_known(one, inside=one in names.inside) for one in known]
        self._pattern = re.compile("|".join(parts), re.IGNORECASE)

    def told(self, text: str) -> str:
        """The text with other names."""
        return self._pattern.sub(self._replaced, text)

    def version(self, text: str) -> str:
        """A product's version: it stays where it is one, for four numbers are no address there."""
        return text if _VERSION.fullmatch(text) else self.told(text)

    def _replaced(self, found: re.Match[str]) -> str:
        text, names = found[0], self._names
        if text.lower() in _OURS or _SETTING.fullmatch(text):
            return text
        if text.lower() in names.table:
            return names.table[text.lower()]
        kind = str(found.lastgroup)
        told: dict[str, Callable[[str], str]] = {
            "name": names.distinguished,
            "hex": lambda one: names.hexadecimal(one.replace(":", "")),
            "address": lambda one: names.address(one) if _is_address(one) else one,
            "host": names.host,
        }
        return told[kind](text) if kind in told else names.word(kind, text)


def _known(original: str, *, inside: bool) -> str:
    text = re.escape(original)
    return text if inside else rf"(?<![\w]){text}(?!\w)"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
