"""The files lbsync owns on an HAProxy host: their names.

Rule of this room: pure. HAProxy loads every ``*.cfg`` of a directory given with -f, so nothing else of ours ends so.
"""

from __future__ import annotations

from dataclasses import dataclass

from lbsync.kit.pem_files import pem_name
from lbsync_certs import Fingerprint

CFG = "exchange.cfg"
MAP = "exchange.map"
CRT_LIST = "exchange.crt-list"
CA = "server-ca.pem"
STATES = "servers.state"
"""Written anew by every drain and reload, and not sealed: HAProxy wants its format's version in the first line."""
TEXT_FILES = (CA, MAP, CRT_LIST, CFG)
"""In the order they are written: the configuration, which refers to the others, last."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Absolute paths below the owned directory."""

    directory: str

    @property
    def map(self) -> str:
        """The map from path to pool."""
        return self.file(MAP)

    @property
    def crt_list(self) -> str:
        """The crt-list of the TLS listener."""
        return self.file(CRT_LIST)

    @property
    def ca(self) -> str:
        """The CA certificates that servers' leaves must chain to."""
        return self.file(CA)

    @property
    def certs(self) -> str:
        """The certificate folder: the only place with private keys."""
        return self.file("certs")

    @property
    def live(self) -> str:
        """The name HAProxy knows its certificate by: a symbolic link to one of the immutable files beside it."""
        return f"{self.certs}/live.pem"

    @property
    def states(self) -> str:
        """The server state file: which servers are not ready when HAProxy begins."""
        return self.file(STATES)

    @property
    def marker(self) -> str:
        """The run marker."""
        return self.file("run-marker")

    @property
    def staging(self) -> str:
        """Where a configuration is tried before it is put in place; dot-named, so HAProxy passes over it."""
        return self.file(".check")

    def file(self, name: str) -> str:
        """A file of the directory."""
        return f"{self.directory}/{name}"

    def certificate(self, leaf: Fingerprint) -> str:
        """The immutable PEM file of one leaf."""
        return f"{self.certs}/{pem_name(leaf)}"
