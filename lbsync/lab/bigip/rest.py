"""The REST API of one device: who asks, for what, and what is answered.

Rule of this room: method, path and JSON in, status and JSON out; sockets and faults are ``front``'s.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qs, unquote

from lbsync.lab.bigip import edit, errors, fileobjects
from lbsync.lab.bigip.downloads import Downloads
from lbsync.lab.bigip.kinds import KINDS
from lbsync.lab.bigip.names import Json, absolute, untilde
from lbsync.lab.bigip.objects import Objects
from lbsync.lab.bigip.places import locate
from lbsync.lab.bigip.plane import DataPlane
from lbsync.lab.bigip.running import Running
from lbsync.lab.bigip.show import Shown
from lbsync.lab.bigip.stats import Stats
from lbsync.lab.bigip.system import System
from lbsync.lab.bigip.tokens import ADMIN, Tokens
from lbsync.lab.bigip.transactions import Transactions

LOGIN = "shared/authn/login"
_DRAFTS_SINCE = (12, 1)
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request: ``path`` below ``/mgmt`` without slash at the end, header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def segments(self) -> list[str]:
        """The parts of the path, still encoded."""
        return [part for part in self.path.split("/") if part]

    def json(self) -> Json:
        """The body; empty for none. Raises Refusal."""
        if not self.body.strip():
            return {}
        try:
            loaded = json.loads(self.body)
        except ValueError:
            loaded = None
        if not isinstance(loaded, dict):
            raise errors.Refusal(400, "Found invalid JSON in the request body", errors.REST)  # Assumption ``wording``.
        return cast("Json", loaded)


class Rest:
    """Answers calls. Every method may be called from any thread."""

    def __init__(self, plane: DataPlane, running: Running, system: System, tokens: Tokens) -> None:
        self._plane = plane
        self._running = running
        self._system = system
        self._tokens = tokens
        self.downloads = Downloads()
        self.transactions = Transactions(system.version)
        self._stats = Stats(plane, system.version, lambda: running.carries)
        self.objects = Objects(self.downloads, self._stats, drafts=system.numbers >= _DRAFTS_SINCE)
        self.sync: Callable[[str], None] | None = None
        """What ``config-sync`` does in a pair: gets the words after it, raises Refusal."""
        self.read_only = False
        """True where every account but admin may look and not change."""

    def user_of(self, call: Call) -> str:
        """Who asks. Raises Refusal."""
        if value := call.headers.get("x-f5-auth-token"):
            return self._tokens.check(value).user
        scheme, _, value = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                user, password = "", ""
            # Only admin may use Basic; whoever else has to log in for a token.
            if user == ADMIN and self._tokens.knows(user, password):
                return user
            raise errors.Refusal(401, "Authentication failed.", 1)
        raise errors.Refusal(
            401,
            "Authorization failed: no user authentication header or token detected."
            f" Uri:http://localhost:8100/mgmt/{call.path} Referrer:Unknown Sender:Unknown",
            1,
        )

    def answer(self, call: Call) -> tuple[int, Json]:
        """Status and body. Raises Refusal."""
        if call.path == LOGIN and call.method == "POST":
            return 200, self._login(call.json())
        user = self.user_of(call)
        first, *rest = call.segments or [""]
        self._permit(call, user)
        if first == "shared":
            return 200, self._shared(call, rest)
        if first != "tm" or not rest:
            raise _unregistered(call)
        return 200, self._tm(call, rest, user)

    def _permit(self, call: Call, user: str) -> None:
        """Raises Refusal for a change by an account that may not; its tokens are its own (assumption ``read-only-account``)."""
        own = call.segments[:3] == ["shared", "authz", "tokens"]
        if self.read_only and user != ADMIN and call.method in _WRITES and not own:
            raise errors.Refusal(
                401,
                f"Authorization failed: user=https://localhost/mgmt/shared/authz/users/{user}"
                f" resource=/mgmt/{call.path} verb={call.method}",
                1,
            )

    def _login(self, given: Json) -> Json:
        token = self._tokens.login(str(given.get("username") or ""), str(given.get("password") or ""))
        return {
            "username": token.user,
            "loginProviderName": str(given.get("loginProviderName") or "tmos"),
            "token": token.body(),
        }

    def _shared(self, call: Call, rest: list[str]) -> Json:
        match call.method, rest:
            case "GET", ["authz", "tokens", value]:
                return self._tokens.find(value).body()
            case "PATCH", ["authz", "tokens", value]:
                return self._tokens.prolong(value, call.json().get("timeout")).body()
            case "DELETE", ["authz", "tokens", value]:
                return self._tokens.delete(value).body()
            case "POST", ["file-transfer", "uploads", name]:
                return self.downloads.upload(unquote(name), call.headers.get("content-range", ""), call.body)
            case _:
                raise _unregistered(call)

    # --- /mgmt/tm --------------------------------------------------------------------------------------------------------

    def _tm(self, call: Call, rest: list[str], user: str) -> Json:
        if rest[0] == "transaction":
            return self._transaction(call, rest[1:], user)
        number = call.headers.get("x-f5-rest-coordination-id", "") if call.method in _WRITES else ""
        place = locate(rest)
        if place is not None:
            if call.method == "GET":
                return self.objects.read(place, call.query, self._shown())
            given = call.json()
            work = self.objects.work(call.method, place, given)
            if number:
                return self.transactions.queue(number, call.method, "/".join(rest), given, work)
            path = str(self._running.change(user, work))
            if call.method == "DELETE":
                return {}
            return (
                self.objects.written(place, path, self._shown())
                if path
                else {"kind": "tm:ltm:policy:publishstate", **given}
            )
        if number:
            raise errors.Refusal(400, f"/tm/{'/'.join(rest)} is not supported in a transaction", errors.REST)
        return self._other(call, rest, user)

    def _shown(self) -> Shown:
        return Shown(self._running.configuration, self._system.version, self._stats.live)

    def _other(self, call: Call, rest: list[str], user: str) -> Json:
        if call.method == "GET":
            told = self._system.tell("/".join(rest)) or self._device(rest) or self._crypto(rest)
            if told is None:
                raise _unregistered(call)
            return told
        if rest[:2] == ["sys", "crypto"]:
            return self._change_crypto(call, rest[2:], user)
        given = call.json()
        match call.method, rest:
            case "POST", ["sys", "config"]:
                return self._save(given)
            case "POST", ["cm"]:
                return self._sync(given)
            case "POST", ["util", "unix-rm" | "unix-ls" as command]:
                return self._command(command, given)
            case "DELETE", ["sys", "connection"]:
                return self._cut(call.query)
            case _:
                raise _unregistered(call)

    def _device(self, rest: list[str]) -> Json | None:
        match rest:
            case ["cm", "device", name]:
                path = absolute(untilde(name))
                told = self._system.device(path)
                if told is None:
                    raise errors.not_found("device", path)
                return told
            case _:
                return None

    def _change_crypto(self, call: Call, rest: list[str], user: str) -> Json:
        match call.method, rest:
            case "POST", ["key" | "cert" as what]:
                given = call.json()
                self._running.change(user, lambda draft: fileobjects.install(draft, self.downloads, what, given))
                return {"kind": f"tm:sys:crypto:{what}:installstate", **given}
            case "DELETE", ["key" | "cert" as what, name]:
                kind = KINDS[fileobjects.KEY if what == "key" else fileobjects.CERT]
                self._running.change(user, lambda draft: edit.delete(draft, kind, absolute(untilde(name))))
                return {}
            case _:
                raise _unregistered(call)

    def _crypto(self, rest: list[str]) -> Json | None:
        match rest:
            case ["sys", "crypto", "key" | "cert" as what, name]:
                path = absolute(untilde(name))
                return fileobjects.crypto(self._running.configuration, what, self._system.version, path)
            case ["sys", "crypto", "key" | "cert" as what]:
                collection = fileobjects.KEY if what == "key" else fileobjects.CERT
                configuration = self._running.configuration
                paths = sorted(configuration.of(collection))
                version = self._system.version
                items = [fileobjects.crypto(configuration, what, version, path) for path in paths]
                return self._shown().collection(f"sys/crypto/{what}", items)
            case _:
                return None

    def _save(self, given: Json) -> Json:
        if given.get("command") != "save":
            raise errors.nothing_given("command save")
        self._running.save()
        return {"kind": "tm:sys:config:savestate", **given}

    def _sync(self, given: Json) -> Json:
        words = str(given.get("utilCmdArgs") or "").split()
        if given.get("command") != "run" or words[:1] != ["config-sync"]:
            raise errors.nothing_given("command run, utilCmdArgs config-sync")
        if len(words) < 3 or words[1] not in ("to-group", "from-group"):  # noqa: PLR2004  config-sync, direction, group
            raise errors.Refusal(400, f"Syntax Error: unexpected argument in {' '.join(words)!r}", errors.REST)
        groups = self._running.configuration.of("cm/device-group")
        if absolute(words[2]) not in groups or self.sync is None:
            raise errors.configuration(f"Device group ({words[2]}) not found in device group sync")
        self.sync(" ".join(words[1:]))
        return {"kind": "tm:cm:runstate", **given}

    def _command(self, command: str, given: Json) -> Json:
        if given.get("command") != "run":
            raise errors.nothing_given("command run")
        arguments = str(given.get("utilCmdArgs") or "")
        run = self.downloads.remove if command == "unix-rm" else self.downloads.listing
        said = run(arguments)
        return {"kind": f"tm:util:{command}:runstate", **given} | ({"commandResult": said} if said else {})

    def _cut(self, query: str) -> Json:
        """``options=ss-server-addr+A+ss-server-port+P`` (assumption ``connection-options``)."""
        words = " ".join(parse_qs(query).get("options", [""])).split()
        said = dict(zip(words[::2], words[1::2], strict=False))
        if set(said) != {"ss-server-addr", "ss-server-port"} or not said["ss-server-port"].isdigit():
            # Without both it would cut every connection of the device, as tmsh does: nobody means that here.
            raise errors.nothing_given("options ss-server-addr A ss-server-port P")
        self._plane.cut(said["ss-server-addr"].partition("%")[0], int(said["ss-server-port"]))
        return {}

    def _transaction(self, call: Call, rest: list[str], user: str) -> Json:
        match call.method, rest:
            case "POST", []:
                return self.transactions.create(user)
            case "GET", []:
                items = [one.body(self._system.version) for one in self.transactions.open]
                return self._shown().collection("transaction", items) | {"kind": "tm:transactioncollectionstate"}
            case "GET", [number]:
                return self.transactions.find(number).body(self._system.version)
            case "GET", [number, "commands"]:
                items = self.transactions.commands(number)
                told = self._shown().collection("transaction/commands", items, f"transaction/{number}/commands")
                return told | {"kind": "tm:transaction:commandscollectionstate"}
            case "PATCH", [number]:
                return self.transactions.commit(
                    number, call.json(), lambda work, dry: self._running.change(user, work, dry=dry)
                )
            case "DELETE", [number]:
                self.transactions.delete(number)
                return {}
            case _:
                raise _unregistered(call)


def _unregistered(call: Call) -> errors.Refusal:
    return errors.Refusal(404, f"Public URI path not registered: /{call.path}", 1)  # Assumption ``wording``.
