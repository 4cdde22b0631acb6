"""One difference, as a value, and the kinds there are.

Rule of this file: values only; a difference says what is so in an administrator's words, never why.
"""

from __future__ import annotations

from enum import StrEnum

from lbsync.model import Value
from lbsync.services import Service


class Kind(StrEnum):
    """What differs. The value is the word used in JSON."""

    MEMBER = "member"
    VERSION = "version"
    VDIR = "virtual-directory"
    REQUIRE_SSL = "require-ssl"
    FLAGS = "ssl-flags"
    INHERITANCE = "inheritance"
    PROTECTION = "extended-protection"
    LOGON = "authentication"
    ROUTE = "route"
    """Pool, redirect, rewrite rules."""
    BINDING = "binding"
    LEAF = "certificate-bound"
    BACK_END = "back-end"
    STORE = "certificate-stored"
    MAIL = "certificate-service"
    OUTLOOK_ANYWHERE = "outlook-anywhere"
    MRSPROXY = "mrsproxy"
    OAUTH = "oauth"
    PUBLISHED = "published"
    STRUCTURE = "structure"
    MODE = "mode"
    SERVED = "certificate-served"
    INSTALLED = "certificate-installed"
    SOFTWARE = "balancer-version"
    UNIT = "active-unit"


class Difference(Value):
    """``target`` is a server, a balancer or ``directory``; ``before`` and ``now`` are short values, empty for nothing.

    ``services`` are those it concerns.
    """

    target: str
    kind: Kind
    subject: str
    text: str
    before: str = ""
    now: str = ""
    services: tuple[Service, ...] = ()

    @property
    def told(self) -> str:
        """In one line, without the target."""
        values = f": {self.before or 'nothing'} -> {self.now or 'nothing'}" if self.before or self.now else ""
        return f"{self.subject}: {self.text}{values}"
