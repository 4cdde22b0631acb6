"""What several keys of a configuration must agree on; single values are judged in ``sections``.

Rule of this room: it yields every disagreement, each with the key to change, and decides nothing else. Whether a mode is
safe on this farm is the adviser's question, not this one's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from lbsync.config.locate import Path
from lbsync.config.problems import did_you_mean
from lbsync.config.sections import BalancerSection, CertificateSection, Config, WatchSection, WinrmSection
from lbsync.config.service import ServiceSection

RESERVED = frozenset({"directory", "outside"})
"""Target names of a plan that stand for Active Directory and for the view from outside."""


class Disagreement(NamedTuple):
    """One fault: the key to change, what is wrong, what to write."""

    path: Path
    message: str
    remedy: str = ""


def disagreements(config: Config) -> Iterator[Disagreement]:
    """Every one of them, in no order."""
    yield from _winrm(config.farm.winrm, config.farm.exchange)
    yield from _certificate(config.certificate)
    yield from _names(config)
    yield from _watch(config.watch)
    yield from of_service(config.service)
    directory = config.farm.directory_server
    names = [server.name for server in config.servers]
    if directory is not None and directory not in names:
        yield Disagreement(
            ("farm", "directory_server"), f'"{directory}" is not among the servers', did_you_mean(directory, names)
        )
    if config.balancers and config.publish.server_ca_file is None:
        yield Disagreement(
            ("publish", "server_ca_file"),
            "is missing: balancers verify the servers' certificates",
            "name the PEM file of the CA that signed them",
        )


def _winrm(winrm: WinrmSection, exchange: str) -> Iterator[Disagreement]:
    at: Path = ("farm", "winrm")
    password_needed = winrm.transport in {"ntlm", "credssp"} or exchange == "explicit"
    if password_needed and winrm.user is None:
        reason = f"transport {winrm.transport}" if winrm.transport in {"ntlm", "credssp"} else 'exchange = "explicit"'
        yield Disagreement((*at, "user"), f"is missing: {reason} needs an account")
    if (password_needed or winrm.user is not None) and winrm.password is None and winrm.transport != "kerberos":
        yield Disagreement((*at, "password"), "is missing", 'write a reference, as "env:LBSYNC_WINRM_PASSWORD"')
    elif password_needed and winrm.password is None:
        yield Disagreement(
            (*at, "password"), 'is missing: exchange = "explicit" needs it', 'or set farm.exchange to "delegated"'
        )
    if winrm.transport == "certificate":
        for key, value in (("certificate_file", winrm.certificate_file), ("key_file", winrm.key_file)):
            if value is None:
                yield Disagreement((*at, key), "is missing: transport certificate needs it")
        if winrm.scheme == "http":
            yield Disagreement(
                (*at, "scheme"), "http carries no client certificate", 'use "https" with transport certificate'
            )
    if exchange == "delegated" and winrm.transport not in {"kerberos", "credssp"}:
        yield Disagreement(
            ("farm", "exchange"),
            f"transport {winrm.transport} delegates nothing",
            'use transport "kerberos" or "credssp", or exchange = "explicit"',
        )


def _certificate(certificate: CertificateSection) -> Iterator[Disagreement]:
    at: Path = ("certificate",)
    if certificate.source == "file":
        if certificate.file is None:
            yield Disagreement((*at, "file"), 'is missing: source = "file" needs it', "name a PFX or PEM file")
        if certificate.thumbprint is not None:
            yield Disagreement((*at, "thumbprint"), 'goes with source = "server" only', "remove it")
        return
    for key, value in (("file", certificate.file), ("password", certificate.password)):
        if value is not None:
            yield Disagreement((*at, key), 'goes with source = "file" only', 'set source = "file", or remove it')


def _watch(watch: WatchSection) -> Iterator[Disagreement]:
    if watch.critical_days > watch.warn_days:
        yield Disagreement(("watch", "critical_days"), f"is more than warn_days ({watch.warn_days})", "make it fewer")
    if watch.retry_first_s > watch.retry_most_s:
        yield Disagreement(
            ("watch", "retry_first_s"), f"is more than retry_most_s ({watch.retry_most_s:g})", "make it less"
        )


def of_service(service: ServiceSection) -> Iterator[Disagreement]:
    """Those within ``[service]``, which may also stand in a file of its own."""
    at = ("service",)
    for key, other in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
        if getattr(service, key) is not None and getattr(service, other) is None:
            yield Disagreement((*at, key), f"goes with {other} only", f"add {other}, or remove it")
    for key in ("user_header", "role_header"):
        if getattr(service, key) is not None and not service.trusted_proxies:
            yield Disagreement((*at, key), "goes with trusted_proxies only", "name the proxies that may say so")


def _names(config: Config) -> Iterator[Disagreement]:
    """Names are targets of a plan: one each, and none that means something else."""
    places: list[tuple[Path, str]] = [(("servers", i, "name"), item.name) for i, item in enumerate(config.servers)]
    places += [(("balancers", i, "name"), item.name) for i, item in enumerate(config.balancers)]
    seen: set[str] = set()
    for path, name in places:
        if name.lower() in RESERVED:
            yield Disagreement(path, f'"{name}" is a name of lbsync\'s own', "choose another one")
        if name.lower() in seen:
            yield Disagreement(path, f'"{name}" is used twice', "servers and balancers need a name of their own each")
        seen.add(name.lower())
    for path, value in _repeated(config):
        yield Disagreement(path, f'"{value}" is listed twice', "remove one of them")


def _repeated(config: Config) -> Iterator[tuple[Path, str]]:
    hosts = Counter[str]()
    for index, host in enumerate(config.publish.hosts):
        hosts[host] += 1
        if hosts[host] > 1:
            yield ("publish", "hosts", index), host
    for index, endpoint in enumerate(_endpoints(config)):
        if endpoint in _endpoints(config)[:index]:
            yield ("servers", index), f"{endpoint[0]}:{endpoint[1]}"
    for index, balancer in enumerate(config.balancers):
        if _listen(balancer) in [_listen(other) for other in config.balancers[:index]]:
            yield ("balancers", index, "listen"), _listen(balancer)


def _endpoints(config: Config) -> list[tuple[str, int, int | None]]:
    return [
        ((server.address or server.fqdn).lower(), server.https_port, server.winrm_port) for server in config.servers
    ]


def _listen(balancer: BalancerSection) -> str:
    return f"{balancer.listen.address}:{balancer.listen.https_port}"
