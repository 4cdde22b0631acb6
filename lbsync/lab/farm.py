"""``LabFarm``: the simulated farm, started and stopped as one.

Rule of this room: whatever it starts (threads, listeners, the accounts file) it ends; passwords are handed out by property
and never printed.
"""

from __future__ import annotations

import contextlib
import resource
import secrets
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lbsync.lab import configfile
from lbsync.lab.accounts import ADMIN, DNS_DOMAIN, DOMAIN, MAILBOX, READER, Accounts
from lbsync.lab.build import NAMED, build
from lbsync.lab.faults import Faults
from lbsync.lab.loops import LoopThread
from lbsync.lab.scripts import Library
from lbsync.lab.servicehost import ServiceHost
from lbsync.lab.spec import LabSpec
from lbsync.lab.state import FarmState, ServerState
from lbsync.lab.tls import ServerTls, TlsIdentity
from lbsync.lab.web import FrontEnd
from lbsync.lab.winrm import WinrmListener
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle, Thumbprint

__all__ = ["LabFarm", "LabServer", "LabSpec"]


@dataclass(slots=True)
class LabServer:
    """One simulated server. Ports are the real ones; its IIS believes in 80 and 443."""

    name: str
    fqdn: str
    address: str
    state: ServerState
    faults: Faults
    winrm: WinrmListener
    front_end: FrontEnd | None = None
    http_port: int = 0
    https_port: int = 0
    winrm_port: int = 0


class LabFarm:
    """A running farm; use it as a context manager."""

    def __init__(self, spec: LabSpec, directory: Path) -> None:
        """``directory`` takes ``ca.pem`` and, for moments, encrypted keys."""
        self.spec = spec
        self.directory = directory
        self.seed = secrets.randbelow(2**31) if spec.seed is None else spec.seed
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        built = build(spec)
        self.state: FarmState = built.state
        self.ca: TestCA = built.ca
        self.leaf: Bundle = built.leaf
        self._shared_tls: ServerTls | None = None
        self._identities: dict[Thumbprint, TlsIdentity] = {}
        self._library = Library.shipped() if spec.scripts is None else Library(spec.scripts)
        self._management = LoopThread("lab-management")
        self._front = LoopThread("lab-front-end")
        self._cleanup = contextlib.ExitStack()
        self.servers: Mapping[str, LabServer] = {
            name: self._server(number, server) for number, (name, server) in enumerate(self.state.servers.items(), 1)
        }

    def _server(self, number: int, server: ServerState) -> LabServer:
        address = f"127.0.{1 + number // 250}.{1 + number % 250}" if self.spec.distinct_addresses else "127.0.0.1"
        faults = Faults(self.spec.faults, self.seed, server.name)
        tls = self._winrm_tls(server.fqdn, address) if self.spec.tls_winrm else None
        listener = WinrmListener(self.state, server, self._library, faults, tls)
        front_end = self._front_end(server) if self.spec.data_plane else None
        return LabServer(server.name, server.fqdn, address, server, faults, listener, front_end)

    def _winrm_tls(self, fqdn: str, address: str) -> ServerTls:
        """A listener's certificate: each server's own, one for all where there are very many."""
        if self._shared_tls is not None:
            return self._shared_tls
        many = self.spec.servers > NAMED
        names = dict.fromkeys((f"*.{DNS_DOMAIN}" if many else fqdn, "localhost", "127.0.0.1", address))
        trusted = self.ca_pem if self.spec.transport == "certificate" else None
        own = self.ca.issue(list(names), key="ec256")
        tls = ServerTls(TlsIdentity.of(own, self.directory, client_ca_pem=trusted))
        self._shared_tls = tls if many else None
        return tls

    def _front_end(self, server: ServerState) -> FrontEnd:
        bound = server.iis.bound
        if bound is None:
            raise ValueError(f"{server.name} has no certificate on its HTTPS binding")
        tls = ServerTls(self._identity(server, bound))
        front_end = FrontEnd(self.state, server, tls)
        server.on_bind = lambda thumbprint: tls.serve(self._identity(server, thumbprint))
        server.iis.on_gap = lambda pool: self._front.call_later(self.spec.gap_s, lambda: front_end.cut(pool))
        return front_end

    def _identity(self, server: ServerState, thumbprint: Thumbprint) -> TlsIdentity:
        if thumbprint not in self._identities:
            bundle = server.store.entries[thumbprint].bundle
            self._identities[thumbprint] = TlsIdentity.of(bundle, self.directory)
        return self._identities[thumbprint]

    # --- what a client needs ---------------------------------------------------------------------------------------------

    @property
    def ca_pem(self) -> str:
        """The root that signed every certificate of the farm, PEM."""
        return self.ca.root_pem.decode("ascii")

    @property
    def user(self) -> str:
        """The administrator's account, with its domain."""
        return f"{DOMAIN}\\{ADMIN}"

    @property
    def password(self) -> str:
        """The administrator's password."""
        return Accounts.password(ADMIN)

    @property
    def reader(self) -> tuple[str, str]:
        """User and password of an account without rights."""
        return f"{DOMAIN}\\{READER}", Accounts.password(READER)

    @property
    def mailbox(self) -> tuple[str, str]:
        """User and password of a mailbox user, for the data path."""
        return f"{DOMAIN}\\{MAILBOX}", Accounts.password(MAILBOX)

    @property
    def client_certificate(self) -> tuple[Path, Path]:
        """Where certificate and key of the administrator are, for the transport ``certificate``."""
        return self.directory / "client.pem", self.directory / "client-key.pem"

    @property
    def winrm_scheme(self) -> str:
        """``https`` or ``http``."""
        return "https" if self.spec.tls_winrm else "http"

    def write_config(self, path: Path, **options: Unpack[configfile.ConfigOptions]) -> Path:
        """Write an lbsync configuration of this farm (balancers, modes, limits ... as given); returns ``path``."""
        text = configfile.render(self, options)
        path.write_text(text, encoding="utf-8")
        return path

    @property
    def mishaps(self) -> tuple[str, ...]:
        """What no handler of the lab caught: clients that broke off, or mistakes of the lab itself; the last ones."""
        return (*self._management.mishaps, *self._front.mishaps)

    def on_management(self, work: Coroutine[object, object, None]) -> None:
        """Run something on the loop that serves WinRM, and wait for it."""
        self._management.run(work)

    # --- life ------------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen. Raises OSError when a socket cannot be had; nothing is left open then."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        _allow_files(self.spec.servers * 4 + 512)
        (self.directory / "ca.pem").write_bytes(self.ca.root_pem)
        if self.spec.transport == "certificate":
            self._write_client_certificate()
        self.state.accounts.acquire()
        self._cleanup.callback(self.state.accounts.release)
        self._management.start()
        self._cleanup.callback(self._management.stop)
        ServiceHost(self.state, self.seed, self._management.call_later)
        self._management.run(self._open_management())
        self._cleanup.callback(lambda: self._management.run(self._close_management()))
        if self.spec.data_plane:
            self._front.start()
            self._cleanup.callback(self._front.stop)
            self._front.run(self._open_front_ends())
            self._cleanup.callback(lambda: self._front.run(self._close_front_ends()))

    async def _open_front_ends(self) -> None:
        for server in self.servers.values():
            if server.front_end is not None:
                server.http_port = await server.front_end.http.start(server.address)
                server.https_port = await server.front_end.https.start(server.address)

    async def _close_front_ends(self) -> None:
        for server in self.servers.values():
            if server.front_end is not None:
                await server.front_end.http.stop()
                await server.front_end.https.stop()

    def _write_client_certificate(self) -> None:
        """What a client logs on with; pywinrm reads both from files."""
        bundle = self.ca.issue([ADMIN], key="ec256")
        certificate, key = self.client_certificate
        certificate.write_bytes(bundle.public_pem())
        key.touch(mode=0o600)
        plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        key.write_bytes(bundle.key.private_bytes(*plain))
        self._cleanup.callback(key.unlink, missing_ok=True)

    async def _open_management(self) -> None:
        for server in self.servers.values():
            server.winrm_port = await server.winrm.http.start(server.address)

    async def _close_management(self) -> None:
        for server in self.servers.values():
            await server.winrm.http.stop()

    def stop(self) -> None:
        """End everything; twice is once."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _allow_files(wanted: int) -> None:
    """Raise the soft limit of open files where the hard one allows: hundreds of servers listen in one process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
