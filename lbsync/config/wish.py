"""From the configuration, and what was found out about the certificate, to what is wanted of the farm.

Rule of this room: pure; it judges nothing. Whether what is wanted is safe, the adviser says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time

from lbsync.config.sections import Config, ModesSection, WatchSection
from lbsync.desired import Desired, Limits, Policy
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.watch.windows import Window
from lbsync_certs import CertificateInfo


@dataclass(frozen=True, slots=True)
class Leaf:
    """The certificate that shall be served, or why there is none: the part of a wish that takes looking to know."""

    info: CertificateInfo | None
    problem: str = ""
    chain_problem: str = ""
    exportable: bool = True


def modes(section: ModesSection) -> dict[Service, Mode]:
    """A mode for each of the nine services. The default never offloads MRSProxy; only naming it does (and is refused)."""
    wanted: dict[Service, Mode] = {}
    for service, spec in SERVICES.items():
        own: Mode | None = getattr(section, service.value)
        wanted[service] = own or (section.default if spec.offloadable else Mode.BRIDGE)
    return wanted


def tls_names(config: Config) -> dict[str, str]:
    """By server: the name that balancers verify when they bridge.

    All members share a certificate that names the hosts clients use and rarely the servers themselves, so the first of
    those is the default.
    """
    return {server.name: server.tls_name or config.publish.hosts[0] for server in config.servers}


def desired(config: Config, leaf: Leaf) -> Desired:
    """The farm as the configuration wants it."""
    return Desired(
        farm=config.farm.name,
        modes=modes(config.modes),
        hosts=config.publish.hosts,
        tls_names=tls_names(config),
        leaf=leaf.info,
        leaf_exportable=leaf.exportable,
        leaf_problem=leaf.problem,
        chain_problem=leaf.chain_problem,
        addresses={server.name: server.address or server.fqdn for server in config.servers},
        trusted_leg=config.farm.trusted_leg,
        allow_self_signed=config.certificate.allow_self_signed,
        policy=Policy.model_validate(config.policy.model_dump()),
        limits=Limits.model_validate(config.limits.model_dump(include=set(Limits.model_fields))),
        outlook_anywhere=config.outlook_anywhere,
        groups={server.name: server.group for server in config.servers if server.group is not None},
    )


def windows(section: WatchSection) -> tuple[Window, ...]:
    """The maintenance windows of a watch."""
    return tuple(
        Window(
            days=one.days,
            begins=time.fromisoformat(one.begins),
            ends=time.fromisoformat(one.ends),
            zone=one.time_zone,
        )
        for one in section.windows
    )
