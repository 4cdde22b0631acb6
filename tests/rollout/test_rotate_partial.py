"""Two balancers, one of which cannot be switched: all go back, or the other goes on, as a person chose."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from lbsync.cli.exits import ExitCode
from lbsync.kit.handshake import handshake
from lbsync.lab.farm import LabFarm
from lbsync.lab.spec import LabSpec
from lbsync.testing.haproxy import RunningHaproxy
from tests.longer import LONGER
from tests.rollout.fronts import HAPROXY, Front, stand
from tests.rollout.rig import Rehearsal
from tests.rollout.test_rotate import HOST, bring, renewed


@dataclass(frozen=True, slots=True)
class Two:
    """A farm behind two balancers, both published."""

    rehearsal: Rehearsal
    fronts: tuple[Front, Front]

    def served(self) -> list[str]:
        """The thumbprint that each balancer serves."""
        pem = self.rehearsal.farm.ca_pem
        return [
            handshake(front.running.address, front.running.https_port, HOST, ca_pem=pem).info.thumbprint
            for front in self.fronts
        ]

    def config(self, second: dict[str, object]) -> Path:
        """A configuration that names both; ``second``: other values of the second one's listener."""
        entries = [{**front.entry, "name": f"lb{number}"} for number, front in enumerate(self.fronts, 1)]
        listen = entries[1]["listen"]
        assert isinstance(listen, dict)
        entries[1]["listen"] = listen | second
        path = self.rehearsal.config
        self.rehearsal.farm.write_config(
            path, balancers=entries, modes=HAPROXY.modes, limits={"drain_timeout_s": 20.0, "prove_within_s": 2.0},
            certificate={"source": "server"},
        )  # fmt: skip
        client_ca = f'[publish]\nclient_ca_file = "{self.rehearsal.farm.directory / "ca.pem"}"\n'
        path.write_text(path.read_text(encoding="utf-8").replace("[publish]\n", client_ca), encoding="utf-8")
        return path


@pytest.fixture
def two(require: Callable[[str], None], tmp_path: Path) -> Generator[Two]:
    """Two of them, published."""
    require("haproxy")
    folder = Path(tempfile.mkdtemp(prefix="lbr-"))
    spec = LabSpec(servers=2, faults=0, seed=7, oa_lag_s=0.2, gap_s=0.05, warm_up_s=0.0, ping_s=0.2)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        farm = stack.enter_context(LabFarm(spec, folder / "farm"))
        fronts = [stack.enter_context(stand(HAPROXY, folder / name)) for name in ("1", "2")]
        found = Two(Rehearsal(farm, fronts[0], folder / "lbsync.toml"), (fronts[0], fronts[1]))
        found.config({})
        code, said = found.rehearsal.run(tmp_path, "apply", "--yes", "--quiet", "--no-canary")
        assert code == ExitCode.OK, said
        yield found


@LONGER
def test_all_go_back_or_one_goes_on(two: Two, tmp_path: Path) -> None:
    """The second one's listener is not seen from outside: nobody knows what its clients get."""
    old = two.served()
    new = renewed(two.rehearsal)
    bring(two.rehearsal, new)
    two.config({"https_port": 1})
    bound = {name: server.iis.bound for name, server in two.rehearsal.farm.state.servers.items()}
    code, said = two.rehearsal.run(tmp_path, "rotate", "--yes", "--quiet", "--no-canary")
    assert code == ExitCode.TAKEN_BACK, said
    assert two.served() == old
    code, said = two.rehearsal.run(tmp_path, "rotate", "--yes", "--json", "--no-canary", "--keep-going")
    assert code == ExitCode.NOT_PROVEN, said
    assert "going on without lb2" in said
    assert "lb2 keeps the certificate of before" in said
    assert list(json.loads(said[said.index("{\n") : said.rindex("}\n") + 1])["left_out"]) == ["lb2"]
    assert two.served() == [new.thumbprint, old[1]]
    assert {name: server.iis.bound for name, server in two.rehearsal.farm.state.servers.items()} == bound
    two.config({})
    code, said = two.rehearsal.run(tmp_path, "rotate", "--yes", "--no-canary", "--thumbprint", new.thumbprint)
    assert code == ExitCode.OK, said
    assert two.served() == [new.thumbprint] * 2


def test_one_that_does_not_answer_is_left_out_at_once(two: Two, tmp_path: Path) -> None:
    """It is stopped. Without --keep-going nothing begins."""
    old = two.served()
    new = renewed(two.rehearsal)
    bring(two.rehearsal, new)
    second = two.fronts[1].running
    assert isinstance(second, RunningHaproxy)
    second.stop()
    code, said = two.rehearsal.run(tmp_path, "rotate", "--yes", "--quiet", "--no-canary")
    assert (code, "nothing of ours runs on lb2" in said) == (ExitCode.REFUSED, True), said
    code, said = two.rehearsal.run(tmp_path, "rotate", "--yes", "--quiet", "--no-canary", "--keep-going")
    assert code == ExitCode.NOT_PROVEN, said
    second.start()
    assert two.served() == [new.thumbprint, old[1]]
