"""lbsync's own way to the facts of many servers, as a program of its own: ports, then threads.

The code of ``lbsync check`` below the command line: sessions behind one login gate, one script per server, the answer read into
facts. Only the bench may ask over plain HTTP with Basic, which the product refuses: all sides must do the same work.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.rivals import PASSWORD, THREADS, USER
from lbsync.exchange.fanout import answers, fan_out
from lbsync.exchange.server import ServerTarget
from lbsync.exchange.session import SessionSettings, open_pools
from lbsync.facts import ServerFacts
from lbsync.services import ALL_SERVICES


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSettings(SessionSettings):
    """Settings without the refusal of credentials in clear."""

    def __post_init__(self) -> None:
        """Refuse nothing."""

    @property
    def seals(self) -> bool:
        """Basic cannot."""
        return False


def _settings(number: int, port: int, ca: str) -> SessionSettings:
    kind = SessionSettings if ca else PlainSettings
    return kind(
        name=f"EX{number:02d}", address="127.0.0.1", server_name="localhost", port=port, scheme="https" if ca else "http",
        transport="basic", user=USER, password=lambda: PASSWORD, ca_file=Path(ca) if ca else None,
    )  # fmt: skip


def _observe(target: ServerTarget) -> ServerFacts:
    try:
        return target.observe(ALL_SERVICES)
    finally:
        target.release()


def main() -> None:
    """Read every server; the facts stay in memory until the end, as a plan needs them."""
    ca = os.environ.get("BENCH_CA", "")
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else THREADS
    pools = open_pools(_settings(number, int(port), ca) for number, port in enumerate(json.loads(sys.argv[1]), 1))
    targets = [ServerTarget(name, pool) for name, pool in pools.items()]
    facts = answers(fan_out(targets, _observe, parallel=threads))
    if len({fact.server for fact in facts}) != len(pools):
        raise SystemExit("a server was not read")


if __name__ == "__main__":
    main()
