"""The files lbsync owns on an HAProxy host: their names, and the seal that tells ours from an edited one.

Rule of this room: pure. HAProxy loads every ``*.cfg`` of a directory given with -f, so nothing else of ours ends so.

Each text file begins with a line that names lbsync and holds the SHA-256 of the rest: whoever edits it breaks the seal, and
lbsync then refuses to overwrite what somebody wrote.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from lbsync_certs import Fingerprint

CFG = "exchange.cfg"
MAP = "exchange.map"
CRT_LIST = "exchange.crt-list"
CA = "server-ca.pem"
TEXT_FILES = (CA, MAP, CRT_LIST, CFG)
"""In the order they are written: the configuration, which refers to the others, last."""

Seal = Literal["absent", "intact", "edited", "foreign"]

_HEADER = "# Owned by lbsync: do not edit, an edited file is not overwritten. sha256:"
_SEALED = re.compile(re.escape(_HEADER) + r"([0-9a-f]{64})\n")
_PEM_NAME = re.compile(r"([0-9a-f]{64})\.pem\Z")


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


def pem_name(leaf: Fingerprint) -> str:
    """File name of a leaf's PEM."""
    return f"{leaf}.pem"


def leaf_of(name: str | None) -> Fingerprint | None:
    """The leaf that a PEM's file name (or the live link's target) stands for; ``None`` for any other name."""
    found = _PEM_NAME.match(name or "")
    return Fingerprint(found.group(1)) if found else None


def seal(body: str) -> str:
    """A file's text with its header."""
    return f"{_HEADER}{_digest(body)}\n{body}"


def body_of(text: str) -> str:
    """A sealed file's text without its header; a text without one as it is."""
    found = _SEALED.match(text)
    return text[found.end() :] if found else text


def seal_of(text: str | None) -> Seal:
    """Whether a file is ours and as we wrote it."""
    if text is None:
        return "absent"
    found = _SEALED.match(text)
    if not found:
        return "foreign"
    return "intact" if found.group(1) == _digest(text[found.end() :]) else "edited"


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
