"""One simulated BIG-IP: start it, talk REST to it, turn its knobs, look at what it holds.

Rule of this room: it puts the others together; every knob and every look may be used from any thread.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from lbsync.lab.bigip import edit, factory, fileobjects, resolve
from lbsync.lab.bigip.faults import Fault, Faults
from lbsync.lab.bigip.front import Front
from lbsync.lab.bigip.kinds import KINDS
from lbsync.lab.bigip.log import Seen
from lbsync.lab.bigip.names import Json, absolute, compose
from lbsync.lab.bigip.places import locate
from lbsync.lab.bigip.plane import Body, DataPlane
from lbsync.lab.bigip.rest import Rest
from lbsync.lab.bigip.running import Running
from lbsync.lab.bigip.store import Configuration
from lbsync.lab.bigip.system import Peer, System
from lbsync.lab.bigip.tokens import ADMIN, Tokens
from lbsync.lab.loops import LoopThread
from lbsync.lab.tls import ServerTls, TlsIdentity
from lbsync.testing.ca import TestCA

USER = "lbsync"
"""The account automation uses: role administrator, and unlike ``admin`` held to a number of live tokens."""
Failover = Literal["active", "standby"]


class BigIp:
    """One device; a context manager.

    ``plane`` carries its traffic and is started and stopped with it, unless ``own_plane`` is false (a pair shares one).
    ``faults`` is the share of management requests that chance spoils.
    """

    def __init__(
        self,
        directory: Path,
        *,
        ca: TestCA,
        plane: DataPlane,
        version: str = "14.1.2.1",
        hostname: str = "bigip01.lab.local",
        faults: float = 0.0,
        seed: int = 1,
        partitions: Sequence[str] = ("Common",),
        own_plane: bool = True,
        active: bool = True,
        configuration: Configuration | None = None,
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """``directory`` takes the CA's certificate, and for a moment the encrypted key of the management listener.

        It listens on ``address`` and ``port``; 0 is a port of the kernel's choice.
        ``configuration`` replaces the one that a device comes with.
        """
        self.directory = directory
        self.hostname = hostname
        self.version = version
        self.plane = plane
        self.ca_pem = ca.root_pem.decode()
        self.passwords = {ADMIN: secrets.token_urlsafe(12), USER: secrets.token_urlsafe(12)}
        first = configuration or factory.configuration(ca, partitions, version=version)
        self.running = Running(plane, version, first, carries=active)
        self.system = System(Peer(hostname, "active" if active else "standby"), version)
        self.tokens = Tokens(self.passwords)
        self.rest = Rest(plane, self.running, self.system, self.tokens)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "ca.pem").write_bytes(ca.root_pem)
        identity = TlsIdentity.of(ca.issue([hostname, "localhost", address], key="ec256"), directory)
        self._front = Front(self.rest, Faults(faults, seed, hostname), ServerTls(identity))
        self._listens = (address, port)
        self._own_plane = own_plane
        self._loop = LoopThread(f"bigip {hostname}")
        self._port = 0

    # --- running ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the data plane (its own), run the configuration, listen."""
        if self._own_plane:
            self.plane.start()
        self.running.adopt(self.running.configuration)
        self._loop.start()
        self._port = self._loop.run(self._front.http.start(*self._listens))

    def stop(self) -> None:
        """End everything; twice is once."""
        if self._port:
            self._loop.run(self._front.http.stop())
            self._loop.stop()
            self._port = 0
        if self._own_plane:
            self.plane.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back after some seconds; forgotten when the device does not run then."""
        self._loop.call_later(delay_s, callback)

    @property
    def address(self) -> str:
        """Where the management side listens."""
        return self._listens[0]

    @property
    def management_port(self) -> int:
        """The port of the management side; 0 while it does not run."""
        return self._port

    @property
    def user(self) -> str:
        """The account to be used by automation."""
        return USER

    @property
    def password(self) -> str:
        """Its password."""
        return self.passwords[USER]

    # --- knobs -----------------------------------------------------------------------------------------------------------

    @property
    def failover_state(self) -> str:
        """``active`` or ``standby``."""
        return self.system.me.state

    @failover_state.setter
    def failover_state(self, state: Failover) -> None:
        self.system.me.state = state

    @property
    def sync_status(self) -> str:
        """What ``cm/sync-status`` says, in its words."""
        return self.system.sync_status

    @sync_status.setter
    def sync_status(self, status: str) -> None:
        self.system.sync_status = status

    @property
    def change_holder(self) -> str:
        """The device that ``Changes Pending`` tells to synchronise from."""
        return self.system.changed_on or self.hostname

    @change_holder.setter
    def change_holder(self, hostname: str) -> None:
        self.system.changed_on = hostname

    @property
    def read_only_account(self) -> bool:
        """Whether every account but admin may look and not change: changes are answered 401."""
        return self.rest.read_only

    @read_only_account.setter
    def read_only_account(self, read_only: bool) -> None:
        self.rest.read_only = read_only

    @property
    def read_only_downloads(self) -> bool:
        """Whether nothing in the downloads folder can be removed."""
        return self.rest.downloads.read_only

    @read_only_downloads.setter
    def read_only_downloads(self, read_only: bool) -> None:
        self.rest.downloads.read_only = read_only

    def busy(self, requests: int) -> None:
        """Answer the next so many requests 503 ``There is an active asynchronous task executing.``; never the login."""
        self._front.busy = requests

    def restarting(self, requests: int) -> None:
        """Answer the next so many requests, the login too, with the page of a restarting Configuration Utility."""
        self._front.restarting = requests

    def fault(self, *faults: Fault | None) -> None:
        """Let the next requests meet exactly these (``None``: nothing)."""
        self._front.faults.script(*faults)

    @property
    def faults(self) -> Faults:
        """What chance does; its ``rate`` may be set."""
        return self._front.faults

    def expire_tokens(self) -> None:
        """Let every token's life be over."""
        self.tokens.expire_all()

    @property
    def token_limit(self) -> int:
        """Live tokens that a user other than admin may have."""
        return self.tokens.limit

    @token_limit.setter
    def token_limit(self, limit: int) -> None:
        self.tokens.limit = limit

    @property
    def transaction_timeout_s(self) -> float:
        """How long a transaction opened from now on may stay open."""
        return self.rest.transactions.timeout_s

    @transaction_timeout_s.setter
    def transaction_timeout_s(self, seconds: float) -> None:
        self.rest.transactions.timeout_s = seconds

    def foreign(self, collection: str, body: Body) -> Json:
        """Let an administrator make an object, or change it where it exists: the object in full. Raises Refusal.

        Names are as in REST: ``name`` and ``partition``, or a full path as ``name``.
        """
        place = locate(collection.split("/"))
        if place is None:
            raise KeyError(collection)
        given = dict(body)
        name = str(given["name"])
        partition, below = str(given.get("partition") or "Common"), str(given.get("subPath") or "")
        path = name if name.startswith("/") or place.kind.bare else compose(partition, below, name)
        objects = self.rest.objects
        if path in self.running.configuration.of(collection):
            there = locate([*collection.split("/"), path.replace("/", "~")])
            assert there is not None  # noqa: S101  the collection was just found
            said = {key: value for key, value in given.items() if key not in ("name", "partition", "subPath")}
            self.running.change(ADMIN, objects.work("PATCH", there, said))
        else:
            self.running.change(ADMIN, objects.work("POST", place, given))
        found = self.object(collection, path)
        assert found is not None  # noqa: S101  it was just made
        return found

    def foreign_file(self, collection: str, name: str, content: bytes) -> Json:
        """Let an administrator make a key or certificate (``sys/file/ssl-key``, ``sys/file/ssl-cert``): the object in full."""
        self.running.change(ADMIN, lambda draft: fileobjects.import_file(draft, collection, name, content))
        found = self.object(collection, name)
        assert found is not None  # noqa: S101  it was just made
        return found

    def remove(self, collection: str, path: str) -> None:
        """Let an administrator delete an object. Raises Refusal."""
        self.running.change(ADMIN, lambda draft: edit.delete(draft, KINDS[collection], path))

    # --- looks -----------------------------------------------------------------------------------------------------------

    def object(self, collection: str, path: str, *, saved: bool = False) -> Json | None:
        """One object of the running (or the saved) configuration in full, sub-collections in line; ``None`` for none."""
        configuration = self.running.saved if saved else self.running.configuration
        kind = KINDS[collection]
        body = configuration.of(collection).get(path if kind.bare else absolute(path))
        return None if body is None else resolve.in_full(configuration, kind, body)

    def paths(self, collection: str) -> tuple[str, ...]:
        """Full paths of the objects of one collection."""
        return tuple(sorted(self.running.configuration.of(collection)))

    @property
    def saved(self) -> Configuration:
        """The configuration as the last save wrote it."""
        return self.running.saved

    @property
    def unsaved(self) -> bool:
        """True when a reboot would lose something."""
        return self.running.saved is not self.running.configuration

    def reload_saved(self) -> None:
        """Reboot: run what was saved."""
        self.running.reload_saved()

    @property
    def log(self) -> Sequence[Seen]:
        """Every request so far."""
        return tuple(self._front.log)

    @property
    def accepted(self) -> int:
        """Connections accepted so far on the management side."""
        return self._front.http.accepted

    @property
    def downloads(self) -> tuple[str, ...]:
        """Files that lie in the downloads folder now; half-finished uploads as ``tmp/NAME``."""
        return self.rest.downloads.names

    @property
    def open_transactions(self) -> int:
        """Transactions that nobody committed or deleted."""
        return len(self.rest.transactions.open)

    @property
    def tokens_of(self) -> Mapping[str, int]:
        """Live tokens by user."""
        return {user: self.tokens.live(user) for user in self.passwords}

    @property
    def mishaps(self) -> Sequence[str]:
        """What no handler caught: mistakes of the simulation, or clients that broke off a handshake."""
        return tuple(self._loop.mishaps)
