"""The files lbsync owns on an NGINX host: their names and places.

Rule of this room: pure. One directory of our own holds everything but the file that must lie where NGINX's http block
includes it; certificates are immutable and named by fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lbsync_certs import Fingerprint
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import LINKS, LinkName

CA = "server-ca.pem"
STREAM = "stream.conf"
HTTP = "http.conf"
TEXT_FILES = (CA, STREAM, HTTP)
"""What our text files are called in facts, steps and messages; in the order they are written."""

Files = Mapping[str, str | None]
"""Text by name; ``None``: absent."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Absolute paths."""

    directory: str
    http_file: str
    shared: bool = False
    """The workers read the certificates: those are in a folder of their own, so that no mode of a file ever changes."""

    @classmethod
    def of(cls, settings: NginxSettings) -> Layout:
        """Where these settings put things."""
        return cls(settings.directory, settings.http_file, settings.certificate_form == "variable")

    @property
    def ca(self) -> str:
        """The CA certificates that servers' leaves must chain to."""
        return self.file(CA)

    @property
    def stream(self) -> str:
        """What the administrator includes in a stream block."""
        return self.file(STREAM)

    @property
    def certs(self) -> str:
        """The certificate folder: the only place with private keys."""
        return f"{self.directory}/{'certs-shared' if self.shared else 'certs'}"

    def link(self, name: LinkName) -> str:
        """With certificates by variable: a link to the one that is served; absent otherwise."""
        return f"{self.certs}/{name}.pem"

    @property
    def links(self) -> tuple[str, ...]:
        """Both of them."""
        return tuple(self.link(name) for name in LINKS)

    @property
    def marker(self) -> str:
        """The run marker."""
        return f"{self.directory}/run-marker"

    def file(self, name: str) -> str:
        """The path of a text file."""
        return self.http_file if name == HTTP else f"{self.directory}/{name}"

    def certificate(self, leaf: Fingerprint) -> str:
        """The immutable PEM file of one leaf: certificate, chain and key."""
        return f"{self.certs}/{leaf}.pem"


def main_file(settings: NginxSettings) -> str:
    """The name of the text file that carries the listener, and with it the state."""
    return STREAM if settings.proxy == "stream" else HTTP
