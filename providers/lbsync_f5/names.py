"""What lbsync's objects on a BIG-IP are called.

Rule of this room: pure. Everything of ours begins with ``lbsync_`` and the balancer's name; certificates go on with their
fingerprint, so that an object once made never has to change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lbsync.model import Mode
from lbsync.services import Service
from lbsync_certs import Fingerprint

_LEAF = re.compile(r"lbsync_.+_([0-9a-f]{64})\.crt\Z")


@dataclass(frozen=True, slots=True)
class Names:
    """Full paths below ``/partition`` or ``/partition/folder`` for one balancer.

    Each pool that bridges has a twin with the same servers; ``twins`` says that these are the ones meant. One of the two is live;
    the other is closed, which means that it takes nobody (see ``sides``).
    """

    partition: str
    folder: str | None
    balancer: str
    twins: bool = False

    @property
    def place(self) -> str:
        """Where our objects lie."""
        return f"/{self.partition}/{self.folder}" if self.folder else f"/{self.partition}"

    @property
    def prefix(self) -> str:
        """What the full path of each of our own objects begins with."""
        return f"{self.place}/lbsync_{self.balancer}_"

    def own(self, suffix: str) -> str:
        """An object of this balancer."""
        return f"{self.prefix}{suffix}"

    def pool(self, service: Service, mode: Mode) -> str:
        """The pool of one service in one mode."""
        twin = "_twin" if self.twins and mode is Mode.BRIDGE else ""
        return f"{self.monitor(service, mode)}{twin}"

    def monitor(self, service: Service, mode: Mode) -> str:
        """The monitor of such a pool, which its twin shares."""
        return self.own(f"{service}_{mode}")

    @property
    def turned(self) -> Names:
        """The same with each pool's twin in its place."""
        return replace(self, twins=not self.twins)

    @property
    def closed(self) -> frozenset[str]:
        """Where these names are those of the live pools: the pools that take nobody."""
        return frozenset(self.turned.pool(service, Mode.BRIDGE) for service in Service)

    @property
    def virtual(self) -> str:
        """The TLS virtual server."""
        return self.own("https")

    @property
    def redirect(self) -> str:
        """The virtual server on port 80."""
        return self.own("http")

    @property
    def mrsproxy(self) -> str:
        """MRSProxy's own virtual server."""
        return self.own("mrsproxy_https")

    @property
    def client_ssl(self) -> str:
        """The profile that holds the certificate."""
        return self.own("client-ssl")

    @property
    def server_ssl(self) -> str:
        """The profile that verifies the servers."""
        return self.own("server-ssl")

    @property
    def marker(self) -> str:
        """The data group that is the run marker."""
        return self.own("run-marker")

    def policy(self, digest: str) -> str:
        """A policy by the digest of its rules."""
        return self.own(f"modes_{digest}")

    def server_ca(self, digest: str) -> str:
        """The file object with the servers' CA, by the digest of its text."""
        return self.own(f"server-ca_{digest}.crt")

    def key(self, leaf: Fingerprint) -> str:
        """The private key's file object."""
        return self.own(f"{leaf}.key")

    def certificate(self, leaf: Fingerprint) -> str:
        """The leaf's file object."""
        return self.own(f"{leaf}.crt")

    def chain(self, leaf: Fingerprint) -> str:
        """The chain's file object; absent for a leaf without intermediates."""
        return self.own(f"{leaf}.chain.crt")


def leaf_of(path: str) -> Fingerprint | None:
    """The leaf whose certificate an object's full path stands for; ``None`` for any other object."""
    found = _LEAF.match(path.rpartition("/")[2])
    return Fingerprint(found.group(1)) if found else None


def split(path: str) -> tuple[str, str | None, str]:
    """Partition, folder and name of a full path."""
    parts = path.removeprefix("/").split("/")
    return parts[0], "/".join(parts[1:-1]) or None, parts[-1]


def draft_of(path: str) -> str:
    """The full path of a policy's draft: in the folder Drafts beside it."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/Drafts/{name}"


def encoded(path: str) -> str:
    """A full path as the last part of a URL."""
    return path.replace("/", "~")
