"""What the second TLS leg costs: numbers that were measured, and what could not be, with the reason.

Rule of this room: a number says its unit, how often it was taken, its least and its greatest; nothing is guessed, and what is
computed from measurements is called derived. It measures nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from statistics import median
from typing import Annotated, Final, Literal

from pydantic import Field

from lbsync.model import Value

Unit = Literal["ms", "op/s", "MB/s", "1/s", "%"]
Source = Literal["measured", "reported", "derived"]
"""Timed by lbsync; told by the balancer about itself; computed from the other two."""

CONNECT_HTTP, CONNECT_HTTPS = "connect_http", "connect_https"
HANDSHAKE, RESUMED = "handshake_full", "handshake_resumed"
SIGN, VERIFY, AGREE, BULK = "sign", "verify", "key_agreement", "bulk"
OPENED, SHARE = "backend_connections_opened", "second_leg_core_share"
AGREEMENT: Final = "ecdhp256"
CIPHER: Final = "aes-256-gcm"
"""The subjects of key agreement and bulk, as `openssl speed` calls them."""

_RSA = frozenset({1024, 2048, 3072, 4096})
_EC = frozenset({256, 384, 521})


class Number(Value):
    """One quantity of one subject (a server, a kind of key): the median of ``n`` samples, the least and the greatest."""

    kind: Literal["number"] = "number"
    id: str
    subject: str
    unit: Unit
    median: float
    least: float
    most: float
    n: int = Field(ge=1)
    source: Source = "measured"
    note: str = ""


class Unknown(Value):
    """A quantity that could not be had; ``why`` completes "unknown: "."""

    kind: Literal["unknown"] = "unknown"
    id: str
    subject: str
    why: str


Entry = Annotated[Number | Unknown, Field(discriminator="kind")]


class BalancerCost(Value):
    """What was found for one balancer; ``place`` says where its connections and computations took place."""

    balancer: str
    place: str
    at: datetime
    legs: tuple[Entry, ...]
    """By server: TCP connections to both ports, and what a TLS handshake takes on top of its own."""
    cpu: tuple[Entry, ...]
    """Operations per second on one core of the balancer's host, and bulk encryption."""
    load: tuple[Entry, ...]
    """What the balancer does now, and the second leg set in proportion to it."""


def number(
    id: str,  # noqa: A002 -- the field's name
    subject: str,
    unit: Unit,
    samples: Sequence[float],
    *,
    source: Source = "measured",
    note: str = "",
) -> Number:
    """Samples in ``unit``, at least one, as a number."""
    return Number(
        id=id,
        subject=subject,
        unit=unit,
        median=median(samples),
        least=min(samples),
        most=max(samples),
        n=len(samples),
        source=source,
        note=note,
    )


def speed_name(algorithm: str, bits: int) -> str | None:
    """A kind of key as `openssl speed` calls it, ``None`` where it has no test for it.

    ``algorithm`` and ``bits`` are those of a ``CertificateInfo``.
    """
    if algorithm == "rsa" and bits in _RSA:
        return f"rsa{bits}"
    return f"ecdsap{bits}" if algorithm == "ec" and bits in _EC else None


def core_share(cpu: Iterable[Entry], opened: Entry, subject: str) -> Entry:
    """Per cent of one core that the second leg's public-key arithmetic takes at today's rate, were every handshake full.

    As a TLS client a balancer checks one signature of the server's key and agrees on a secret once, at least; ``cpu`` must hold
    both rates. Where servers have several kinds of key, the slowest counts. The real cost is higher: the chain, parsing, system
    calls and bulk come on top. ``least`` and ``most`` follow the spread of all.
    """
    numbers = [entry for entry in cpu if isinstance(entry, Number)]
    checks = [one for one in numbers if one.id == VERIFY and one.subject in set(subject.split(", "))]
    agrees = [one for one in numbers if one.id == AGREE]
    if isinstance(opened, Unknown):
        return Unknown(id=SHARE, subject=subject, why="how many connections it opens per second is unknown")
    if not checks or not agrees:
        return Unknown(id=SHARE, subject=subject, why="the rates of the operations are unknown")
    check, agree = min(checks, key=lambda one: one.median), agrees[0]

    def share(rate: float, checked: float, agreed: float) -> float:
        return 100.0 * rate * (1.0 / checked + 1.0 / agreed)

    return Number(
        id=SHARE,
        subject=subject,
        unit="%",
        median=share(opened.median, check.median, agree.median),
        least=share(opened.least, check.most, agree.most),
        most=share(opened.most, check.least, agree.least),
        n=min(check.n, agree.n, opened.n),
        source="derived",
        note="at least: public-key arithmetic alone, were each connection opened to a server a full handshake",
    )
