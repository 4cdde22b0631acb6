"""``python -m lbsync.lab DIRECTORY [SPEC]``: a lab in a process of its own, for benchmarks and kill tests.

SPEC is a JSON object of ``LabSpec`` fields; ``"balancer"`` is haproxy, which is the default, nginx, or null for none; ``"proxy"``
and ``"ssh"`` are as for ``Lab``. It prints nothing: ``lab.json`` in the directory tells when it is up.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lbsync.lab.daemon import Lab, serve
from lbsync.lab.spec import LabSpec


def main(arguments: list[str]) -> None:
    """Serve until a signal or the door says stop."""
    knobs = json.loads(arguments[1]) if len(arguments) > 1 else {}
    choice = {name: knobs.pop(name) for name in ("balancer", "proxy", "ssh") if name in knobs}
    serve(Lab(LabSpec(**knobs), Path(arguments[0]), **choice))


if __name__ == "__main__":
    main(sys.argv[1:])
