"""One certificate to many balancers, each 20 ms away: many.py COUNT FOLDER; says what it took.

What is simulated is the device: each effect, reading and check costs one round trip. Plan, engine and ledger are those of
``lbsync rotate``. A program of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from bench.child import say
from lbsync.engine import Engine, Site
from lbsync.ledger import Ledger
from lbsync.model import Action, Check, CheckResult, Mode, Plan, Receipt, State
from lbsync.plan import build_rotation
from lbsync.run import RunPhase
from lbsync.target import Capabilities, MaterialSource
from lbsync.testing.farm_facts import NOW, Lowering, all_modes, balancer_facts, desired, fact_set, leaf_info
from lbsync_certs import Bundle, Fingerprint

ROUND_TRIP_S = 0.02


class Away(Lowering):
    """A balancer that answers after one round trip."""

    def read(self, action: Action) -> State:
        """What was done last."""
        time.sleep(ROUND_TRIP_S)
        return {"verb": action.verb}

    def perform(self, action: Action, materials: MaterialSource) -> Receipt:  # noqa: ARG002 - the contract's signature
        """It is done."""
        time.sleep(ROUND_TRIP_S)
        return Receipt(summary=f"did {action.verb}")

    def check(self, check: Check) -> CheckResult:
        """It is so."""
        time.sleep(ROUND_TRIP_S)
        return CheckResult(passed=True, detail=check.summary)


class NoMaterials:
    """Nothing is opened: the device is simulated."""

    def open(self, leaf: Fingerprint) -> Bundle:
        """See MaterialSource."""
        raise LookupError(leaf)


def main() -> None:
    """Rotate once; seconds and the peak of memory in MiB."""
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    names = [f"lb{number:02d}" for number in range(1, count + 1)]
    targets = {name: Away(name) for name in names}
    plan = _plan(names, targets)
    outside = Away("outside")
    site = Site(targets=targets, materials=NoMaterials(), checkers={"outside": outside})
    with Ledger(folder / f"{count}.db") as ledger:
        began = time.perf_counter()
        run = Engine(ledger, site, workers=max(4, count + 2)).apply(plan, actor="bench")
        took_s = time.perf_counter() - began
    if run.phase is not RunPhase.APPLIED:
        raise SystemExit(f"the run is {run.phase}")
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say({"steps": len(plan.steps), "seconds": took_s, "peak_mib": peak_mib})


def _plan(names: list[str], targets: dict[str, Away]) -> Plan:
    facts = fact_set(balancers=tuple(balancer_facts(name, modes=all_modes(Mode.BRIDGE)) for name in names))
    able = {name: Capabilities() for name in names}
    return build_rotation(desired(leaf=leaf_info(5, days_left=400)), facts, targets, able, NOW, to_servers=False)


if __name__ == "__main__":
    main()
