"""What stands in front of the hub: where it listens and who may come in, from ``[service]``.

Rule of this file: it translates, and resolves the secrets that are named there; whether it may be served like this, ``Access``
judges.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lbsync.config import OidcSection, ServiceSection
from lbsync.errors import LbsyncError
from lbsync.secrets import resolve
from lbsync.service.auth.access import Access, OidcAccess, ProxyAccess, is_loopback
from lbsync.service.auth.tokens import generated
from lbsync.service.certificate import OwnCertificate
from lbsync.service.port import Hub
from lbsync.service.values import Role

if TYPE_CHECKING:
    import uvicorn

    from lbsync.service.outlets import Outlets


@dataclass(frozen=True, slots=True)
class Front:
    """How it is reached; ``new_token``: the token was made just now."""

    access: Access
    own: OwnCertificate | None
    """The certificate that it shows; ``None``: it speaks in clear."""
    new_token: bool


def front(section: ServiceSection, base: Path, state: Path) -> Front:
    """From ``[service]``, whose relative paths start from ``base``; ``state`` is where the token of a loopback service lies.

    Raises ConfigError, SecretError.
    """
    host, _, port = section.listen.rpartition(":")
    host = host.strip("[]")
    token, is_new = generated(state) if is_loopback(host) else (None, False)
    certificate, key = (_path(base, written) for written in (section.certificate_file, section.key_file))
    access = Access(
        host=host,
        port=int(port),
        tls=certificate is not None,
        hosts=section.hosts,
        token=token,
        users_file=_path(base, section.users_file),
        proxy=_proxy(section),
        oidc=_oidc(section.oidc, base) if section.oidc is not None else None,
        idle_s=section.idle_s,
        lasting_s=section.lasting_s,
    ).checked()
    return Front(access, OwnCertificate(certificate, key) if certificate is not None else None, is_new)


def server(hub: Hub, found: Front, outlets: Outlets) -> uvicorn.Config:
    """The HTTP server, whose routes find ``outlets``. Raises ConfigError."""
    from lbsync.service.web.app import make_app
    from lbsync.service.web.wire import server_config

    return server_config(outlets.around(make_app(hub, found.access)), found.access, found.own)


def listen(access: Access) -> socket.socket:
    """The socket. Raises LbsyncError where the address is taken or none of this host's."""
    family = socket.AF_INET6 if ":" in access.host else socket.AF_INET
    try:
        return socket.create_server((access.host, access.port), family=family, backlog=512)
    except OSError as error:
        raise LbsyncError(
            f"it cannot listen there: {error.strerror or error}",
            where=f"[service] listen, {access.host}:{access.port}",
            state="nothing was started",
            remedy="stop what listens there, or choose another address: --listen ADDRESS:PORT",
            code=f"errno-{error.errno}",
        ) from None


def url(access: Access, port: int) -> str:
    """Where a browser on this host finds it."""
    host = f"[{access.host}]" if ":" in access.host else access.host
    return f"{'https' if access.tls else 'http'}://{host}:{port}"


def _path(base: Path, written: str | None) -> Path | None:
    return (base / written).expanduser() if written is not None else None


def _proxy(section: ServiceSection) -> ProxyAccess | None:
    if not section.trusted_proxies:
        return None
    default = section.proxy_default_role
    return ProxyAccess(
        networks=section.trusted_proxies,
        user_header=section.user_header,
        role_header=section.role_header,
        roles={name: Role(role) for name, role in section.proxy_roles.items()},
        default_role=Role(default) if default is not None else None,
    )


def _oidc(section: OidcSection, base: Path) -> OidcAccess:
    secret, ca_file = section.client_secret, _path(base, section.ca_file)
    return OidcAccess(
        issuer=section.issuer,
        client_id=section.client_id,
        client_secret=resolve(secret, base=base) if secret is not None else None,
        public_url=section.public_url,
        scopes=section.scopes,
        name_claim=section.name_claim,
        role_claim=section.role_claim,
        roles={name: Role(role) for name, role in section.roles.items()},
        ca_file=str(ca_file) if ca_file is not None else None,
    )
