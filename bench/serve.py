"""What the overview costs: 200 namespaces with 2,000 listeners, through gate, policy and template, in this process.

A state is replaced before each page, as after a look; now and then all of them are, as after a start. What a browser's line
adds is not measured, nor what others on the machine take: it is the time of the processor.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
from pydantic import SecretStr

from bench.child import say
from lbsync.model import Mode
from lbsync.service.auth.access import Access
from lbsync.service.port import Hub
from lbsync.service.values import (
    CertificateState,
    DriftState,
    Lamp,
    Level,
    ListenerState,
    ModeState,
    NamespaceState,
)
from lbsync.service.web.app import make_app
from lbsync.services import Service

SPACES, LISTENERS, GOAL_MS = 200, 10, 100
_TOKEN = "bench-" + "0123456789abcdef" * 3
_NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
_LEVELS = (Level.OK, Level.OK, Level.OK, Level.WARNING, Level.CRITICAL)


class States:
    """The part of the hub that an overview asks."""

    def __init__(self) -> None:
        self.kept = {name: state(name, number) for number in range(SPACES) for name in (f"farm-{number:03d}",)}

    def states(self) -> dict[str, NamespaceState]:
        """Every namespace."""
        return self.kept

    def again(self, number: int) -> None:
        """A look at one of them came back."""
        name = f"farm-{number % SPACES:03d}"
        self.kept[name] = state(name, number)

    def events(self) -> AbstractAsyncContextManager[object]:
        """Nobody listens."""
        raise NotImplementedError


def state(name: str, number: int) -> NamespaceState:
    """A namespace with ten listeners, one in five of them with something to tell."""
    level = _LEVELS[number % len(_LEVELS)]
    lamps = [Lamp.GREEN] * LISTENERS
    if level is not Level.OK:
        lamps[3], lamps[7] = Lamp.YELLOW, Lamp.RED
    end = _NOW + timedelta(days=number % 300)
    return NamespaceState(
        name=name, farm=f"Farm {number}", level=level, next_text="the next look", next_at=_NOW, looked_at=_NOW,
        listeners=tuple(
            ListenerState(
                balancer=f"lb{n % 4}", host=f"mail{n}.{name}.example", address=f"10.0.0.{n}:443", light=lamp,
                text="" if lamp is Lamp.GREEN else "serves another certificate", thumbprint="A" * 40, not_after=end,
                days=number % 300,
            )
            for n, lamp in enumerate(lamps)
        ),
        modes=tuple(ModeState(balancer="lb0", service=one, mode=Mode.BRIDGE, wanted=Mode.BRIDGE) for one in Service),
        certificates=(CertificateState(thumbprint="A" * 40, subject=f"CN={name}", not_after=end, days=3, users=("lb0",)),),
        drift=DriftState(count=number % 2),
    )  # fmt: skip


async def measure(times: int) -> dict[str, Any]:
    """Milliseconds of CPU of pages after one look, and of pages after a look at everything; and a page's bytes."""
    hub = States()
    app = make_app(cast("Hub", hub), Access(token=SecretStr(_TOKEN)))
    headers = {"Authorization": f"Bearer {_TOKEN}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:

        async def page() -> tuple[float, int]:
            began = time.process_time()
            answer = await client.get("/", headers=headers)
            took = (time.process_time() - began) * 1000
            answer.raise_for_status()
            return took, len(answer.content)

        await page()
        after_one: list[float] = []
        size = 0
        for number in range(times):
            hub.again(number)
            took, size = await page()
            after_one.append(took)
        after_all: list[float] = []
        for _ in range(max(20, times // 10)):
            hub.kept = States().kept
            after_all.append((await page())[0])
    return {"one": _spread(after_one), "all": _spread(after_all), "kib": size / 1024}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "p95": statistics.quantiles(values, n=20)[-1]}


def report(*, quick: bool) -> None:
    """Print both against the goal."""
    found = asyncio.run(measure(100 if quick else 400))
    print(
        f"\nOverview of {SPACES} namespaces, {SPACES * LISTENERS} listeners ({found['kib']:.0f} KiB), CPU of the server"
    )
    for key, words in (("one", "after a look at one"), ("all", "after a look at all")):
        spread = found[key]
        verdict = "within" if spread["p95"] <= GOAL_MS else "OVER"
        print(
            f"  {words:<20} median {spread['median']:4.0f} ms, p95 {spread['p95']:4.0f} ms ({verdict} the goal of {GOAL_MS} ms)"
        )


if __name__ == "__main__":
    say(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 200)))
