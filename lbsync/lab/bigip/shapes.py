"""What the device makes of a request's body before it stores it: one spelling for everything REST takes in several.

Rule of this room: one function per collection that needs one. It may create what comes along with an object (a node, a
virtual address, a folder Drafts), and refuses what makes no sense by itself; what depends on others is ``validate``'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import cast

from lbsync.lab.bigip import errors
from lbsync.lab.bigip.certificates import stamp
from lbsync.lab.bigip.kinds import KINDS, PROFILES
from lbsync.lab.bigip.names import Json, absolute, folder, parts
from lbsync.lab.bigip.options import option_words
from lbsync.lab.bigip.plane import Body
from lbsync.lab.bigip.resolve import absent, properties
from lbsync.lab.bigip.store import Draft

Shape = Callable[[Draft, str, Json, Body | None], Json]
"""Draft, full path, what was given, and the object as it was (``None`` when it is made): what to store."""

_SERVICES = {"http": 80, "https": 443, "any": 0, "*": 0}
_CONTEXTS = {"ltm/profile/client-ssl": "clientside", "ltm/profile/server-ssl": "serverside"}
_PAIR = ("cert", "key", "chain", "passphrase")


def entries(given: object) -> list[Json]:
    """A list of objects sent in line: bodies, or their bare names. Raises Refusal."""
    if absent(given):
        return []
    if not isinstance(given, list):
        raise errors.nothing_given("a list was expected")
    found: list[Json] = []
    for one in cast("list[object]", given):
        if isinstance(one, dict):
            found.append(dict(cast("Json", one)))
        else:
            found.append({"name": str(one)})
    return found


def named(given: Json, partition: str) -> str:
    """The full path an entry names. Raises Refusal."""
    name = str(given.get("fullPath") or given.get("name") or "")
    if not name:
        raise errors.nothing_given("name")
    home = str(given.get("partition") or partition)
    sub_path = str(given.get("subPath") or "")
    return name if name.startswith("/") else absolute(f"{sub_path}/{name}".strip("/"), home)


def split_port(text: str) -> tuple[str, int]:
    """Address and port of ``10.0.0.1:443``, ``::1.443``; service names are numbers. Raises Refusal."""
    address, _, port = text.rpartition("." if text.count(":") > 1 else ":")
    number = _SERVICES.get(port, -1) if not port.isdigit() else int(port)
    if not address or number < 0:
        raise errors.Refusal(400, f"01070733:3: Invalid service port in {text}.")  # Assumption ``wording``.
    return address, number


def join_port(address: str, port: int) -> str:
    """The reverse of ``split_port``."""
    return f"{address}{'.' if ':' in address else ':'}{port}"


def node_of(member: str) -> str:
    """The full path of a pool member's node. Raises Refusal."""
    home, _, name = member.rpartition("/")
    return f"{home}/{split_port(name)[0]}"


def in_route_domain(address: str, domain: object) -> str:
    """An address as its partition's objects are shown: with the partition's default route domain, unless that is 0.

    Assumption ``route-domain``.
    """
    return address if "%" in address or str(domain) == "0" else f"{address}%{domain}"


# --- pools and nodes -----------------------------------------------------------------------------------------------------


def pool(_draft: Draft, path: str, given: Json, _old: Body | None) -> Json:
    """One spelling for monitors: ``/Common/a and /Common/b``."""
    if not absent(given.get("monitor")):
        given["monitor"] = monitors(str(given["monitor"]), parts(path)[0])
    return given


def monitors(text: str, partition: str) -> str:
    """A monitor rule with full paths."""

    def whole(match: re.Match[str]) -> str:
        word = match.group()
        return word if word in ("and", "min", "of", "default") or word.isdigit() else absolute(word, partition)

    return re.sub(r"[^\s{}]+", whole, text.strip())


def member(draft: Draft, parent: str, given: Json) -> Json:
    """A pool member; its node is made where there is none."""
    path = named(given, parts(parent)[0])
    host, port = split_port(path.rsplit("/", 1)[1])
    path = f"{folder(path)}/{join_port(host, port)}"
    node = f"{folder(path)}/{host}"
    known = draft.of("ltm/node").get(node)
    address = str(given.get("address") or (known or {}).get("address") or host)
    if known is None:
        partition, sub_path, name = parts(node)
        body: Json = {"name": name, "partition": partition, "fullPath": node, "address": address}
        draft.put("ltm/node", node, body | ({"subPath": sub_path} if sub_path else {}))
    if not absent(given.get("monitor")):
        given["monitor"] = monitors(str(given["monitor"]), parts(parent)[0])
    return availability({**given, "name": join_port(host, port), "partition": parts(path)[0], "fullPath": path,
                         "address": address})  # fmt: skip


def availability(given: Json) -> Json:
    """Only what an administrator may say of session and state; what a GET showed may come back. Raises Refusal."""
    if "session" in given and given["session"] not in ("user-enabled", "user-disabled"):
        if given["session"] not in ("monitor-enabled", "addr-disabled"):
            raise errors.nothing_given(f"session {given['session']!r}")
        del given["session"]
    if "state" in given and given["state"] not in ("user-up", "user-down"):
        if given["state"] not in ("up", "down", "checking", "unchecked"):
            raise errors.nothing_given(f"state {given['state']!r}")
        del given["state"]
    return given


def node(_draft: Draft, path: str, given: Json, old: Body | None) -> Json:
    """A node's address may be its name."""
    if old is None:
        given.setdefault("address", path.rsplit("/", 1)[1])
    return availability(given)


# --- virtual servers -----------------------------------------------------------------------------------------------------


def virtual(draft: Draft, path: str, given: Json, old: Body | None) -> Json:
    """Destination with its virtual address, flags that exclude each other, full paths. Raises Refusal."""
    partition = parts(path)[0]
    if old is None:
        if absent(given.get("destination")):
            raise errors.nothing_given("destination")
        given.setdefault("enabled", True)
        given.setdefault("vlansDisabled", True)
        given |= {"creationTime": stamp(), "vsIndex": draft.next_generation()}
    if "destination" in given:
        text = absolute(str(given["destination"]), partition)
        address, port = split_port(text.rsplit("/", 1)[1])
        given["destination"] = f"{folder(text)}/{join_port(address, port)}"
        _virtual_address(draft, f"{folder(text)}/{address}", address)
        given.setdefault("mask", "any6" if ":" in address else "255.255.255.255")
    if not absent(given.get("pool")):
        given["pool"] = absolute(str(given["pool"]), partition)
    if "rules" in given:
        given["rules"] = [named(one, partition) for one in entries(given["rules"])] or None
    if "vlans" in given:
        given["vlans"] = (
            sorted(named(one, partition) for one in entries(given["vlans"])) or None
        )  # assumption ``sorted``
    given["lastModifiedTime"] = stamp()
    given = _exclusive(given, old, "enabled", "disabled")
    return _exclusive(given, old, "vlansEnabled", "vlansDisabled")


def _exclusive(given: Json, old: Body | None, one: str, other: str) -> Json:
    """Two flags of which exactly one is shown; ``false`` for one is ``true`` for the other (assumption ``flags``)."""
    for flag, opposite in ((other, one), (one, other)):
        if flag in given:
            chosen = flag if given[flag] is True else opposite
            given = {name: value for name, value in given.items() if name not in (one, other)}
            return given | {chosen: True, (other if chosen == one else one): None}
    return given if old is not None else given | {one: True}


def _virtual_address(draft: Draft, path: str, address: str) -> None:
    if path in draft.of("ltm/virtual-address"):
        return
    partition, sub_path, name = parts(path)
    mask = "any6" if ":" in address else "255.255.255.255"
    body: Json = {
        "name": name,
        "partition": partition,
        "fullPath": path,
        "address": address.partition("%")[0],
        "mask": mask,
    }
    draft.put("ltm/virtual-address", path, body | ({"subPath": sub_path} if sub_path else {}))


def profile_of_virtual(draft: Draft, parent: str, given: Json) -> Json:
    """A profile on a virtual server; it stands on the side it belongs to if none is given."""
    path = named(given, parts(parent)[0])
    found = profile_collection(draft, path)
    if found is None and not str(given.get("name", "")).startswith("/"):
        path = absolute(str(given["name"]))  # what a partition lacks is looked for in Common
        found = profile_collection(draft, path)
    context = given.get("context") or _CONTEXTS.get(found or "", "all")
    return {"name": parts(path)[2], "partition": parts(path)[0], "fullPath": path, "context": context}


def profile_collection(draft: Draft, path: str) -> str | None:
    """Which kind of profile a full path is."""
    return next((collection for collection in PROFILES if path in draft.of(collection)), None)


def completed(draft: Draft, profiles: Sequence[Body]) -> list[Body]:
    """The profiles of a virtual server, TCP added below HTTP or TLS; fastL4 for none at all (assumption ``tcp-added``)."""
    kinds = {profile_collection(draft, str(one["fullPath"])) for one in profiles}
    if kinds & {"ltm/profile/tcp", "ltm/profile/fastl4", None}:
        return list(profiles)
    name = "tcp" if profiles else "fastL4"
    head = {"name": name, "partition": "Common", "fullPath": f"/Common/{name}", "generation": draft.next_generation()}
    return [*profiles, {**head, "context": "all"}]


def policy_of_virtual(_draft: Draft, parent: str, given: Json) -> Json:
    """A policy on a virtual server."""
    path = named(given, parts(parent)[0])
    partition, sub_path, name = parts(path)
    extra = {"subPath": sub_path} if sub_path else {}
    return {"name": name, "partition": partition, **extra, "fullPath": path}


# --- profiles and monitors -----------------------------------------------------------------------------------------------


def profile(_draft: Draft, path: str, given: Json, _old: Body | None) -> Json:
    """A full path for the parent."""
    if not absent(given.get("defaultsFrom")):
        given["defaultsFrom"] = absolute(str(given["defaultsFrom"]), parts(path)[0])
    if "tmOptions" in given:
        given["tmOptions"] = option_words(given["tmOptions"])
    for name in ("cert", "key", "chain", "caFile"):
        if not absent(given.get(name)):
            given[name] = absolute(str(given[name]), parts(path)[0])
    return given


def client_ssl(draft: Draft, path: str, given: Json, old: Body | None) -> Json:
    """One certKeyChain, whichever way the pair was given; both ways at once are refused (errors.json). Raises Refusal."""
    given = profile(draft, path, given, old)
    top = [name for name in _PAIR if name in given and not (absent(given[name]) and "certKeyChain" not in given)]
    if "certKeyChain" in given and top:
        raise errors.Refusal(
            400,
            f"01b4002a:3: Client SSL profile ({path}):cert-key-chain and profile cert/key/chain/passphrase"
            " options cannot be specified together.",
        )
    given.pop("inheritCertkeychain", None)
    if "certKeyChain" in given:
        given["certKeyChain"] = [_pair(one, parts(path)[0]) for one in entries(given["certKeyChain"])]
    elif any(name in given for name in _PAIR):
        said = {name: given.pop(name) for name in _PAIR if name in given}
        given["certKeyChain"] = [_pair({**_current(draft, old), **said}, parts(path)[0])]
    return given


def _current(draft: Draft, old: Body | None) -> Json:
    """The pair that a change at the top level starts from; its name is assumption ``chain-name``."""
    if old is None:
        return {"name": "default"}
    pairs = properties(draft, KINDS["ltm/profile/client-ssl"], old)["certKeyChain"]
    return dict(pairs[0]) if pairs else {"name": "default"}


def _pair(given: Json, partition: str) -> Json:
    if absent(given.get("name")):
        raise errors.nothing_given("certKeyChain needs a name")
    whole: Json = {"name": str(given["name"]), "appService": "none"}
    for name in ("cert", "chain", "key"):
        value = given.get(name)
        whole[name] = "none" if absent(value) else absolute(str(value), partition)
    if not absent(given.get("passphrase")):
        whole["passphrase"] = given["passphrase"]
    return whole | {"usage": given.get("usage", "SERVER")}


SHAPES: dict[str, Shape] = {
    "ltm/pool": pool,
    "ltm/node": node,
    "ltm/virtual": virtual,
    "ltm/profile/client-ssl": client_ssl,
    **{f"ltm/profile/{name}": profile for name in ("server-ssl", "http", "tcp", "one-connect", "ntlm", "fastl4")},
    **{f"ltm/monitor/{name}": profile for name in ("http", "https", "tcp", "icmp")},
}
CHILDREN: dict[str, Callable[[Draft, str, Json], Json]] = {
    "ltm/pool/members": member,
    "ltm/virtual/profiles": profile_of_virtual,
    "ltm/virtual/policies": policy_of_virtual,
}
