"""An object of ours on a BIG-IP as plans carry it, and the mark that tells it from everybody else's.

Rule of this room: pure. The description of each object names lbsync, the balancer and a digest of what lbsync wrote; an object
without it is foreign and is never changed. File objects have no description: they are told by their name, which holds a digest
of what is in them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from lbsync.model import Value

NODE = "ltm/node"
MONITOR_HTTP = "ltm/monitor/http"
MONITOR_HTTPS = "ltm/monitor/https"
HTTP = "ltm/profile/http"
TCP = "ltm/profile/tcp"
ONE_CONNECT = "ltm/profile/one-connect"
CLIENT_SSL = "ltm/profile/client-ssl"
SERVER_SSL = "ltm/profile/server-ssl"
POOL = "ltm/pool"
POLICY = "ltm/policy"
VIRTUAL = "ltm/virtual"
DATA_GROUP = "ltm/data-group/internal"
SSL_CERT = "sys/file/ssl-cert"
SSL_KEY = "sys/file/ssl-key"

ORDER = (NODE, MONITOR_HTTP, MONITOR_HTTPS, HTTP, TCP, ONE_CONNECT, SERVER_SSL, CLIENT_SSL, POOL, VIRTUAL)
"""What is referred to comes first; it is deleted last."""

_VOLATILE = {CLIENT_SSL: frozenset({"certKeyChain"}), VIRTUAL: frozenset({"policies"})}
"""What a rotation or a change of modes sets: no part of the structure."""
_MARK = re.compile(r"lbsync (?P<balancer>\S+) (?P<digest>[0-9a-f]{32})\Z")


class Thing(Value):
    """One object: its collection (``ltm/pool``), its full path, and the properties that lbsync sets."""

    collection: str
    path: str
    body: dict[str, JsonValue]

    @property
    def digest(self) -> str:
        """Of what lbsync wrote, certificate and modes aside."""
        return digest_of(self.collection, self.body)

    def marked(self, balancer: str) -> Thing:
        """The same with its mark."""
        return self.model_copy(update={"body": {**self.body, "description": f"lbsync {balancer} {self.digest}"}})


def digest_of(collection: str, body: Mapping[str, JsonValue]) -> str:
    """32 hexadecimal digits of an object's properties."""
    left_out = _VOLATILE.get(collection, frozenset[str]()) | {"description"}
    kept = {name: _plain(value) for name, value in body.items() if name not in left_out}
    return short_digest([collection, kept])


def alike(one: object, other: object) -> bool:
    """Whether two values of a property are the same to a device, however it writes them."""
    return _plain(one) == _plain(other)


def _plain(value: object) -> object:
    """Numbers and truth values as text: one version shows as 300 what another shows as "300"."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def rules_digest(rules: object) -> str:
    """32 hexadecimal digits of a policy's rules: names, conditions and actions, as ``project.is_whole`` reads them back."""
    return short_digest(_plain(rules))


def short_digest(value: object) -> str:
    """32 hexadecimal digits of any JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def mark_of(body: Mapping[str, object], balancer: str) -> str | None:
    """The digest in an object's mark; ``None`` where it is not this balancer's."""
    found = _MARK.match(str(body.get("description") or ""))
    return found["digest"] if found and found["balancer"] == balancer else None


def structure_of(things: Iterable[Thing]) -> str | None:
    """Digest of all objects of ours by what lbsync wrote into them; ``None`` where there is none."""
    marks = sorted((thing.collection, thing.path, thing.digest) for thing in things)
    return structure_of_marks(marks)


def structure_of_marks(marks: Iterable[tuple[str, str, str]]) -> str | None:
    """The same from collection, full path and the digest in each object's mark."""
    found = sorted(marks)
    return hashlib.sha256(json.dumps(found).encode()).hexdigest() if found else None


def things_of(value: JsonValue) -> tuple[Thing, ...]:
    """Objects of an image or an action. Raises TypeError where there are none, ValidationError."""
    if not isinstance(value, list):
        raise TypeError("objects must be a list: this was not read or lowered by this provider")
    return tuple(Thing.model_validate(one) for one in value)
