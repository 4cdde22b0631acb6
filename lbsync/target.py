"""The contracts: what a server, the directory and a balancer promise the engine.

Rule of this room: promises only. A third party implements ``Provider``, wraps it in a ``Plugin`` and publishes it under the
entry-point group ``lbsync.providers``; ``lbsync.testing.contract`` holds it to what is said here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, Field

from lbsync.changes import Change
from lbsync.costs import BalancerCost
from lbsync.facts import BalancerFacts, FarmFacts, ServerFacts
from lbsync.model import Action, Check, CheckResult, Mode, Receipt, State, Step, Value
from lbsync.services import Service
from lbsync_certs import Bundle, Fingerprint

PROVIDER_GROUP = "lbsync.providers"


class MaterialSource(Protocol):
    """Opens certificates with their keys at each use; bytes stay in memory."""

    def open(self, leaf: Fingerprint) -> Bundle:
        """The bundle with this leaf. Raises CertificateError where it cannot be had, TargetError where asking failed."""
        ...


class Target(Protocol):
    """Anything lbsync observes and changes. May be called from several threads: it keeps one session per thread."""

    @property
    def name(self) -> str:
        """Unique in a plan: a server's or balancer's configured name, ``directory`` for AD."""
        ...

    def observe(self, services: frozenset[Service]) -> ServerFacts | FarmFacts | BalancerFacts:
        """Read everything a plan depends on; change nothing. Raises TargetError."""
        ...

    def lower(self, change: Change, seen: ServerFacts | FarmFacts | BalancerFacts) -> tuple[Step, ...]:
        """Translate a change into steps with their undo: pure, no I/O. Raises UnsupportedMode or UnsafeChange.

        Within the returned tuple ``after`` links the steps; the plan adds the links between targets to the first step.
        """
        ...

    def read(self, action: Action) -> State:
        """The part of the target that ``action`` governs, as it is now; reads only. Raises TargetError.

        The engine compares three of these before it takes a step back: before, what we left, now.
        """
        ...

    def perform(self, action: Action, materials: MaterialSource) -> Receipt:
        """Carry out one effect; twice is once where the product allows it. Raises TargetError."""
        ...

    def check(self, check: Check) -> CheckResult:
        """Answer once, by reading only; the engine repeats the question. Raises TargetError when it cannot be asked."""
        ...


class Capabilities(Value):
    """What a balancer can do, asked at plan time and never discovered half-way."""

    modes: frozenset[Mode] = frozenset(Mode)
    per_path_modes: bool = True
    """Offload and bridge mixed on one listener, chosen by path."""
    filters_paths: bool = True
    """Unknown paths, PowerShell and odd spellings end here; false where no path is seen and everything is passed on."""
    one_mode_reason: str = "It sees no path"
    """Where ``per_path_modes`` is false: why not, as the beginning of a sentence."""
    one_mode_remedy: str = "use a balancer that routes by path"
    """And how it can have a mode by service nevertheless."""
    answers_unknown: bool = True
    """What is not published is answered 404; false where its connection is reset."""
    mrsproxy_host: str | None = None
    """The host name that carries MRSProxy alone, always over TLS to the servers, where there is one mode for all services."""
    mrsproxy_address: str | None = None
    """Where that name is served, if not where all others are; with ``mrsproxy_port``."""
    mrsproxy_port: int | None = None
    mrsproxy_ends_here: bool = False
    """That name is served with the published certificate; else it is passed through to the servers' own."""
    ntlm_safe: frozenset[Mode] = frozenset(Mode)
    """Modes in which connection-bound authentication (NTLM, Negotiate) works and stays with its connection."""
    ntlm_unused: bool = False
    """The operator declared that no client authenticates so; whoever tries is refused, and no identity is mixed."""
    ntlm_remedy: str = ""
    """The ways out where a mode is not NTLM-safe."""
    live_mode_switch: bool = True
    """Services are routed to their other pool one by one, without a reload; else together in one step."""
    live_certificate_switch: bool = True
    drain: bool = True
    switches_sides: bool = False
    """It can serve another leaf and send new connections to other servers in one moment, while those opened under the leaf
    before stay where they are (``SwitchSides``)."""
    resumes_sessions: bool = True
    """A client may resume a TLS session, and then has the leaf it was opened with, whatever is served by now."""
    resumption_remedy: str = ""
    """How that is turned off."""
    high_availability: bool = False

    @property
    def switches_together(self) -> bool:
        """True where one change of mode names all its services: each by itself would cost a reload, or cannot be."""
        return not (self.live_mode_switch and self.per_path_modes)


class Provider(Target, Protocol):
    """One open balancer."""

    @property
    def capabilities(self) -> Capabilities:
        """What this device can do."""
        ...


@runtime_checkable
class Measurable(Protocol):
    """A provider that can tell what the second TLS leg costs on its device; one need not be able to."""

    def cost(self, published: str | None, timeout_s: float) -> BalancerCost:
        """Measure now, from the device's own host: few connections, handshakes only, nothing changed.

        ``published`` is the kind of key of the certificate served (``costs.speed_name``), ``timeout_s`` the wait for each
        connection. What cannot be measured is an entry that says why. Raises TargetError where the host does not answer.
        """
        ...


class Member(Value):
    """A client access server as a balancer sees it.

    ``tls_name`` is verified on the server's leaf; ``ca_file`` is the PEM file, on the balancer, of the CA that signed it.
    """

    name: str
    address: str
    http_port: int = Field(default=80, ge=1, le=65535)
    https_port: int = Field(default=443, ge=1, le=65535)
    tls_name: str


class BalancerSpec(Value):
    """What every provider is given besides its own settings: the farm to publish.

    ``hosts`` are the names clients use; the first is the one health checks send. ``server_ca_pem`` is the text (PEM) of the
    CA certificates that the servers' leaves must chain to.
    """

    name: str
    hosts: tuple[str, ...] = Field(min_length=1)
    members: tuple[Member, ...] = Field(min_length=1)
    services: tuple[Service, ...]
    server_ca_pem: str


S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Plugin(Generic[S]):
    """What an entry point of the group ``lbsync.providers`` names: settings and how to open a balancer with them.

    ``connect`` opens no connection by itself before a method is called, and leaves none open when its context ends.
    """

    name: str
    settings: type[S]
    connect: Callable[[BalancerSpec, S], AbstractContextManager[Provider]]

    def open(self, spec: BalancerSpec, raw: Mapping[str, object]) -> AbstractContextManager[Provider]:
        """A balancer from the settings as the configuration has them. Raises pydantic's ValidationError."""
        return self.connect(spec, self.settings.model_validate(raw))
