"""Reading and writing the object store by REST.

Rule of this room: a write is made into work on a draft, so that it can run now or in a transaction; a read sees the running
configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qs

from lbsync.lab.bigip import edit, errors, fileobjects, policies
from lbsync.lab.bigip.downloads import Downloads
from lbsync.lab.bigip.names import Json, kind_of, tilde
from lbsync.lab.bigip.places import Place
from lbsync.lab.bigip.plane import Body
from lbsync.lab.bigip.show import Shown
from lbsync.lab.bigip.stats import Stats
from lbsync.lab.bigip.store import Draft
from lbsync.lab.bigip.transactions import Work

_FILES = (fileobjects.KEY, fileobjects.CERT)


class Objects:
    """The object store of one device."""

    def __init__(self, downloads: Downloads, stats: Stats, *, drafts: bool) -> None:
        """``drafts`` says whether policies have drafts (since 12.1)."""
        self._drafts = drafts
        self._downloads = downloads
        self._stats = stats

    # --- writing ---------------------------------------------------------------------------------------------------------

    def work(self, method: str, place: Place, given: Json) -> Work:
        """What a request does to a draft: returns the full path of the object it was about."""

        def run(draft: Draft) -> str:
            if place.kind.path == "ltm/policy" and self._drafts:
                return self._policy(draft, method, place, given)
            if place.kind.path in _FILES and not place.steps:
                return self._file(draft, method, place, given)
            return self._generic(draft, method, place, given)

        return run

    def _generic(self, draft: Draft, method: str, place: Place, given: Json) -> str:
        kind, path, steps = place.kind, place.path, place.steps
        match method:
            case "POST" if not path:
                return str(edit.create(draft, kind, given)["fullPath"])
            case "POST" if place.collection:
                return str(edit.create_child(draft, kind, path, steps, given)["fullPath"])
            case "PATCH" | "PUT" if place.collection:
                raise errors.Refusal(400, f"{method} of a collection is not supported", errors.REST)
            case "PATCH" | "PUT" if steps:
                edit.change_child(draft, kind, path, steps, given, whole=method == "PUT")
            case "PATCH":
                edit.modify(draft, kind, path, given)
            case "PUT":
                edit.replace(draft, kind, path, given)
            case "DELETE" if steps:
                edit.delete_child(draft, kind, path, steps)
            case "DELETE" if path:
                edit.delete(draft, kind, path)
            case _:
                raise errors.Refusal(405, f"Operation {method} is not supported on {kind.path}", errors.REST)
        return path

    def _file(self, draft: Draft, method: str, place: Place, given: Json) -> str:
        collection = place.kind.path
        if method == "POST" and not place.path:
            return str(fileobjects.create(draft, self._downloads, collection, given)["fullPath"])
        if method in ("PATCH", "PUT") and place.path:
            fileobjects.change(draft, self._downloads, collection, place.path, given, whole=method == "PUT")
            return place.path
        return self._generic(draft, method, place, given)

    def _policy(self, draft: Draft, method: str, place: Place, given: Json) -> str:
        if place.steps:
            policies.guard(draft, place.path)
            path = self._generic(draft, method, place, given)
            policies.refresh(draft, place.path)
            return path
        if method == "POST" and not place.path:
            if "command" in given:
                policies.publish(draft, given)
                return ""
            return str(policies.create(draft, given)["fullPath"])
        if method in ("PATCH", "PUT") and place.path:
            policies.change(draft, place.path, given, whole=method == "PUT")
            return place.path
        return self._generic(draft, method, place, given)

    def written(self, place: Place, path: str, shown: Shown) -> Json:
        """The answer to a write that ran: the object as it is now."""
        body = shown.configuration.of(place.kind.path).get(place.path or path)
        if body is None:
            return {}
        if not place.steps:
            return shown.item(place.kind, body)
        steps = place.steps if place.steps[-1][1] else (*place.steps[:-1], (place.steps[-1][0], path))
        return self._child(place, body, steps, shown, expand=False)

    # --- reading ---------------------------------------------------------------------------------------------------------

    def read(self, place: Place, query: str, shown: Shown) -> Json:
        """The answer to a GET. Raises Refusal."""
        asked = {name: values[-1] for name, values in parse_qs(query).items()}
        if place.stats:
            return self._numbers(place, shown)
        expand = asked.get("expandSubcollections") == "true"
        if not place.path:
            bodies = shown.configuration.of(place.kind.path)
            items = [shown.item(place.kind, body, expand=expand) for _, body in sorted(bodies.items())]
            items = [_selected(item, asked) for item in items if _passes(item, asked)]
            return shown.collection(place.kind.path, items, query=query)
        body = _find(place, shown)
        if not place.steps:
            return _selected(shown.item(place.kind, body, expand=expand), asked)
        if not place.collection:
            return _selected(self._child(place, body, place.steps, shown, expand=expand), asked)
        return self._children(place, body, query, asked, shown)

    def _children(self, place: Place, body: Body, query: str, asked: Mapping[str, str], shown: Shown) -> Json:
        holder = edit.pick(body, place.steps[:-1])
        sub = place.steps[-1][0]
        kind, at = _inner(place)
        expand = asked.get("expandSubcollections") == "true"
        items = [shown.child(kind, at, sub, child, place.path, expand=expand) for child in holder.get(sub.name, ())]
        return shown.collection(
            f"{kind}/{sub.name}",
            [_selected(item, asked) for item in items if _passes(item, asked)],
            f"{at}/{sub.name}",
            query,
        )

    def _child(self, place: Place, body: Body, steps: edit.Steps, shown: Shown, *, expand: bool) -> Json:
        kind, at = _inner(place)
        return shown.child(kind, at, steps[-1][0], edit.pick(body, steps), place.path, expand=expand)

    def _numbers(self, place: Place, shown: Shown) -> Json:
        kind, stats = place.kind.path, self._stats
        bodies = shown.configuration.of(kind)
        if kind == "ltm/virtual" and not place.steps:
            if not place.path:
                return stats.many(
                    kind, kind, {path: stats.virtual(shown.configuration, body) for path, body in bodies.items()}
                )
            return stats.one(kind, place.path, stats.virtual(shown.configuration, _find(place, shown)))
        if kind == "ltm/pool" and not place.steps:
            if not place.path:
                return stats.many(kind, kind, {path: stats.pool(body) for path, body in bodies.items()})
            return stats.one(kind, place.path, stats.pool(_find(place, shown)))
        if kind == "ltm/pool" and place.steps[0][0].name == "members":
            pool = _find(place, shown)
            at = f"{kind}/{tilde(place.path)}/members"
            if place.collection:
                members = {
                    str(one["fullPath"]): stats.member(shown.configuration, place.path, one)
                    for one in pool.get("members", ())
                }
                return stats.many(f"{kind}/members", at, members)
            one = edit.pick(pool, place.steps)
            told = stats.one(at, str(one["fullPath"]), stats.member(shown.configuration, place.path, one))
            return told | {"kind": kind_of(f"{kind}/members", "stats")}
        raise errors.Refusal(404, f"Public URI path not registered: /tm/{kind}/stats", 1)


def _find(place: Place, shown: Shown) -> Body:
    body = shown.configuration.of(place.kind.path).get(place.path)
    if body is None:
        raise errors.not_found(place.kind.title, place.path)
    return body


def _inner(place: Place) -> tuple[str, str]:
    """Collection for the kind, and place in the URL, of what holds the last step."""
    kind, at = place.kind.path, f"{place.kind.path}/{tilde(place.path)}"
    for sub, name in place.steps[:-1]:
        kind, at = f"{kind}/{sub.name}", f"{at}/{sub.name}/{tilde(name)}"
    return kind, at


def _passes(item: Json, asked: Mapping[str, str]) -> bool:
    """``$filter=partition eq X`` is the only filter iControl REST has."""
    text = asked.get("$filter")
    if text is None:
        return True
    match = re.fullmatch(r"partition\s+eq\s+'?([\w.-]+)'?", text.strip())
    if match is None:
        raise errors.Refusal(400, f"invalid $filter {text!r}", errors.REST)  # Assumption ``wording``.
    return item.get("partition") == match.group(1)


def _selected(item: Json, asked: Mapping[str, str]) -> Json:
    text = asked.get("$select")
    if text is None:
        return item
    names = {name.strip() for name in text.split(",")}
    return {name: value for name, value in item.items() if name in names}
