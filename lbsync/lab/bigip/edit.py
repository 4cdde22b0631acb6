"""Making, changing, replacing and deleting objects and those in their sub-collections, on a draft.

Rule of this room: the same for every collection; what is special is ``shapes``' (bodies) and ``validate``'s (the outcome).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lbsync.lab.bigip import errors, shapes
from lbsync.lab.bigip.kinds import Kind, Sub, ignorable, missing
from lbsync.lab.bigip.names import DRAFTS, Json, compose, folder, parts, tilde
from lbsync.lab.bigip.plane import Body
from lbsync.lab.bigip.resolve import absent, head
from lbsync.lab.bigip.store import Draft

Steps = Sequence[tuple[Sub, str]]
"""The way from an object down into its sub-collections; the last name is empty for the sub-collection itself."""


def find(draft: Draft, kind: Kind, path: str) -> Body:
    """An object. Raises Refusal."""
    body = draft.of(kind.path).get(path)
    if body is None:
        raise errors.not_found(kind.title, path)
    return body


def create(draft: Draft, kind: Kind, given: Json) -> Body:
    """Make an object. Raises Refusal."""
    given = dict(given)
    path, meta = _identity(kind, given)
    if path in draft.of(kind.path):
        raise errors.exists(kind.title, path)
    if kind.fixed:
        raise errors.Refusal(400, f"{kind.path} objects cannot be created", errors.REST)
    shaped = _shaped(draft, kind, path, given, None)
    if kind.path == "auth/partition":
        name = str(meta["name"])
        draft.put("sys/folder", f"/{name}", {"name": name, "subPath": "/", "fullPath": f"/{name}"})
    home = folder(path)
    if home.endswith(f"/{DRAFTS}") and home not in draft.of("sys/folder"):
        # BIG-IP makes a folder Drafts by itself wherever a draft is created (assumption ``drafts-folder``).
        draft.put("sys/folder", home, _folder_body(home))
    return draft.put(kind.path, path, _without_nothing(kind, {**meta, **shaped}))


def _identity(kind: Kind, given: Json) -> tuple[str, Json]:
    """Full path of what is to be made, and its head; both leave ``given``."""
    name = str(given.pop("name", "") or "")
    partition = str(given.pop("partition", "") or "")
    sub_path = str(given.pop("subPath", "") or "")
    if not name:
        raise errors.nothing_given("name")
    if kind.bare:
        return name, {"name": name, "fullPath": name}
    path = name if name.startswith("/") else compose(partition or "Common", sub_path, name)
    if kind.path == "sys/folder":
        return path, _folder_body(path)
    home, below, last = parts(path)
    if not last:
        raise errors.nothing_given("name")
    return path, {"name": last, "partition": home, **({"subPath": below} if below else {}), "fullPath": path}


def _folder_body(path: str) -> Json:
    partition, below, name = parts(path)
    if not name:
        return {"name": partition, "subPath": "/", "fullPath": path}
    return {"name": name, "partition": partition, **({"subPath": below} if below else {}), "fullPath": path}


def modify(draft: Draft, kind: Kind, path: str, given: Json) -> Body:
    """Set the properties given; lists are replaced whole. Raises Refusal."""
    old = find(draft, kind, path)
    given = {name: value for name, value in given.items() if not ignorable(name)}
    if not given:
        raise errors.nothing_given()
    shaped = _shaped(draft, kind, path, given, old)
    return draft.put(kind.path, path, _without_nothing(kind, {**old, **shaped}))


def replace(draft: Draft, kind: Kind, path: str, given: Json) -> Body:
    """Let an object be what is given and nothing else, its sub-collections aside. Raises Refusal."""
    old = find(draft, kind, path)
    given = {name: value for name, value in given.items() if not ignorable(name)}
    shaped = _shaped(draft, kind, path, given, old)
    kept = {sub.name: old[sub.name] for sub in kind.subs if sub.name in old}
    made = {
        name: old[name] for name in ("vsIndex", "creationTime", "address", "destination", "createTime") if name in old
    }
    return draft.put(kind.path, path, _without_nothing(kind, {**head(old), **made, **kept, **shaped}))


def delete(draft: Draft, kind: Kind, path: str) -> None:
    """Remove an object. Raises Refusal."""
    find(draft, kind, path)
    if kind.fixed:
        raise errors.Refusal(400, f"{kind.path} objects cannot be deleted", errors.REST)
    draft.drop(kind.path, path)
    if kind.path == "auth/partition":
        draft.drop("sys/folder", f"/{path}")


def _shaped(draft: Draft, kind: Kind, path: str, given: Json, old: Body | None) -> Json:
    if unknown := missing(given, kind):
        raise errors.nothing_given(f"unknown {', '.join(unknown)}")
    given = {name: value for name, value in given.items() if not ignorable(name)}
    for sub in kind.subs:
        if sub.name in given:
            given[sub.name] = _children(draft, kind.path, path, sub, given[sub.name])
    shape = shapes.SHAPES.get(kind.path)
    given = shape(draft, path, given, old) if shape is not None else given
    if kind.path == "ltm/virtual" and (old is None or "profiles" in given):
        given["profiles"] = shapes.completed(draft, given.get("profiles", []))
    return given


def _without_nothing(kind: Kind, body: Json) -> Json:
    """Where ``none`` is not shown, setting it removes the property."""
    if not kind.plain:
        return body
    return {name: value for name, value in body.items() if not (absent(value) and name not in kind.defaults)}


# --- sub-collections -----------------------------------------------------------------------------------------------------


def _children(draft: Draft, path: str, parent: str, sub: Sub, given: object) -> list[Json]:
    found: list[Json] = []
    for one in shapes.entries(given):
        child = _child(draft, path, parent, sub, one)
        if any(child["fullPath"] == other["fullPath"] for other in found):
            raise errors.exists(sub.name.removesuffix("s"), str(child["fullPath"]))
        found.append(child)
    return _in_order(sub, found)


def _in_order(sub: Sub, children: list[Json]) -> list[Json]:
    """Pool members by full path (assumption ``sorted``); anything else as it was sent."""
    return sorted(children, key=lambda child: str(child["fullPath"])) if sub.ordered else children


def _child(draft: Draft, path: str, parent: str, sub: Sub, given: Json) -> Json:
    if unknown := missing(given, sub):
        raise errors.nothing_given(f"unknown {', '.join(unknown)}")
    head_of: Json = {name: given[name] for name in ("name", "partition", "subPath", "fullPath") if name in given}
    said = {name: value for name, value in given.items() if not ignorable(name)}
    for deeper in sub.subs:
        if deeper.name in said:
            said[deeper.name] = _children(draft, f"{path}/{sub.name}", parent, deeper, said[deeper.name])
    shape = shapes.CHILDREN.get(f"{path}/{sub.name}")
    if shape is not None:
        child = shape(draft, parent, {**said, **head_of})
    elif sub.partitioned:
        full = shapes.named(head_of, parts(parent)[0])
        child = {**said, "name": parts(full)[2], "partition": parts(full)[0], "fullPath": full}
    else:
        name = str(head_of.get("name", ""))
        if not name:
            raise errors.nothing_given("name")
        child = {**said, "name": name, "fullPath": name}
    return {**child, "generation": draft.next_generation()}


def pick(body: Body, steps: Steps) -> Body:
    """What lies at the end of a way. Raises Refusal."""
    for sub, name in steps:
        body = next((child for child in body.get(sub.name, ()) if _is(child, name)), {})
        if not body:
            raise errors.no_child(name)
    return body


def _is(child: Body, name: str) -> bool:
    return (
        name in (child["fullPath"], tilde(str(child["fullPath"])), child["name"]) or name == f"/Common/{child['name']}"
    )


def create_child(draft: Draft, kind: Kind, path: str, steps: Steps, given: Json) -> Body:
    """Make an object in a sub-collection. Raises Refusal."""
    sub = steps[-1][0]
    inner = "/".join([kind.path, *(step.name for step, _ in steps[:-1])])
    child = _child(draft, inner, path, sub, given)

    def add(children: list[Json]) -> list[Json]:
        if any(other["fullPath"] == child["fullPath"] for other in children):
            raise errors.exists(sub.name.removesuffix("s"), str(child["fullPath"]))
        return _in_order(sub, [*children, child])

    _rebuilt(draft, kind, path, steps, add)
    return child


def change_child(draft: Draft, kind: Kind, path: str, steps: Steps, given: Json, *, whole: bool) -> Body:
    """Set properties of one in a sub-collection, or replace it (``whole``). Raises Refusal."""
    sub, name = steps[-1]
    old = pick(find(draft, kind, path), steps)
    inner = "/".join([kind.path, *(step.name for step, _ in steps[:-1])])
    if not any(not ignorable(key) for key in given):
        raise errors.nothing_given()
    base = head(old) if whole else {key: value for key, value in old.items() if key != "generation"}
    fresh = _child(
        draft, inner, path, sub, {**base, **given, **{k: v for k, v in head(old).items() if k != "generation"}}
    )

    def swap(children: list[Json]) -> list[Json]:
        return [fresh if _is(child, name) else child for child in children]

    _rebuilt(draft, kind, path, steps, swap)
    return fresh


def delete_child(draft: Draft, kind: Kind, path: str, steps: Steps) -> None:
    """Remove one from a sub-collection. Raises Refusal."""
    name = steps[-1][1]
    pick(find(draft, kind, path), steps)
    _rebuilt(draft, kind, path, steps, lambda children: [child for child in children if not _is(child, name)])


def _rebuilt(draft: Draft, kind: Kind, path: str, steps: Steps, change: Callable[[list[Json]], list[Json]]) -> None:
    """Put the object again with the children at the end of the way changed."""

    def down(body: Body, way: Steps) -> Json:
        (sub, name), rest = way[0], way[1:]
        children: list[Json] = list(body.get(sub.name, ()))
        if not rest:
            return {**body, sub.name: change(children)}
        pick(body, way[:1])
        return {**body, sub.name: [down(child, rest) if _is(child, name) else child for child in children]}

    changed = down(find(draft, kind, path), steps)
    if kind.path == "ltm/virtual":
        changed["profiles"] = shapes.completed(draft, changed.get("profiles", []))
    draft.put(kind.path, path, changed)


def settle(draft: Draft) -> None:
    """What the device tidies up by itself: virtual addresses that no virtual server uses any more."""
    used = {_address(body) for body in draft.of("ltm/virtual").values()}
    gone = {_address(body) for body in draft.base.of("ltm/virtual").values()} - used
    for path in gone:
        body = draft.of("ltm/virtual-address").get(path)
        if body is not None and body.get("autoDelete", "true") == "true":
            draft.drop("ltm/virtual-address", path)


def _address(virtual: Body) -> str:
    destination = str(virtual["destination"])
    return f"{folder(destination)}/{shapes.split_port(destination.rsplit('/', 1)[1])[0]}"
