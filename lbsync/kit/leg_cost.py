"""What a TLS leg to each server takes in time, from a balancer's own host.

Rule of this room: never through a tunnel, whose round trips would be counted too: on a host over SSH the same measuring text runs
there, in its python3, and where there is none the times are unknown. One server at a time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lbsync.costs import CONNECT_HTTP, CONNECT_HTTPS, HANDSHAKE, RESUMED, Entry, Unknown, number, speed_name
from lbsync.errors import TargetError
from lbsync.kit import leg_timing
from lbsync.kit.host import Host
from lbsync.kit.host_local import LocalHost
from lbsync.model import Value
from lbsync.target import Member
from lbsync_certs import CertificateProblem
from lbsync_certs.info import describe, load_der
from lbsync_certs.names import ascii_name

TRIES = 7
_STAGES = (CONNECT_HTTP, CONNECT_HTTPS, HANDSHAKE, RESUMED)
_BUDGET_IN_TIMEOUTS = 3
_START_S = 30.0
"""For the host to begin and end python3."""


class Stage(Value):
    """Milliseconds, and why there are no more."""

    ms: list[float]
    error: str


class Answer(Value):
    """What ``leg_timing`` answers."""

    connect_http: Stage
    connect_https: Stage
    handshake_full: Stage
    handshake_resumed: Stage
    tls: str
    leaf: str


@dataclass(frozen=True, slots=True)
class Legs:
    """Entries by server, and the kinds of keys the servers have, as `openssl speed` calls them."""

    entries: tuple[Entry, ...]
    keys: tuple[str, ...]


def measure_legs(host: Host, members: Sequence[Member], ca_pem: str, timeout_s: float, tries: int = TRIES) -> Legs:
    """Connect and greet each server ``tries`` times: to both ports, in full and resumed. What fails is an entry."""
    entries: list[Entry] = []
    keys: dict[str, None] = {}
    for member in members:
        asked: dict[str, object] = {
            "address": member.address.removeprefix("[").removesuffix("]"),
            "http_port": member.http_port,
            "https_port": member.https_port,
            "name": ascii_name(member.tls_name),
            "ca": ca_pem,
            "tries": tries,
            "timeout_s": timeout_s,
            "budget_s": _BUDGET_IN_TIMEOUTS * timeout_s,
        }
        try:
            told = _told(host, asked)
        except TargetError as error:
            entries += _all_unknown(member.name, error.message)
            continue
        except ValueError:
            entries += _all_unknown(member.name, f"python3 (3.7 or later, with ssl) did not run on {host.name}")
            continue
        entries += read_legs(member.name, told)
        if (key := _key(told)) is not None:
            keys[key] = None
    return Legs(tuple(entries), tuple(keys))


def read_legs(server: str, told: Answer) -> tuple[Entry, ...]:
    """The entries for one server."""
    return tuple(_entry(server, stage, getattr(told, stage), told.tls) for stage in _STAGES)


def _entry(server: str, name: str, stage: Stage, tls: str) -> Entry:
    if not stage.ms:
        return Unknown(id=name, subject=server, why=stage.error or "no full handshake succeeded")
    said = [tls] if name in {HANDSHAKE, RESUMED} else []
    if stage.error:
        said.append(f"after {len(stage.ms)}: {stage.error}")
    return number(name, server, "ms", stage.ms, note="; ".join(said))


def _told(host: Host, asked: dict[str, object]) -> Answer:
    if isinstance(host, LocalHost):
        return Answer.model_validate(leg_timing.measure(asked))
    text = Path(leg_timing.__file__).read_text(encoding="utf-8")
    wait = _START_S + 2.0 * float(str(asked["budget_s"]))
    done = host.run(["python3", "-I", "-S", "-c", text], input=json.dumps(asked).encode(), timeout_s=wait)
    return Answer.model_validate_json(done.stdout)  # ValueError where nothing, or another thing, was said


def _key(told: Answer) -> str | None:
    try:
        info = describe(load_der(base64.b64decode(told.leaf)))
    except CertificateProblem:
        return None
    return speed_name(info.key_algorithm, info.key_bits)


def _all_unknown(server: str, why: str) -> Iterable[Unknown]:
    return (Unknown(id=stage, subject=server, why=why) for stage in _STAGES)
