"""What the operator wants, and everything that was seen: the two inputs of every decision.

Rule of this room: values only; the configuration is one way to make a ``Desired``, a test another.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lbsync.facts import BalancerFacts, FarmFacts, ServerFacts
from lbsync.model import Mode, Value
from lbsync.services import Service
from lbsync_certs import CertificateInfo


class Limits(Value):
    """How careful to be. Times are seconds."""

    max_unavailable: int = Field(default=1, ge=1)
    drain_timeout_s: float = Field(default=300, ge=0)
    on_drain_timeout: Literal["stop", "cut"] = "stop"
    outlook_anywhere_wait_s: float = Field(default=900, gt=0)
    prove_within_s: float = Field(default=60, gt=0)
    allow_drift: bool = False


class OutlookAnywhereWish(Value):
    """What was asked of Outlook Anywhere beyond SSL offloading; ``None`` leaves a setting alone, ``""`` empties a name."""

    external_hostname: str | None = None
    internal_hostname: str | None = None
    external_authentication: Literal["Basic", "Ntlm", "Negotiate"] | None = None
    internal_authentication: Literal["Basic", "Ntlm", "Negotiate"] | None = None
    external_clients_require_ssl: bool | None = None
    internal_clients_require_ssl: bool | None = None
    iis_authentication: tuple[Literal["Basic", "Ntlm", "Negotiate"], ...] | None = None


class Remembered(Value):
    """What lbsync found before it offloaded and has not given back since; folded from the ledger by ``remembered``.

    ``flags``: own sslFlags by server and location in lower case, ``None`` for inherited. ``outlook_anywhere``: by server the
    settings before SSLOffloading was turned on; a server that is not there, while ``outlook_anywhere_offloaded``, had it on
    already.
    """

    flags: dict[str, dict[str, str | None]] = Field(default_factory=dict)
    outlook_anywhere: dict[str, dict[str, bool]] = Field(default_factory=dict)
    outlook_anywhere_offloaded: bool = False


class Policy(Value):
    """What the operator's house demands. ``trusted_networks`` are IP networks, ``legacy_hosts`` names of 2007 and 2010."""

    encrypt_inside: bool = False
    trusted_networks: tuple[str, ...] = ()
    legacy_hosts: tuple[str, ...] = ()


class Desired(Value):
    """The farm as it shall be.

    ``modes`` names a mode for each service. ``leaf`` is the certificate that balancers shall serve, ``None`` when it could
    not be determined (``leaf_problem`` then says why). ``trusted_leg`` declares the leg from balancer to every server fit
    for credentials in clear, ``policy.trusted_networks`` that to the servers in them; without either nothing is offloaded.
    ``for_extended_protection``: Outlook Anywhere shall be as Microsoft's script for Extended Protection demands, whatever was
    found before.
    """

    farm: str
    modes: dict[Service, Mode]
    hosts: tuple[str, ...]
    tls_names: dict[str, str] = Field(default_factory=dict)
    """By server: the name that balancers verify on its leaf when they bridge."""
    leaf: CertificateInfo | None
    leaf_exportable: bool = True
    leaf_problem: str = ""
    chain_problem: str = ""
    addresses: dict[str, str] = Field(default_factory=dict)
    """By server: the address or name under which balancers reach it."""
    trusted_leg: bool = False
    policy: Policy = Policy()
    allow_self_signed: bool = False
    limits: Limits = Limits()
    outlook_anywhere: OutlookAnywhereWish = OutlookAnywhereWish()
    groups: dict[str, str] = Field(default_factory=dict)
    """By server: the group it is taken with; a server that is not named has none."""
    only: tuple[str, ...] = ()
    """The servers to take now, by their configured names; empty: all."""
    for_extended_protection: bool = False
    remembered: Remembered = Remembered()


class FactSet(Value):
    """Everything seen in one look, in configured order."""

    servers: tuple[ServerFacts, ...]
    farm: FarmFacts
    balancers: tuple[BalancerFacts, ...]
