"""What an object is in full: its own properties, its parent profiles', the defaults of its kind.

Rule of this room: pure; a property that is set to ``none`` stays ``none`` where the device shows it, and is absent elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lbsync.lab.bigip.kinds import Kind, Sub
from lbsync.lab.bigip.names import Json
from lbsync.lab.bigip.options import NO_TLS13, option_words
from lbsync.lab.bigip.plane import Body, Config
from lbsync.lab.bigip.store import Configuration

_DEPTH = 20
"""More ancestors than anybody has; a profile that inherits from itself ends here."""
_HEAD = ("name", "partition", "subPath", "fullPath", "generation")


class Objects(Protocol):
    """A configuration or one being changed."""

    def of(self, collection: str) -> Mapping[str, Body]:
        """The objects of one collection."""
        ...


def absent(value: object) -> bool:
    """True for what stands for nothing at all."""
    return value is None or value in ("none", "")


def own(body: Body, place: Kind | Sub) -> Json:
    """The properties said of an object itself, without its head and its sub-collections."""
    subs = {sub.name for sub in place.subs}
    return {name: value for name, value in body.items() if name not in subs and name not in _HEAD}


def head(body: Body) -> Json:
    """Name, partition, folder, full path and generation of an object, as far as it has them."""
    return {name: body[name] for name in _HEAD if name in body}


def properties(objects: Objects, kind: Kind, body: Body, depth: int = 0) -> Json:
    """All properties of an object, inherited ones and defaults included."""
    said = own(body, kind)
    if not kind.base:
        return {**kind.defaults, **said}
    parent = str(said.get("defaultsFrom", "none" if body["fullPath"] == kind.base else kind.base))
    above = objects.of(kind.path).get(parent) if depth < _DEPTH else None
    inherited: Json = dict(kind.defaults) if above is None else properties(objects, kind, above, depth + 1)
    whole = {**inherited, **said, "defaultsFrom": parent}
    if kind.path == "ltm/profile/client-ssl":
        whole = _first_pair(whole, body, kind)
    if kind.plain and parent == "none":
        del whole["defaultsFrom"]
    return whole


def _first_pair(whole: Json, body: Body, kind: Kind) -> Json:
    """Show the first certKeyChain entry at the top, too, as the captured profiles do."""
    pairs = whole["certKeyChain"]
    first = pairs[0] if pairs else {}
    top = {name: first.get(name, "none") for name in ("cert", "key", "chain")}
    inherits = "false" if "certKeyChain" in body or body["fullPath"] == kind.base else "true"
    return {**whole, **top, "inheritCertkeychain": inherits}


def child_properties(sub: Sub, body: Body) -> Json:
    """All properties of an object in a sub-collection."""
    return {**sub.defaults, **own(body, sub)}


def in_full(objects: Objects, kind: Kind, body: Body) -> Json:
    """An object with everything, its sub-collections in line, as the data plane is given it."""
    lists = {
        sub.name: [_child_in_full(sub, child) for child in body.get(sub.name, ())] for sub in kind.subs if sub.listed
    }
    return {**head(body), **properties(objects, kind, body), **lists}


def _child_in_full(sub: Sub, body: Body) -> Json:
    lists = {deeper.name: [_child_in_full(deeper, child) for child in body.get(deeper.name, ())] for deeper in sub.subs}
    return {**head(body), **child_properties(sub, body), **lists}


def running(configuration: Configuration, kinds: Mapping[str, Kind], *, tls13: bool) -> Config:
    """A whole configuration for the data plane. A key and a certificate of one name share one content (PEM allows it).

    ``tls13`` is false for a version that does not know it: the data plane is told so by each profile's options.
    """
    objects = {
        collection: {path: in_full(configuration, kinds[collection], body) for path, body in bodies.items()}
        for collection, bodies in configuration.objects.items()
    }
    for collection in () if tls13 else ("ltm/profile/client-ssl", "ltm/profile/server-ssl"):
        for body in objects.get(collection, {}).values():
            body["tmOptions"] = [*option_words(body["tmOptions"]), NO_TLS13]
    files: dict[str, bytes] = {}
    for (_, path), content in configuration.files.items():
        files[path] = files[path] + b"\n" + content if path in files else content
    return Config(objects, files)
