"""The wiring: from a configuration to open targets.

Rule of this file: it opens what the configuration names and closes all of it; secrets are resolved here, before anything is
asked, and hidden from then on. It decides nothing about the farm.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import SecretStr

from lbsync.cli.command import Session
from lbsync.cli.house import DIRECTORY, House
from lbsync.cli.logs import details
from lbsync.cli.opening import open_config, validate_settings
from lbsync.cli.settings import with_secrets
from lbsync.config import Loaded, tls_names
from lbsync.exchange.farm import FarmTarget
from lbsync.exchange.server import ServerTarget
from lbsync.exchange.session import SessionPool, SessionSettings, open_pools
from lbsync.exchange.tier import ExchangeTier
from lbsync.secrets import resolve
from lbsync.services import SERVICES
from lbsync.target import BalancerSpec, Member, Provider


@contextmanager
def open_house(chosen: Path | None, screen: Session) -> Generator[House]:
    """Everything the configuration names, opened; closed at the end. Raises ConfigError, SecretError."""
    loaded = open_config(chosen)
    settings = validate_settings(loaded)
    with ExitStack() as stack:
        stack.enter_context(details(screen.folder, screen.redactor))

        def secret(reference: str) -> SecretStr:
            return screen.redactor.remember(reference, resolve(reference, base=loaded.base))

        password = _password(loaded, secret)
        pools = _pools(loaded, password)
        for pool in pools.values():
            stack.callback(pool.close)
        balancers: dict[str, Provider] = {}
        for section in loaded.config.balancers:
            plugin, raw = settings[section.name]
            opened = plugin.open(spec_of(loaded, section.name), with_secrets(plugin.settings, raw, secret))
            balancers[section.name] = stack.enter_context(opened)
        farm = loaded.config.farm
        tier = ExchangeTier(mode=farm.exchange, user=farm.winrm.user or "", password=password)
        servers = {name: ServerTarget(name, pool, tier=tier) for name, pool in pools.items()}
        through = farm.directory_server or loaded.config.servers[0].name
        parallel = loaded.config.limits.parallel
        directory = FarmTarget(pools, through=through, tier=tier, name=DIRECTORY, parallel=parallel)
        yield House(
            loaded=loaded,
            screen=screen,
            servers=servers,
            directory=directory,
            balancers=balancers,
            pools=pools,
            tier=tier,
        )


def _password(loaded: Loaded, secret: Callable[[str], SecretStr]) -> Callable[[], str]:
    """The account's password, resolved now, so that a missing one is told before anything is asked."""
    reference = loaded.config.farm.winrm.password
    value = secret(reference) if reference is not None else SecretStr("")
    return value.get_secret_value


def _pools(loaded: Loaded, password: Callable[[], str]) -> dict[str, SessionPool]:
    winrm = loaded.config.farm.winrm
    default_port = winrm.port or (5986 if winrm.scheme == "https" else 5985)
    return open_pools(
        SessionSettings(
            name=server.name,
            address=server.address or server.fqdn,
            port=server.winrm_port or default_port,
            scheme=winrm.scheme,
            server_name=server.fqdn,
            transport=winrm.transport,
            user=winrm.user or "",
            password=password,
            ca_file=_path(loaded, winrm.ca_file),
            certificate_file=_path(loaded, winrm.certificate_file),
            key_file=_path(loaded, winrm.key_file),
            connect_timeout_s=loaded.config.limits.connect_timeout_s,
        )
        for server in loaded.config.servers
    )


def _path(loaded: Loaded, written: str | None) -> Path | None:
    return None if written is None else loaded.path(written)


def spec_of(loaded: Loaded, name: str) -> BalancerSpec:
    """The farm as a balancer of this name is to publish it. Raises ConfigError where the CA file holds a private key."""
    config = loaded.config
    names = tls_names(config)
    members = tuple(
        Member(
            name=server.name,
            address=server.address or server.fqdn,
            http_port=server.http_port,
            https_port=server.https_port,
            tls_name=names[server.name],
        )
        for server in config.servers
    )
    ca_file = config.publish.server_ca_file or ""
    server_ca_pem = loaded.path(ca_file).read_text(encoding="utf-8")
    if "PRIVATE KEY" in server_ca_pem:  # it would be copied to the balancers, readable by all
        at = ("publish", "server_ca_file")
        raise loaded.fault("holds a private key", at, remedy="name a file with the CA's certificates only")
    return BalancerSpec(
        name=name,
        hosts=config.publish.hosts,
        members=members,
        services=tuple(SERVICES),
        server_ca_pem=server_ca_pem,
    )
