"""Extended Protection through a real HAProxy: an unmodified NTLM client with channel bindings, on a rollout of ours."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from lbsync.lab.farm import LabFarm
from lbsync.lab.spec import LabSpec
from lbsync_certs.pfx import write_pfx
from tests.rollout import outlook
from tests.rollout.fronts import HAPROXY, stand
from tests.rollout.outlook import HOST
from tests.rollout.rig import Rehearsal, write_config

BRIDGED = {"default": "bridge"}


@pytest.fixture
def protected(require: Callable[[str], None]) -> Generator[Rehearsal]:
    """A farm with Extended Protection on, a HAProxy in front, every service to be bridged."""
    require("haproxy")
    folder = Path(tempfile.mkdtemp(prefix="lbp-"))
    spec = LabSpec(servers=2, faults=0, extended_protection=True)
    try:
        with LabFarm(spec, folder / "farm") as farm, stand(HAPROXY, folder) as front:
            yield Rehearsal(farm, front, write_config(farm, front, folder / "lbsync.toml", modes=BRIDGED))
    finally:
        shutil.rmtree(folder)


def ask(rehearsal: Rehearsal, path: str) -> int:
    """Log on with NTLM through HAProxy, as Outlook does; the last status."""
    with outlook.session_of(rehearsal) as session:
        return outlook.ask(rehearsal, session, path)


def test_bridged_services_keep_channel_bindings(protected: Rehearsal, tmp_path: Path) -> None:
    """With the servers' own certificate on HAProxy clients log on; another one is refused before anything changes."""
    code, said = protected.run(tmp_path, "apply", "--yes", "--quiet", "--no-canary")
    assert code == 0, said
    for path in ("/mapi/emsmdb/", "/ews/exchange.asmx", "/ews/mrsproxy.svc"):
        assert ask(protected, path) == 200, path

    before = protected.snapshot()
    other = protected.farm.ca.issue([HOST, "autodiscover.contoso.test"])
    pfx = protected.config.parent / "other.pfx"
    pfx.write_bytes(write_pfx(other, b"open sesame"))
    secret = protected.config.parent / "pfx-password"
    secret.touch(mode=0o600)
    secret.write_text("open sesame")
    certificate = {"source": "file", "file": str(pfx), "password": f"file:{secret}"}
    write_config(protected.farm, protected.balancer, protected.config, certificate, modes=BRIDGED)
    code, said = protected.run(tmp_path, "plan")
    assert code == 3, said
    assert "Extended Protection is on" in said
    assert protected.snapshot() == before


def test_offload_is_refused_while_it_is_on(protected: Rehearsal, tmp_path: Path) -> None:
    """The plan names the servers and what to do, and nothing is changed."""
    before = protected.snapshot()
    write_config(protected.farm, protected.balancer, protected.config)
    code, said = protected.run(tmp_path, "apply", "--yes", "--no-canary")
    assert code == 3, said
    assert "Extended Protection is on" in said
    assert protected.snapshot() == before
