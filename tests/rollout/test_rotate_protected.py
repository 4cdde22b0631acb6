"""A rotation under Extended Protection: channel bindings really checked by the servers, nobody asked for a password."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import pytest

from lbsync.cli.exits import ExitCode
from lbsync.lab.farm import LabFarm
from lbsync.lab.spec import LabSpec
from tests.longer import one_now
from tests.rollout.fronts import BIGIP_CONNECTIONS, HAPROXY, NGINX_STREAM, Front, Kind, stand
from tests.rollout.outlook import Outlooks
from tests.rollout.rig import Rehearsal, write_config
from tests.rollout.test_rotate import bring, renewed

BRIDGED = {"default": "bridge"}
_KINDS = [HAPROXY, NGINX_STREAM, BIGIP_CONNECTIONS]


class WithoutResumption:
    """A balancer as it is, with sessions that nobody can resume and connections that are cut when their time is over."""

    def __init__(self, front: Front) -> None:
        self._front = front

    @property
    def entry(self) -> Mapping[str, object]:
        """Its entry in the configuration."""
        return {**self._front.entry, "settings": {**self._front.settings, "resumption": False}}


@pytest.fixture
def protected(require: Callable[[str], None], kind: Kind) -> Generator[Rehearsal]:
    """A farm with Extended Protection on, published and bridged through a balancer of this kind."""
    for program in kind.programs:
        require(program)
    folder = Path(tempfile.mkdtemp(prefix="lbp-"))
    spec = LabSpec(servers=2, faults=0, extended_protection=True, gap_s=0.05, extra_names=kind.extra_names)
    try:
        with LabFarm(spec, folder / "farm") as farm, stand(kind, folder) as front:
            made = WithoutResumption(front)
            config = write_config(farm, made, folder / "lbsync.toml", modes=BRIDGED)  # type: ignore[arg-type]
            text = config.read_text(encoding="utf-8")
            cutting = '[limits]\non_drain_timeout = "cut"\n'
            config.write_text(text.replace("[limits]\n", cutting).replace("20.0", "3.0"), encoding="utf-8")
            yield Rehearsal(farm, front, config)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", one_now(_KINDS), ids=str)
def test_nobody_fails_to_log_on_while_the_certificate_changes(kind: Kind, protected: Rehearsal, tmp_path: Path) -> None:
    """There and back: every request ends in 200, whichever leaf its connection was opened with."""
    assert kind.programs is not None
    code, said = protected.run(tmp_path, "apply", "--yes", "--quiet", "--no-canary")
    assert code == ExitCode.OK, said
    before, new = protected.snapshot(), renewed(protected)
    bring(protected, new)
    with Outlooks(protected) as there:
        code, said = protected.run(tmp_path, "rotate", "--yes", "--no-canary")
    assert code == ExitCode.OK, said
    assert there.failures == {}, f"{there.answers} {there.broken}"
    assert {server.iis.bound for server in protected.farm.state.servers.values()} == {new.thumbprint}
    with Outlooks(protected) as back:
        code, said = protected.run(tmp_path, "rollback", "--quiet", "--no-canary")
    assert code == ExitCode.OK, said
    assert back.failures == {}, f"{back.answers} {back.broken}"
    assert min(there.answers[200], back.answers[200]) > 20
    assert protected.snapshot() == before


def test_the_naive_order_fails(protected: Rehearsal, tmp_path: Path) -> None:
    """A server renewed by hand, before or after the balancer: whoever meets it by the other leaf is refused."""
    code, said = protected.run(tmp_path, "apply", "--yes", "--quiet", "--no-canary")
    assert code == ExitCode.OK, said
    new = renewed(protected)
    for server in ("EX01", "EX02"):
        bring(protected, new, server)
    with Outlooks(protected) as clients:
        protected.farm.state.servers["EX01"].bind(new.info.thumbprint)
        clients.wait_for_failure(30)
    assert set(clients.failures) == {401}
