"""Facts of a healthy farm, and a target that lowers every change to one step: for decision tests as data.

Rule of this room: values as a real farm shows them (Exchange 2019, Extended Protection off); a test changes what it is about.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from lbsync.changes import Change
from lbsync.desired import Desired, FactSet
from lbsync.facts import (
    BalancerFacts,
    BindingFacts,
    FarmFacts,
    OutlookAnywhereFacts,
    ServerFacts,
    ServerLive,
    StoredCertificate,
    TokenChecking,
    VdirFacts,
)
from lbsync.model import Action, Check, CheckResult, Mode, Receipt, State, Step, StepId
from lbsync.services import FRONT_END_SITE, NO_SSL, REQUIRE_SSL, SERVICES, Service
from lbsync.target import MaterialSource
from lbsync_certs import CertificateInfo, Fingerprint, Thumbprint

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOSTS = ("mail.contoso.test", "autodiscover.contoso.test")


_METHODS: dict[Service, tuple[str, ...]] = {
    Service.OWA: ("basic",),
    Service.ECP: ("anonymous", "basic"),
    Service.OUTLOOK_ANYWHERE: ("basic", "windows"),
    Service.OAB: ("windows",),
    Service.ACTIVESYNC: ("basic",),
    Service.EWS: ("anonymous", "windows"),
    Service.AUTODISCOVER: ("anonymous", "basic", "windows"),
    Service.MAPI: ("windows",),
}
"""How clients may log on out of the box, as captured applicationHost.config files of Exchange 2019 have it."""


def leaf_info(number: int = 1, *, names: tuple[str, ...] = HOSTS, days_left: int = 200) -> CertificateInfo:
    """A sound certificate; ``number`` makes it another one."""
    return CertificateInfo(
        fingerprint=Fingerprint(f"{number:064x}"),
        thumbprint=Thumbprint(f"{number:040X}"),
        subject=f"CN={names[0]}",
        issuer="CN=lbsync test CA",
        serial=str(number),
        not_before=NOW - timedelta(days=100),
        not_after=NOW + timedelta(days=days_left),
        names=names,
        key_algorithm="rsa",
        key_bits=2048,
        self_signed=False,
        server_auth=True,
    )


def vdir_facts(service: Service, token_checking: TokenChecking = TokenChecking.NONE) -> VdirFacts:
    """A virtual directory as set-up leaves it."""
    spec = SERVICES[service]
    carried = tuple(s for s in Service if SERVICES[s].vdir == spec.vdir)
    methods = next(_METHODS[s] for s in carried if s in _METHODS)
    return VdirFacts(
        location=spec.location,
        services=carried,
        own_ssl_flags=spec.own_ssl_flags,
        ssl_flags=spec.own_ssl_flags or REQUIRE_SSL,
        token_checking=token_checking,
        authentication=methods,
        providers=("Negotiate", "NTLM") if "windows" in methods else (),
        pool=spec.pool,
    )


def server_facts(name: str, leaf: CertificateInfo | None = None) -> ServerFacts:
    """One healthy server that holds ``leaf`` on IIS 443."""
    leaf = leaf or leaf_info()
    return ServerFacts(
        server=name,
        fqdn=f"{name.lower()}.contoso.test",
        version="15.2.986.5",
        build="15.2.986.29",
        vdirs=tuple(vdir_facts(service) for service in Service if service is not Service.MRSPROXY),
        bindings=(
            BindingFacts(site=FRONT_END_SITE, protocol="http", address="*", port=80),
            BindingFacts(site=FRONT_END_SITE, protocol="https", address="*", port=443, thumbprint=leaf.thumbprint),
            BindingFacts(
                site=FRONT_END_SITE, protocol="https", address="127.0.0.1", port=443, thumbprint=leaf.thumbprint
            ),
        ),
        certificates=(StoredCertificate(info=leaf, has_private_key=True, exportable=True, status="Valid"),),
        live=ServerLive(pools={spec.pool: "Started" for spec in SERVICES.values()}),
    )


def outlook_anywhere_facts(server: str, *, offloading: bool = False) -> OutlookAnywhereFacts:
    """Outlook Anywhere with TLS everywhere, or offloaded."""
    return OutlookAnywhereFacts(
        server=server,
        ssl_offloading=offloading,
        external_hostname=HOSTS[0],
        internal_hostname=HOSTS[0],
        internal_clients_require_ssl=True,
        external_clients_require_ssl=True,
    )


def balancer_facts(name: str = "lb1", *, modes: dict[Service, Mode] | None = None, leaf: int = 1) -> BalancerFacts:
    """A balancer: published with ``modes``, or untouched when ``modes`` is ``None``."""
    fingerprint = leaf_info(leaf).fingerprint
    if modes is None:
        return BalancerFacts(balancer=name, provider="memory", wanted_structure="s1")
    return BalancerFacts(
        balancer=name,
        provider="memory",
        published=True,
        structure="s1",
        wanted_structure="s1",
        modes=modes,
        leaf=fingerprint,
        installed=(fingerprint,),
    )


def all_modes(mode: Mode) -> dict[Service, Mode]:
    """``mode`` for every service that may have it; MRSProxy is bridged always."""
    return {service: mode if SERVICES[service].offloadable else Mode.BRIDGE for service in Service}


def fact_set(*names: str, balancers: tuple[BalancerFacts, ...] | None = None) -> FactSet:
    """A healthy farm of servers behind one untouched balancer, or behind ``balancers``."""
    names = names or ("EX01", "EX02")
    return FactSet(
        servers=tuple(server_facts(name) for name in names),
        farm=FarmFacts(outlook_anywhere=tuple(outlook_anywhere_facts(name) for name in names)),
        balancers=(balancer_facts(),) if balancers is None else balancers,
    )


def desired(modes: dict[Service, Mode] | None = None, **changes: object) -> Desired:
    """Everything that may be offloaded shall be, unless ``modes`` or other fields say otherwise."""
    wish = Desired(
        farm="contoso",
        modes=modes or all_modes(Mode.OFFLOAD),
        hosts=HOSTS,
        leaf=leaf_info(),
        trusted_leg=True,
    )
    return Desired.model_validate(wish.model_dump() | changes)


def flags_as_offloaded(server: ServerFacts) -> ServerFacts:
    """The same server with Require SSL off on every virtual directory."""
    bare = tuple(v.model_copy(update={"own_ssl_flags": NO_SSL, "ssl_flags": NO_SSL}) for v in server.vdirs)
    return server.model_copy(update={"vdirs": bare})


class Lowering:
    """A target that turns every change into one step of its own; nothing stands behind it, so it refuses to act."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        """The target's name."""
        return self._name

    def lower(self, change: Change, seen: object) -> tuple[Step, ...]:  # noqa: ARG002 - the contract's signature
        """One step named after the change."""
        words: list[str] = [change.kind]
        said = change.model_dump(mode="json")
        words += [str(service) for service in said.get("services", ())]
        words += [str(said[key]) for key in ("after", "server", "present") if isinstance(said.get(key), str | bool)]
        args: dict[str, JsonValue] = {"change": said}
        return (
            Step(
                id=StepId(f"{self._name}:{':'.join(words)}"),
                target=self._name,
                summary=" ".join(words),
                do=Action(target=self._name, verb=change.kind, args=args),
                undo=Action(target=self._name, verb=f"undo-{change.kind}", args=args),
            ),
        )

    def observe(self, services: frozenset[Service]) -> ServerFacts | FarmFacts | BalancerFacts:
        """Nothing to observe."""
        raise LookupError(f"{self._name} has no device behind it ({len(services)} services asked)")

    def read(self, action: Action) -> State:
        """Nothing to read."""
        raise LookupError(f"{self._name} has no device behind it: {action.verb}")

    def perform(self, action: Action, materials: MaterialSource) -> Receipt:
        """Nothing to do it to."""
        raise LookupError(f"{self._name} has no device behind it: {action.verb} with {type(materials).__name__}")

    def check(self, check: Check) -> CheckResult:
        """Nothing to ask."""
        raise LookupError(f"{self._name} has no device behind it: {check.verb}")
