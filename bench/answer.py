"""What the endpoints need: the answer a simulated server really gives, and certificates for HTTPS: answer.py FOLDER.

A program of its own: what the bench itself has in memory counts as the peak of every program it starts.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from pathlib import Path

import certifi

from lbsync.exchange.session import SessionPool, SessionSettings
from lbsync.lab.farm import LabFarm
from lbsync.lab.spec import LabSpec
from lbsync.testing.ca import TestCA


def record(path: Path) -> None:
    """Write the stdout of ``server-facts`` as one lab server gives it."""
    with tempfile.TemporaryDirectory() as directory:
        spec = LabSpec(servers=1, faults=0, data_plane=False)
        with LabFarm(spec, Path(directory)) as farm:
            (server,) = farm.servers.values()
            settings = SessionSettings(
                name=server.name, address=server.address, port=server.winrm_port, server_name=server.fqdn, user=farm.user,
                password=lambda: farm.password, ca_pem=farm.ca_pem,
            )  # fmt: skip
            with SessionPool(settings) as pool:
                result = pool.call("server-facts", {})
    stdout = base64.b64encode(json.dumps({"ok": True, "result": result}, separators=(",", ":")).encode())
    path.write_bytes(stdout)


def main() -> None:
    """Write ``answer``, ``ca.pem`` and ``server.pem`` into the folder given."""
    folder = Path(sys.argv[1])
    record(folder / "answer")
    authority = TestCA.new("lbsync bench CA")
    # Among a hundred others, as a system's file has them: loading it is most of what a careless session costs.
    (folder / "ca.pem").write_bytes(authority.root_pem + Path(certifi.where()).read_bytes())
    (folder / "server.pem").write_bytes(authority.issue(["localhost", "127.0.0.1"], key="ec256").pem())


if __name__ == "__main__":
    main()
