"""NGINX's version, and what may be written for which.

Rule of this room: pure; each gate says since when, by NGINX's changelog or a trial.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_VERSION = re.compile(r"nginx version: (?P<name>[^\n]*?/(?P<numbers>\d+\.\d+\.\d+)[^\n]*)")

OLDEST = (1, 22, 0)
"""Debian 12's. Older ones lack ssl_alpn for stream (1.21.4) and were never tried."""


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Three numbers; ``plus`` for the commercial build."""

    numbers: tuple[int, int, int]
    plus: bool = False

    @property
    def text(self) -> str:
        """As facts carry it: ``1.22.1``, ``1.27.2-plus``."""
        return ".".join(str(number) for number in self.numbers) + ("-plus" if self.plus else "")

    @property
    def supported(self) -> bool:
        """Not too old."""
        return self.numbers >= OLDEST

    @property
    def keeps_idle_clients(self) -> bool:
        """keepalive_min_timeout (1.27.4): on a reload no idle client loses the request it is about to send."""
        return self.numbers >= (1, 27, 4)

    @property
    def caches_certificates(self) -> bool:
        """ssl_certificate_cache (1.27.4)."""
        return self.numbers >= (1, 27, 4)

    @property
    def switches_http2(self) -> bool:
        """http2 as a directive of its own (1.25.1); before it was a word of listen, absent here."""
        return self.numbers >= (1, 25, 1)

    @property
    def shares_upstream_connections(self) -> bool:
        """Keep-alive to upstreams by default (1.29.7), off only by ``keepalive 0``, which older ones take for an error."""
        return self.numbers >= (1, 29, 7)


def parse_version(text: str) -> Version | None:
    """From what ``nginx -v`` says; ``None`` for anything else."""
    found = _VERSION.search(text)
    if not found:
        return None
    major, minor, patch = (int(number) for number in found["numbers"].split("."))
    return Version((major, minor, patch), plus="nginx-plus" in found["name"])


def version_of(text: str) -> Version:
    """Back from ``Version.text``; the oldest supported for an empty text. Raises ValueError for anything else."""
    if not text:
        return Version(OLDEST)
    numbers, _, plus = text.partition("-")
    major, minor, patch = (int(number) for number in numbers.split("."))
    return Version((major, minor, patch), plus=plus == "plus")
