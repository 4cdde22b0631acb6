"""What the bench's BIG-IP holds, and what it answers, in the shapes that were captured from a 14.1.2.1.

Rule of this room: it keeps files, objects and transactions and judges nothing: every contender means well. Rules, faults and
security are the lab's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from bench.bigip_rotation import DOWNLOADS, PASSWORD, PROFILE, USER

Json = dict[str, Any]
_BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
_KEYS, _CERTIFICATES, _PROFILES = "sys/file/ssl-key", "sys/file/ssl-cert", "ltm/profile/client-ssl"
_KINDS = {"key": _KEYS, "cert": _CERTIFICATES, "chain": _CERTIFICATES}
_OLD = {"name": "old", "cert": "/Common/old.crt", "key": "/Common/old.key", "chain": "none"}
_PROFILE: Mapping[str, Any] = {
    "defaultsFrom": "/Common/clientssl", "ciphers": "DEFAULT", "cipherGroup": "none", "mode": "enabled", "serverName": "none",
    "sniDefault": "false", "sniRequire": "false", "renegotiation": "enabled", "secureRenegotiation": "require",
    "tmOptions": "{ dont-insert-empty-fragments no-tlsv1.3 }", "cacheSize": 262144, "cacheTimeout": 3600,
    "peerCertMode": "ignore", "authenticate": "once", "authenticateDepth": 9, "caFile": "none", "clientCertCa": "none",
    "crlFile": "none", "allowExpiredCrl": "disabled", "retainCertificate": "true", "sslForwardProxy": "disabled",
    "sslForwardProxyBypass": "disabled", "cert": _OLD["cert"], "key": _OLD["key"], "chain": "none", "certKeyChain": [_OLD],
}  # fmt: skip
_SAVES: Mapping[str, Json] = {
    "sys/config": {"kind": "tm:sys:config:savestate"},
    "util/bash": {"kind": "tm:util:bash:runstate", "commandResult": "Saving running configuration...\n"},
}
"""Ansible's way is a shell with ``tmsh save sys config``; nothing else is asked of a shell here."""
_VERSION = "14.1.2.1"


class Device:
    """As before any rotation."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.uploads: dict[str, str] = {}
        self.tokens: set[str] = set()
        self.queues: dict[str, list[tuple[str, str, Json]]] = {}
        self.unsaved = False
        self._contents: dict[tuple[str, str], str] = {}
        self._objects = {(_PROFILES, PROFILE): _object(_PROFILES, PROFILE, {**_PROFILE})}

    @property
    def told(self) -> Json:
        """For whoever measures: what was asked, what the profile serves now, what was left behind."""
        (entry,) = self._objects[_PROFILES, PROFILE]["certKeyChain"]
        return {
            "requests": self.requests,
            "served": {part: self._contents.get((kind, entry.get(part)), "") for part, kind in _KINDS.items()},
            "unsaved": self.unsaved,
            "uploads": len(self.uploads),
            "tokens": len(self.tokens),
            "transactions": len(self.queues),
        }

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: str) -> tuple[int, Json]:
        """Status and body. ``path`` is below ``/mgmt/``, without a slash at the end. Raises KeyError for what is unknown."""
        self.requests.append(f"{method} /mgmt/{path}")
        if path == "shared/authn/login":
            token = f"{len(self.requests):026d}"
            self.tokens.add(token)
            return 200, {"username": USER, "loginProviderName": "tmos", "token": {"token": token, "timeout": 1200}}
        if headers.get("x-f5-auth-token") not in self.tokens and headers.get("authorization") != _BASIC:
            return 401, {"code": 401, "message": "Authorization failed", "errorStack": []}
        if path.startswith("tm/"):
            number = headers.get("x-f5-rest-coordination-id", "")
            return self._tm(method, path.removeprefix("tm/"), number, json.loads(body or "{}"))
        return 200, self._shared(method, path, body)

    def _shared(self, method: str, path: str, body: str) -> Json:
        above, _, last = path.rpartition("/")
        match method, above:
            case "POST", "shared/file-transfer/uploads":
                self.uploads[last] = body
            case "DELETE", "shared/authz/tokens":
                self.tokens.remove(last)
            case _:
                raise KeyError(path)
        return {}

    def _tm(self, method: str, path: str, number: str, given: Json) -> tuple[int, Json]:
        if path.startswith("transaction"):
            return 200, self._transaction(method, path.rpartition("/")[2], given)
        if method == "GET":
            return self._read(path)
        if number:
            self.queues[number].append((method, path, given))
            return 200, {"method": method, "uri": path, "body": given, "kind": "tm:transaction:commandsstate"}
        return 200, self._change(method, path, given)

    def _transaction(self, method: str, number: str, given: Json) -> Json:
        if method == "PATCH":
            for queued in self.queues.pop(number):
                self._change(*queued)
            state = "COMPLETED"
        else:
            number, state = str(1700000000000000 + len(self.requests)), "STARTED"
            self.queues[number] = []
        return (
            given | _linked(f"transaction/{number}", "tm:transactionstate") | {"transId": int(number), "state": state}
        )

    def _read(self, path: str) -> tuple[int, Json]:
        match path:
            case "sys":
                return 200, _linked(path, "tm:sys:syscollectionstate") | {"items": []}
            case "cm/device":
                said = {"selfDevice": "true", "failoverState": "active", "version": _VERSION}
                items = [_object(path, "/Common/bigip01.lab.local", said)]
                return 200, _linked(path, "tm:cm:device:devicecollectionstate") | {"items": items}
            case _:
                found = self._objects.get(_place(path))
        if found is None:
            return 404, {"code": 404, "message": f"01020036:3: The requested object ({path}) was not found."}
        return 200, found

    def _change(self, method: str, path: str, given: Json) -> Json:
        if path == "util/unix-rm":
            for word in given["utilCmdArgs"].split():
                self.uploads.pop(word.removeprefix(f"{DOWNLOADS}/"), None)
            return {"kind": "tm:util:unix-rm:runstate"} | given
        self.unsaved = path not in _SAVES
        if not self.unsaved:
            return _SAVES[path] | given
        if method in {"PATCH", "PUT"}:
            changed = self._objects[_place(path)]
            changed.update(given)
            return changed
        full = f"/{given.get('partition', 'Common')}/{given['name']}"
        self._contents[path, full] = self.uploads[given["sourcePath"].rpartition("/")[2]]
        made = self._objects[path, full] = _object(path, full, given)
        return made


def _place(path: str) -> tuple[str, str]:
    collection, _, name = path.rpartition("/")
    return collection, name.replace("~", "/")


def _object(collection: str, full: str, said: Json) -> Json:
    _, partition, name = full.split("/")
    kind = f"tm:{collection.replace('/', ':')}:{collection.rpartition('/')[2]}state"
    own = {"name": name, "partition": partition, "fullPath": full, "generation": 1}
    return said | own | _linked(f"{collection}/{full.replace('/', '~')}", kind)


def _linked(path: str, kind: str) -> Json:
    return {"kind": kind, "selfLink": f"https://localhost/mgmt/tm/{path}?ver={_VERSION}"}
