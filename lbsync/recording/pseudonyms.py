"""Other names for what a farm's own names are: alike for the same thing, and different for different things.

Rule of this file: a pseudonym is a number in the order of asking, never computed from what it stands for; no pseudonym is a
name that occurs in the original. Names keep their shape, so that a wildcard covers what it covered.

Sources: RFC 2606 and 6761 (example.com, .test), RFC 5737 and 3849 (addresses for documentation), RFC 2544 (198.18/15).
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterable, Iterator

KEPT_LABELS = frozenset({"*", "autodiscover"})
_LIKE_HOST = re.compile(r"(?:\*\.)?(?:[\w-]+\.)+[\w-]+", re.ASCII)
_ATTRIBUTE = re.compile(r"((?:^|[,+])\s*[A-Za-z0-9.]+=)((?:\\.|\"[^\"]*\"|[^,+\\\"])*)")
_LEAST = 3
"""Shorter words are not looked for in free text: they would be found everywhere."""


_LONG_HEX = 16
"""Shorter serial numbers are any number."""


class Pseudonyms:
    """What stands for what, in one recording. ``hosts`` and ``servers`` are all that are known beforehand."""

    def __init__(self, servers: Iterable[str], hosts: Iterable[str], others: Iterable[str] = ()) -> None:
        """``others`` are further originals that no pseudonym may happen to be."""
        names = [name.lower().rstrip(".") for name in hosts]
        labels = {label for name in names for label in name.split(".")}
        known = list(servers)
        self._given = {*names, *labels, *(name.lower() for name in (*known, *others))}
        self._tops = {name.removeprefix("*.") for name in names if name.startswith("*.") and name.count(".") == 1}
        self._words: dict[tuple[str, str], str] = {}
        self._counts: dict[str, Iterator[int]] = {}
        self._zones = self._zone_names()
        self._nodes: dict[tuple[str, ...], str] = {}
        self._v4 = self._fresh_v4()
        self._servers = {name.lower() for name in known}
        self.table: dict[str, str] = {}
        """Original, in lower case, to pseudonym: what is looked for in free text."""
        self.strict: set[str] = set()
        """Originals that must be nowhere in the output: hosts, addresses, fingerprints."""
        self.inside: set[str] = set()
        """Names of organisations, as mail domains have them: replaced within longer words too."""

    def word(self, kind: str, original: str) -> str:
        """A counted word for anything else, as ``pool1``; the same for the same ``original`` whatever its case."""
        key = (kind, original.lower())
        if key not in self._words:
            counter = self._counts.setdefault(kind, itertools.count(1))
            self._words[key] = next(one for n in counter if (one := f"{kind}{n}").lower() not in self._given)
            if len(original) >= _LEAST:
                self.table.setdefault(original.lower(), self._words[key])
        return self._words[key]

    def server(self, name: str) -> str:
        """``SRV1`` and so on."""
        return self.word("SRV", name) if name else name

    def balancer(self, name: str) -> str:
        """``LB1`` and so on."""
        return self.word("LB", name)

    def hexadecimal(self, text: str) -> str:
        """A fingerprint, thumbprint or serial of the same length, which is a plain number."""
        key = ("hex", text.lower())
        if key not in self._words:
            counter = self._counts.setdefault("hex", itertools.count(1))
            fresh = (f"{n:0{len(text)}X}" for n in counter)
            self._words[key] = next(one for one in fresh if one.lower() not in self._given)
            if len(text) >= _LONG_HEX:
                self._remember(text, self._words[key])
        return self._words[key] if text != text.lower() else self._words[key].lower()

    def address(self, text: str) -> str:
        """An address for documentation; loopback and "any" say nothing of anybody and stay."""
        bare = text.strip("[]")
        try:
            parsed = ipaddress.ip_address(bare)
        except ValueError:
            return text if text in {"", "*"} else self.host(text)
        if parsed.is_loopback or parsed.is_unspecified:
            return text
        key = ("address", str(parsed))
        if key not in self._words:
            self._words[key] = next(self._v4) if parsed.version == 4 else self._v6()  # noqa: PLR2004
            for spelling in {bare, str(parsed)}:
                self._remember(spelling, self._words[key])
        return text.replace(bare, self._words[key])

    def host(self, name: str) -> str:
        """A name of as many labels below a domain for examples; the same label is the same everywhere."""
        labels = tuple(name.lower().rstrip(".").split("."))
        if labels == ("",):
            return name
        if labels[0] == "*" and len(labels) > 1:
            return f"*.{self.host('.'.join(labels[1:]))}"
        told = self._node(labels)
        if len(labels) > 1:
            self._remember(name, told)
        return told

    def distinguished(self, name: str) -> str:
        """A certificate's subject or issuer, attribute by attribute; equal names stay equal."""
        if "=" not in name:
            return self.word("name", name) if name else name
        return _ATTRIBUTE.sub(lambda found: found[1] + self._attribute(found[2]), name)

    def _attribute(self, value: str) -> str:
        if value.lower() in self._servers or _LIKE_HOST.fullmatch(value):
            return self.host(value)
        return self.word("name", value.strip('"')) if value.strip() else value

    def _node(self, labels: tuple[str, ...]) -> str:
        if labels not in self._nodes:
            self._nodes[labels] = self._new_node(labels)
        return self._nodes[labels]

    def _new_node(self, labels: tuple[str, ...]) -> str:
        own = labels[0]
        # A domain of one label (mail.corp, *.corp) is known by its wildcard; else it is the last two labels.
        zone = 1 if labels[-1] in self._tops else 2
        if len(labels) < zone:
            return self._label(own)
        if len(labels) == zone:
            told = next(self._zones)
            if len(own) > _LEAST:
                self.inside.add(own)
            self.table.setdefault(own, told.partition(".")[0])
            return told
        return f"{self._label(own)}.{self._node(labels[1:])}"

    def _label(self, label: str) -> str:
        if label in KEPT_LABELS:
            return label
        return self.server(label).lower() if label in self._servers else self.word("host", label)

    def _remember(self, original: str, pseudonym: str) -> None:
        self.table[original.lower()] = pseudonym
        self.strict.add(original.lower())

    def _zone_names(self) -> Iterator[str]:
        first = ("example.com", "example.net", "example.org")
        more = (f"zone{n}.test" for n in itertools.count(1))
        fresh = (one for one in itertools.chain(first, more) if not {one, one.partition(".")[0]} & self._given)
        yield from fresh

    def _fresh_v4(self) -> Iterator[str]:
        nets = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15")
        hosts = itertools.chain.from_iterable(ipaddress.IPv4Network(net).hosts() for net in nets)
        return (str(one) for one in hosts if str(one) not in self._given)

    def _v6(self) -> str:
        counter = self._counts.setdefault("v6", itertools.count(1))
        return next(one for n in counter if (one := f"2001:db8::{n:x}") not in self._given)
