"""The lbsync configuration of a simulated farm.

Rule of this room: it writes the documented TOML and nothing that only the lab could know; secrets by reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypedDict

import tomlkit

from lbsync.lab.spec import LabSpec

PASSWORD_VARIABLE = "LBSYNC_WINRM_PASSWORD"
"""The name of an environment variable, not a password."""


class Server(Protocol):
    """What is written of a server."""

    name: str
    address: str
    fqdn: str
    http_port: int
    https_port: int
    winrm_port: int


class Farm(Protocol):
    """What is written of a farm."""

    spec: LabSpec
    directory: Path

    @property
    def servers(self) -> Mapping[str, Server]:
        """By name."""
        ...

    @property
    def user(self) -> str:
        """Of the management account."""
        ...

    @property
    def winrm_scheme(self) -> str:
        """Https or http."""
        ...

    @property
    def client_certificate(self) -> tuple[Path, Path]:
        """Certificate and key, for the transport ``certificate``."""
        ...


class ConfigOptions(TypedDict, total=False):
    """What a configuration may say beyond the farm itself. Tables are written as they are given, tables inside included."""

    balancers: Sequence[Mapping[str, object]]
    modes: Mapping[str, str]
    limits: Mapping[str, object]
    certificate: Mapping[str, object]
    outlook_anywhere: Mapping[str, object]
    tls_names: Mapping[str, str]
    """By server."""
    trusted_leg: bool
    exchange: str
    password: str
    service: Mapping[str, object]


def render(farm: Farm, options: ConfigOptions) -> str:
    """The TOML text."""
    ca_file = str((farm.directory / "ca.pem").resolve())
    names = options.get("tls_names", {})
    document = tomlkit.document()
    document["version"] = 1
    document["farm"] = {
        "name": "contoso-lab",
        "trusted_leg": options.get("trusted_leg", True),
        "exchange": options.get("exchange", "explicit"),
        "winrm": {
            "user": farm.user,
            "password": options.get("password", f"env:{PASSWORD_VARIABLE}"),
            "transport": farm.spec.transport,
            "scheme": farm.winrm_scheme,
            "ca_file": ca_file,
            **_client_certificate(farm),
        },
    }
    document["servers"] = [
        {
            "name": server.name,
            "address": server.address,
            "fqdn": server.fqdn,
            "winrm_port": server.winrm_port,
            **({"tls_name": names[server.name]} if server.name in names else {}),
            **({"http_port": server.http_port, "https_port": server.https_port} if farm.spec.data_plane else {}),
        }
        for server in farm.servers.values()
    ]
    document["certificate"] = dict(options.get("certificate", {"source": "server"}))
    document["publish"] = {"hosts": list(farm.spec.hosts), "server_ca_file": ca_file}
    document["modes"] = dict(options.get("modes", {"default": "bridge"}))
    if "outlook_anywhere" in options:
        document["outlook_anywhere"] = dict(options["outlook_anywhere"])
    document["limits"] = {"outlook_anywhere_wait_s": max(10.0, farm.spec.oa_lag_s * 5), **options.get("limits", {})}
    if "service" in options:
        document["service"] = dict(options["service"])
    if options.get("balancers"):
        document["balancers"] = [dict(balancer) for balancer in options.get("balancers", ())]
    return tomlkit.dumps(document)


def _client_certificate(farm: Farm) -> dict[str, str]:
    if farm.spec.transport != "certificate":
        return {}
    certificate, key = farm.client_certificate
    return {"certificate_file": str(certificate.resolve()), "key_file": str(key.resolve())}
