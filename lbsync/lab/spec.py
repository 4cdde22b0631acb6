"""What a simulated farm is made of: sizes, knobs for bad cases, and everything no page documents.

Rule of this room: values only; the same spec and seed give the same farm and the same faults.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lbsync.lab.likeness import Likeness

Version = Literal["2013rtm", "2013", "2016", "2019", "se"]
Transport = Literal["ntlm", "basic", "credssp", "certificate"]

SETUP_VERSIONS: Mapping[Version, tuple[str, str]] = {
    "2013rtm": ("15.0.516.32", "15.00.0516.032"),
    "2013": ("15.0.1497.2", "15.00.1497.048"),
    "2016": ("15.1.2507.6", "15.01.2507.039"),
    "2019": ("15.2.1258.12", "15.02.1258.038"),
    "se": ("15.2.2562.17", "15.02.2562.017"),
}
"""Cumulative update as set-up wrote it to the registry, and ExSetup.exe's file version with the security update."""


@dataclass(frozen=True, slots=True)
class LabSpec:
    """One simulated farm.

    Names of servers in the ``Collection`` knobs are as in ``LabFarm.servers`` (EX01, EX02 ...); the word ``all`` names each.
    """

    servers: int = 4
    hosts: tuple[str, ...] = ("mail.contoso.test", "autodiscover.contoso.test")
    """Names clients use; the leaf carries them, and each server's own name."""
    extra_names: tuple[str, ...] = ()
    """Further names the leaf carries, which are none that clients are served by."""
    version: Version = "2019"
    seed: int | None = None
    """Seed of faults and lags; ``None`` draws one, ``LabFarm.seed`` tells it."""

    faults: float = 0.02
    """Share of management requests that go wrong; never on the data path."""
    transport: Transport = "ntlm"
    tls_winrm: bool = True
    distinct_addresses: bool = False
    """Give each server its own 127.0.1.x instead of 127.0.0.1 with ports of its own."""
    data_plane: bool = True
    """False: no HTTP and HTTPS front ends (management only, for many servers)."""
    latency_s: float = 0.0
    """Added to each management round trip."""
    work_s: float = 0.0
    """Added to each command, as if the server had that much to do."""
    max_shells: int = 30
    """WinRM's MaxShellsPerUser."""
    lockout_after: int = 5
    scripts: Mapping[str, bytes] | None = None
    """File name to bytes of the scripts to recognise; default: those in the package ``lbsync.exchange.scripts``."""

    oa_lag_s: float = 2.0
    """The service host's 15 minutes from AD to IIS, shortened."""
    gap_s: float = 0.3
    """How long a pool without overlapping rotation answers 503 when recycled, and when its requests are cut."""
    warm_up_s: float = 0.05
    """The slow first request after an overlapping recycle."""
    ping_s: float = 1.0
    """How long ActiveSync Ping, MAPI and RPC long polls wait."""

    extended_protection: bool | Collection[str] = False
    oauth: bool = False
    """OAuth2ClientProfileEnabled and EvoSTS as default endpoint."""
    hybrid: bool = False
    mrsproxy_enabled: bool = True
    administrator: bool = True
    """False: the account may log on and do nothing else."""
    missing_cmdlets: tuple[str, ...] = ()
    oa_offloaded: bool = False
    """Start with SSLOffloading true and Rpc's sslFlags None, as captured servers have it out of the box."""
    different_certificate: Collection[str] = ()
    not_exportable: Collection[str] = ()
    drift: Collection[str] = ()
    """Servers whose OWA no longer requires SSL while the others' does."""
    setup_running: Collection[str] = ()
    setup_incomplete: Collection[str] = ()
    self_signed: Collection[str] = ()
    expired: Collection[str] = ()
    client_certificates: Collection[str] = ()
    """Servers whose ActiveSync negotiates client certificates."""

    likeness: Likeness | None = None
    """A recorded farm to be like: then servers, versions, certificates and settings come from there, and none of the knobs above
    that say the same; ``servers`` must be their number."""

    old_pfx: bool = True
    """Exported PFX files use 3DES and SHA-1 as old Windows writes; false: AES-256 and SHA-256."""
    keeps_requests: bool = False
    """[u] A request stays in the REQUEST store after its answer came; the documentation says that it becomes the certificate."""
    health_obeys_ssl: bool = True
    """[u] healthcheck.htm obeys sslFlags like any path."""
    location_scheme: Literal["request", "https"] = "request"
    """[u] What OWA builds ``Location`` from when TLS ended in front of it."""

    def chosen(self, knob: bool | Collection[str], server: str) -> bool:
        """True when a knob applies to a server."""
        if isinstance(knob, bool):
            return knob
        return server in knob or "all" in knob
