"""Objects as REST shows them: kind, links, references, sub-collections, live states.

Rule of this room: it reads a configuration and changes nothing; secrets leave it as asterisks of a kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import cast

from lbsync.lab.bigip import resolve
from lbsync.lab.bigip.kinds import KINDS, Kind, Ref, Sub
from lbsync.lab.bigip.names import HOST, Json, kind_of, tilde
from lbsync.lab.bigip.options import option_words
from lbsync.lab.bigip.plane import Body
from lbsync.lab.bigip.store import Configuration

Live = Callable[[Configuration, str, str, Body], Json]
"""What an object shows that it was not told: configuration, collection, full path of its parent (a pool's) or empty, body."""
_SECRET = frozenset({"passphrase", "password"})
_STRING_OPTIONS = (14, 0)
"""Since then ``tmOptions`` is a string in braces; 13.0 has a list."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One configuration, ready to be shown by a device of some version."""

    configuration: Configuration
    version: str
    live: Live

    @property
    def _numbers(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split(".")[:2])

    def link(self, path: str, query: str = "") -> str:
        """A link to a path below ``/mgmt/tm``."""
        return f"{HOST}/{path}?{f'{query}&' if query else ''}ver={self.version}"

    def item(self, kind: Kind, body: Body, *, expand: bool = False) -> Json:
        """One object."""
        at = f"{kind.path}/{tilde(str(body['fullPath']))}"
        shown = resolve.properties(self.configuration, kind, body)
        if kind.plain:
            shown = {name: value for name, value in shown.items() if not resolve.absent(value) or name in kind.defaults}
        shown |= self.live(self.configuration, kind.path, "", body)
        if "tmOptions" in shown:
            shown["tmOptions"] = self._options(shown["tmOptions"])
        if "certKeyChain" in shown:
            shown["certKeyChain"] = [self._pair(pair) for pair in shown["certKeyChain"]]
        return {
            "kind": kind_of(kind.path),
            **resolve.head(body),
            "selfLink": self.link(at),
            **self._referring(shown, kind.refs),
            **self._contained(kind.path, at, kind.subs, body, str(body["fullPath"]), expand=expand),
        }

    def child(self, path: str, at: str, sub: Sub, body: Body, parent: str, *, expand: bool = False) -> Json:
        """One object of a sub-collection: ``path`` names the collection for its kind, ``at`` the parent in the URL."""
        here = f"{at}/{sub.name}/{tilde(str(body['fullPath']))}"
        live = self.live(self.configuration, f"{path}/{sub.name}", parent, body)
        shown = resolve.child_properties(sub, body) | live
        extra: Json = {}
        if "name" in sub.refs:
            target = self._target(sub.refs["name"], str(body["fullPath"]))
            extra = {"nameReference": {"link": self.link(target)}} if target else {}
        return {
            "kind": kind_of(f"{path}/{sub.name}"),
            **resolve.head(body),
            "selfLink": self.link(here),
            **self._referring(shown, sub.refs),
            **extra,
            **self._contained(f"{path}/{sub.name}", here, sub.subs, body, parent, expand=expand),
        }

    def collection(self, path: str, items: Sequence[Json], at: str = "", query: str = "") -> Json:
        """Many objects; ``at`` is the collection's place in the URL where it is not its path.

        An empty one has an empty list of items, as get_ltm_policy.json and get_ltm_snatpool.json show.
        """
        return {
            "kind": kind_of(path, "collectionstate"),
            "selfLink": self.link(at or path, query),
            "items": list(items),
        }

    def _contained(self, path: str, at: str, subs: Sequence[Sub], body: Body, parent: str, *, expand: bool) -> Json:
        found: Json = {}
        for sub in subs:
            reference: Json = {"link": self.link(f"{at}/{sub.name}"), "isSubcollection": True}
            children = body.get(sub.name, ())
            if expand and children:
                reference["items"] = [self.child(path, at, sub, child, parent, expand=True) for child in children]
            found[f"{_camel(sub.name)}Reference"] = reference
        return found

    def _referring(self, shown: Json, refs: Mapping[str, Ref]) -> Json:
        """Properties, each reference followed by its link."""
        whole: Json = {}
        for name, value in shown.items():
            whole[name] = _masked(value) if name in _SECRET and not resolve.absent(value) else value
            ref = refs.get(name)
            if ref is None or not ref.link:
                continue
            if isinstance(value, list):
                links = [self._target(ref, str(one)) for one in cast("list[object]", value)]
                whole[f"{name}Reference"] = [{"link": self.link(one)} for one in links if one]
            elif target := self._target(ref, str(value)):
                whole[f"{name}Reference"] = {"link": self.link(target)}
        return whole

    def _target(self, ref: Ref, path: str) -> str:
        for collection in ref.collections:
            if path in self.configuration.of(collection):
                return f"{collection}/{tilde(path)}"
        return ""

    def _pair(self, pair: Body) -> Json:
        refs = {
            name: ref for name, ref in KINDS["ltm/profile/client-ssl"].refs.items() if name in ("cert", "key", "chain")
        }
        return self._referring(dict(pair), refs)

    def _options(self, value: object) -> object:
        words = option_words(value)
        if self._numbers >= _STRING_OPTIONS:
            return f"{{ {' '.join(words)} }}" if words else "none"
        return words


def _masked(value: object) -> str:
    """A secret as a device shows it: encrypted by its master key (assumption ``masked``)."""
    return f"$M$Sq${sha256(str(value).encode()).hexdigest()[:32]}"


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(word.capitalize() for word in rest)
