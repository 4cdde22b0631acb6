"""A rehearsal farm behind a balancer in a process of its own: rehearsal.py FOLDER [BALANCER]; it ends when its stdin does.

Two renewed certificates of the farm's CA lie in FOLDER/renewed, where its configuration looks for renewals.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Literal

from lbsync.lab.configfile import ConfigOptions
from lbsync.lab.daemon import Lab, serve
from lbsync.lab.spec import LabSpec

LONG_POLL_S = 4.0
SERVERS = 4


def main() -> None:
    """Say when it is up; stay up."""
    folder = Path(sys.argv[1])
    balancer: Literal["bigip", "haproxy"] = "bigip" if sys.argv[2:] == ["bigip"] else "haproxy"
    options: ConfigOptions = {"certificate": {"source": "server", "renewals": [str(folder / "renewed")]}}
    spec = LabSpec(servers=SERVERS, faults=0.0, ping_s=LONG_POLL_S)
    lab = Lab(spec, folder, balancer=balancer, options=options)

    def up(lab: Lab) -> None:
        renewed = folder / "renewed"
        renewed.mkdir(mode=0o700)
        for number in (1, 2):
            leaf = lab.farm.ca.issue(list(lab.farm.leaf.info.names), days=700 + number)
            (renewed / f"{number}.pem").write_bytes(leaf.pem())
            (folder / f"thumbprint-{number}").write_text(leaf.thumbprint, encoding="ascii")
        print("up", flush=True)

    def end() -> None:
        sys.stdin.read()
        lab.stopping.set()

    threading.Thread(target=end, daemon=True).start()
    serve(lab, up)


if __name__ == "__main__":
    main()
