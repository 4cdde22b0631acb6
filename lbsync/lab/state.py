"""The state of a simulated farm: its servers, its directory, and what was seen of its traffic.

Rule of this room: everything here may be inspected and changed by a test or an operator while the farm runs, under
``changes.lock``; ``changes.wait_for`` waits without polling. No secret is kept.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import rsa

from lbsync.lab import templates
from lbsync.lab.accounts import Accounts
from lbsync.lab.directory import Directory
from lbsync.lab.iis import Changes, Iis
from lbsync.lab.mail import Mail
from lbsync.lab.spec import LabSpec
from lbsync.lab.store import Store
from lbsync_certs import Thumbprint

_REMEMBERED = 200


@dataclass(slots=True)
class WebCounters:
    """What the front end saw: (service, scheme, status) to count."""

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter[tuple[str, str, int]])
    mrsproxy_plain_requests: int = 0
    """Requests that reached MRSProxy without TLS: must stay 0 behind a balancer."""
    cut: int = 0
    """Requests killed by a recycle while they ran."""

    def of(self, service: str, scheme: str | None = None) -> int:
        """Requests of one service, over one scheme or both."""
        return sum(n for (name, way, _), n in list(self.requests.items()) if name == service and scheme in {None, way})


@dataclass(slots=True)
class WinrmCounters:
    """What the WinRM listener saw. ``command_lines`` and ``stderr`` keep the last ones only."""

    requests: int = 0
    sealed: int = 0
    plain: int = 0
    shells_opened: int = 0
    shells_closed: int = 0
    actions: Counter[str] = field(default_factory=Counter[str])
    scripts: Counter[str] = field(default_factory=Counter[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    rejected_logons: int = 0
    command_lines: deque[str] = field(default_factory=lambda: deque[str](maxlen=_REMEMBERED))


def _ignore(_what: str) -> None:
    return


@dataclass(slots=True)
class ServerState:
    """One client access server."""

    name: str
    fqdn: str
    iis: Iis
    store: Store
    setup_version: str
    exsetup_version: str
    setup_running: bool = False
    setup_incomplete: bool = False
    administrator: bool = True
    suppress_extended_protection: int = 0
    tls_listeners: dict[str, Thumbprint] = field(default_factory=dict[str, Thumbprint])
    """What HTTP.SYS serves beside the sites of IIS, by address and port: WinRM over HTTPS, say."""
    remote_desktop: Thumbprint | None = None
    components: dict[str, str] = field(default_factory=lambda: dict.fromkeys(templates.COMPONENTS, "Active"))
    mail: Mail = field(default_factory=Mail)
    containers: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict[str, rsa.RSAPrivateKey])
    web: WebCounters = field(default_factory=WebCounters)
    winrm: WinrmCounters = field(default_factory=WinrmCounters)
    on_bind: Callable[[Thumbprint], None] = _ignore
    """Called after a certificate was put on the front end's HTTPS bindings."""

    def bind(self, thumbprint: Thumbprint) -> None:
        """Serve a stored certificate on the front end from now on."""
        self.store.enable(thumbprint, "IIS")
        self.iis.bind(thumbprint)
        self.on_bind(thumbprint)


@dataclass(slots=True)
class FarmState:
    """A farm: servers by name, and what they share."""

    spec: LabSpec
    changes: Changes
    accounts: Accounts
    directory: Directory
    servers: dict[str, ServerState] = field(default_factory=dict[str, ServerState])
    on_directory_change: Callable[[str], None] = _ignore
    """Called with a server's name after its Outlook Anywhere settings changed in AD."""

    def server(self, name: str) -> ServerState | None:
        """A server by name or FQDN, without case."""
        wanted = name.lower()
        return next((s for s in self.servers.values() if wanted in {s.name.lower(), s.fqdn.lower()}), None)
