"""A rehearsal farm behind a real HAProxy in a process of its own: rehearsal.py FOLDER; it ends when its stdin does."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from lbsync.lab.daemon import Lab, serve
from lbsync.lab.spec import LabSpec

LONG_POLL_S = 4.0
SERVERS = 4


def main() -> None:
    """Say when it is up; stay up."""
    lab = Lab(LabSpec(servers=SERVERS, faults=0.0, ping_s=LONG_POLL_S), Path(sys.argv[1]))

    def up(_lab: Lab) -> None:
        print("up", flush=True)

    def end() -> None:
        sys.stdin.read()
        lab.stopping.set()

    threading.Thread(target=end, daemon=True).start()
    serve(lab, up)


if __name__ == "__main__":
    main()
