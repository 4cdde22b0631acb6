"""What only the tests of a live BIG-IP look at.

Rule of this file: one act or one look each; what must come of it stands in the tests.
"""

from __future__ import annotations

from lbsync.model import Check
from lbsync.target import Provider
from tests.balancers.simulated import objects_of
from tests.f5.conftest import F5Bench


def drained(provider: Provider, server: str) -> bool:
    """The answer to the drained check."""
    return provider.check(Check(target="lb1", verb="drained", args={"server": server}, summary="")).passed


def everything(bench: F5Bench) -> dict[str, str]:
    """Every object that runs or is saved, uploads and transactions left behind among them."""
    return objects_of(bench.device)


def running(bench: F5Bench) -> dict[str, str]:
    """The same without what is saved: for changes that are not."""
    return {name: text for name, text in everything(bench).items() if not name.startswith("saved ")}


def nothing_left(bench: F5Bench) -> None:
    """No upload, no transaction and no token of ours is on the device, and nothing went wrong inside it."""
    device = bench.device
    assert (device.downloads, device.open_transactions, device.tokens_of[device.user]) == ((), 0, 0)
    assert device.mishaps == ()
