"""All figures of NGINX: nginx.py [--quick].

A program of its own: what the bench itself has in memory counts as the peak of every program it starts.
"""

from __future__ import annotations

import sys

from bench import cpu, swaps, trips
from bench.nginxes import at_hand, chosen


def main() -> None:
    """Swaps under load and CPU of a handshake for each NGINX at hand; round trips over SSH for one."""
    quick = "--quick" in sys.argv[1:]
    found = at_hand()
    if not found:
        print("\nNGINX: NOT MEASURED: nginx or its stream module is not installed")
        return
    swaps.report(found, quick=quick)
    cpu.report(found, quick=quick)
    with chosen(found[0]):
        trips.report(found[0], quick=quick)


if __name__ == "__main__":
    main()
