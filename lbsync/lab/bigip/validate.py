"""Whether a configuration as a whole may run: what the configuration daemon checks at the end of every change.

Rule of this room: it sees the outcome, never the way to it; a pair of key and certificate may disagree half-way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from lbsync.lab.bigip import errors
from lbsync.lab.bigip.certificates import Unreadable, belong_together
from lbsync.lab.bigip.kinds import KINDS, Kind, Ref, Sub
from lbsync.lab.bigip.names import folder, is_draft
from lbsync.lab.bigip.options import NO_TLS13, knows_tls13, option_words
from lbsync.lab.bigip.plane import Body
from lbsync.lab.bigip.resolve import absent, properties
from lbsync.lab.bigip.shapes import in_route_domain, node_of
from lbsync.lab.bigip.store import Configuration, Draft

_FILES = ("sys/file/ssl-cert", "sys/file/ssl-key")
_SSL = ("ltm/profile/client-ssl", "ltm/profile/server-ssl")
_WORDED_SINCE = 14
"""From 14 on the message names the files (errors.json)."""


def validate(draft: Draft, version: str) -> None:
    """Raises Refusal for the first thing that is wrong."""
    _folders(draft)
    _references(draft)
    _pairs(draft, version)
    _protocols(draft, version)
    _destinations(draft)
    _addresses(draft)
    _policies(draft)
    _names(draft)


def _folders(draft: Draft) -> None:
    folders = draft.of("sys/folder")
    for collection, path, _ in draft.changed():
        kind = KINDS[collection]
        if not kind.bare and collection != "sys/folder" and folder(path) not in folders:
            raise errors.not_found("folder", folder(path))
        if collection == "sys/folder" and path.count("/") > 1 and folder(path) not in folders:
            raise errors.not_found("folder", folder(path))
    for collection, path in draft.removed:
        if collection == "sys/folder":
            for _, inside, _ in draft.every():
                if inside.startswith(f"{path}/"):
                    raise errors.configuration(
                        f"folder {path} is not empty, {inside} lies in it"
                    )  # Assumption ``wording``.


# --- references ----------------------------------------------------------------------------------------------------------


def _references(draft: Draft) -> None:
    for collection, path, body in draft.every():
        kind = KINDS[collection]
        for ref, target in _links(kind, body):
            found = any(target in draft.of(other) for other in ref.collections)
            if not found:
                _dangling(draft, kind, path, ref, target)


def _links(place: Kind | Sub, body: Body) -> Iterator[tuple[Ref, str]]:
    """Every full path that an object names, by the kinds it may be of."""
    for name, ref in place.refs.items():
        for target in _paths(body["fullPath"] if name == "name" else body.get(name)):
            yield ref, target
    for pair in body.get("certKeyChain", ()):
        for name in ("cert", "key", "chain"):
            if not absent(pair.get(name)):
                yield KINDS["ltm/profile/client-ssl"].refs[name], str(pair[name])
    for sub in place.subs:
        for child in body.get(sub.name, ()):
            yield from _links(sub, child)


def _paths(value: object) -> list[str]:
    """Every full path in a property: alone, in a list, or in a monitor rule."""
    if absent(value):
        return []
    texts = cast("list[object]", value) if isinstance(value, list) else [value]
    return [path for text in texts for path in re.findall(r"/[^\s{}]+", str(text))]


def _dangling(draft: Draft, kind: Kind, path: str, ref: Ref, target: str) -> None:
    """One object names another that is not there: it was just removed, or never existed."""
    gone = next((other for other in ref.collections if (other, target) in draft.removed), None)
    if gone is None:
        title = KINDS[ref.collections[0]].title if len(ref.collections) == 1 else _common_title(ref)
        if ref.collections[0] in _FILES:
            word = "key" if ref.collections[0] == _FILES[1] else "certificate"
            raise errors.Refusal(400, f"01070277:3: The requested {word} ({target}) was not found.")
        raise errors.not_found(title, target)
    if gone in _FILES:
        raise errors.Refusal(400, f"01071349:3: File object by name ({target}) is in use.")
    if gone.startswith("ltm/monitor/"):
        raise errors.Refusal(400, f"01070083:3: Monitor {target} is in use.")  # Assumption ``wording``.
    raise errors.in_use(KINDS[gone].title, target, kind.title, path)


def _common_title(ref: Ref) -> str:
    return "monitor" if ref.collections[0].startswith("ltm/monitor/") else "profile"


# --- keys and certificates -----------------------------------------------------------------------------------------------


def _pairs(draft: Draft, version: str) -> None:
    kind = KINDS["ltm/profile/client-ssl"]
    for path, body in draft.of(kind.path).items():
        for pair in properties(draft, kind, body)["certKeyChain"]:
            if absent(pair.get("key")) != absent(pair.get("cert")):
                # Assumption ``wording``.
                raise errors.Refusal(
                    400, f"010717e4:3: Client SSL profile ({path}): cert and key must be given together."
                )
            if not absent(pair.get("key")):
                _agree(draft, path, pair, version)


def _agree(draft: Draft, profile: str, pair: Body, version: str) -> None:
    key, cert = str(pair["key"]), str(pair["cert"])
    said = pair.get("passphrase") or draft.of(_FILES[1])[key].get("passphrase") or ""
    try:
        good = belong_together(draft.read(_FILES[1], key), draft.read(_FILES[0], cert), str(said))
    except Unreadable as problem:
        # Assumption ``wording``.
        raise errors.Refusal(400, f"01070313:3: Error reading key PEM file {key} for profile {profile}.") from problem
    if good:
        return
    if int(version.split(".", 1)[0]) >= _WORDED_SINCE:
        message = f"01070317:3: profile {profile}'s key({key}) and certificate({cert}) do not match."
    else:
        message = f"01070317:3: profile {profile}'s key and certificate do not match"
    raise errors.Refusal(400, message)


# --- TLS 1.3 -------------------------------------------------------------------------------------------------------------


def _protocols(draft: Draft, version: str) -> None:
    """Before 14.0 nobody knows TLS 1.3; since then it takes a cipher group (assumption ``tls13-cipher-group``)."""
    if not knows_tls13(version):
        for collection in _SSL:
            for path, body in draft.of(collection).items():
                if NO_TLS13 in option_words(body.get("tmOptions")):
                    # Assumption ``wording``.
                    raise errors.Refusal(400, f"01070712:3: {path}: unknown option {NO_TLS13} in tmOptions.")
        return
    for path in draft.of(_SSL[0]):
        if _mixed(draft, path) and not _mixed(draft.base, path):
            # Assumption ``wording``.
            raise errors.Refusal(
                400,
                f"01070734:3: Configuration error: Client SSL profile ({path}): TLS 1.3 needs a cipher group;"
                f" set cipherGroup, or {NO_TLS13} in tmOptions.",
            )


def _mixed(objects: Draft | Configuration, path: str) -> bool:
    """True for a client-ssl profile that speaks TLS 1.3 and has a cipher string, by its own word or its parents'."""
    kind = KINDS[_SSL[0]]
    body = objects.of(kind.path).get(path)
    if body is None:
        return False
    whole = properties(objects, kind, body)
    strings = not absent(whole["ciphers"]) and absent(whole["cipherGroup"])
    return strings and NO_TLS13 not in option_words(whole["tmOptions"])


# --- virtual servers, nodes, policies ------------------------------------------------------------------------------------


def _destinations(draft: Draft) -> None:
    seen: dict[tuple[str, str, str], str] = {}
    for path, body in draft.of("ltm/virtual").items():
        key = (
            str(body["destination"]).rsplit("/", 1)[1],
            str(body.get("source", "0.0.0.0/0")),
            str(body.get("ipProtocol", "tcp")),
        )
        if key in seen:
            one, other = (path, seen[key]) if path not in draft.base.of("ltm/virtual") else (seen[key], path)
            raise errors.Refusal(
                400,
                f"01070333:3: Virtual Server {one} illegally shares destination address, source address,"
                f" service port, ip-protocol, and vlan with Virtual Server {other}.",
            )
        seen[key] = path


def _addresses(draft: Draft) -> None:
    seen: set[str] = set()
    for body in draft.of("ltm/node").values():
        partition = draft.of("auth/partition").get(str(body["partition"]), {})
        address = in_route_domain(str(body["address"]), partition.get("defaultRouteDomain", 0))
        if address in seen:
            raise errors.Refusal(400, f"0107176c:3: Invalid Node, the IP address {address} already exists.")
        seen.add(address)
    for collection, path in draft.removed:
        if collection == "ltm/node":
            for pool, body in draft.of("ltm/pool").items():
                if any(node_of(str(one["fullPath"])) == path for one in body.get("members", ())):
                    # Assumption ``wording``.
                    raise errors.Refusal(
                        400, f"01070110:3: Node address '{path}' is referenced by a member of pool '{pool}'."
                    )


def _policies(draft: Draft) -> None:
    for path, body in draft.of("ltm/virtual").items():
        kinds = {name for one in body.get("profiles", ()) for name in _profile_kinds(draft, str(one["fullPath"]))}
        for entry in body.get("policies", ()):
            policy = str(entry["fullPath"])
            if is_draft(policy):
                # Assumption ``wording``.
                raise errors.configuration(
                    f"Virtual Server {path} cannot use the draft policy {policy}, publish it first."
                )
            requires = draft.of("ltm/policy")[policy].get("requires") or []
            if "http" in requires and "http" not in kinds:
                # Assumption ``wording``.
                raise errors.configuration(f"Policy {policy} on Virtual Server {path} requires an HTTP profile.")


def _profile_kinds(draft: Draft, path: str) -> Iterator[str]:
    for name in ("client-ssl", "fastl4", "http", "ntlm", "one-connect", "server-ssl", "tcp"):
        if path in draft.of(f"ltm/profile/{name}"):
            yield name


def _names(draft: Draft) -> None:
    """Profiles of all types share their names, as virtual servers name them without a type (assumption ``profile-names``)."""
    for collection, path, _ in draft.changed():
        if collection.startswith("ltm/profile/") and len(list(_profile_kinds(draft, path))) > 1:
            raise errors.exists("profile", path)
