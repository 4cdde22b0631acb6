"""``lbsync lab demo``: the whole story in one go, on a simulated farm and a real balancer (or a simulated BIG-IP).

Rule of this file: it calls the same commands a person would, in the same process, and ends with the report; nothing is shown
that a real run would not show. Before and after, the farm's own values are compared.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from lbsync.cli.exits import ExitCode

if TYPE_CHECKING:
    from lbsync.cli.command import Session
    from lbsync.lab.configfile import ConfigOptions
    from lbsync.lab.farm import LabFarm

Kind = Literal["haproxy", "nginx", "bigip"]
Proxied = Literal["stream", "http"]
_SHORT_DRAIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Front:
    """What stands in front of the farm: which balancer, how NGINX passes on, whether its host is reached over SSH."""

    balancer: Kind
    proxy: Proxied
    ssh: bool

    @property
    def words(self) -> str:
        """As a person would say it."""
        if self.balancer == "bigip":
            return "a simulated BIG-IP"
        product = {"haproxy": "HAProxy", "nginx": "NGINX"}[self.balancer]
        return f"a real {product} over SSH" if self.ssh else f"a real {product}"

    @property
    def options(self) -> ConfigOptions:
        """What the rehearsal wants: everything offloaded that may be, ECP bridged; MRSProxy stays bridged by itself.

        Where connections to servers belong to clients there is one mode for all, and no drain ends while clients keep their
        connections: it soon cuts those that are left.
        """
        if self.balancer == "bigip" or (self.balancer == "nginx" and self.proxy == "stream"):
            limits = {"drain_timeout_s": _SHORT_DRAIN_S, "on_drain_timeout": "cut"}
            return {"modes": {"default": "offload"}, "limits": limits}
        return {"modes": {"default": "offload", "ecp": "bridge"}}


def rehearse(screen: Session, folder: Path, front: Front, *, servers: int, faults: float, seed: int | None) -> None:
    """Farm up, check, advise, plan, apply, verify, rollback, report.

    Raises LbsyncError where a program is missing or the folder is somebody else's, typer.Exit where a command fails.
    """
    from lbsync.lab.daemon import Lab
    from lbsync.lab.spec import LabSpec

    spec = LabSpec(servers=servers, faults=faults, seed=seed)
    lab = Lab(spec, folder, balancer=front.balancer, proxy=front.proxy, ssh=front.ssh, options=front.options)
    with lab:
        words = f"faults {faults:g}, seed {lab.farm.seed}"
        title(screen, f"{servers} simulated servers behind {front.words}", words)
        state = lab.directory / "state"
        shutil.rmtree(state, ignore_errors=True)
        Story(screen, lab.config, state, lab.farm).tell()


class Story:
    """The commands in their order, each as a person would type it."""

    def __init__(self, screen: Session, config: Path, state: Path, farm: LabFarm) -> None:
        self._screen = screen
        self._config = config
        self._state = state
        self._farm = farm

    def tell(self) -> None:
        """All of it. Raises typer.Exit with the first code that a rehearsal must not end with."""
        from lbsync.cli.advising import advise
        from lbsync.cli.applying import apply
        from lbsync.cli.checking import check
        from lbsync.cli.configuring import check as check_config
        from lbsync.cli.planning import plan
        from lbsync.cli.rolling_back import rollback
        from lbsync.cli.verifying import verify

        config, state = self._config, self._state
        saved = self._config.with_name("plan.json")
        before = self._own_values()
        self._do("config check", "Is the configuration right", lambda: check_config(config=config))
        self._do("check", "What is there", lambda: check(config=config, state=state))
        self._do("advise", "What is possible, and why", lambda: advise(config=config, state=state))
        self._do(
            f"plan --out {saved.name}",
            "What would be done",
            lambda: plan(config=config, state=state, out=saved),
            good=ExitCode.ATTENTION,
        )
        self._do(f"apply {saved.name}", "Doing it", lambda: apply(saved, config=config, state=state, yes=True))
        self._do("verify", "What clients see now", lambda: verify(config=config, state=state))
        self._do("rollback", "And back again", lambda: rollback(config=config, state=state))
        same = self._own_values() == before
        title(self._screen, "Done", "every server is as it was before" if same else "A SERVER DIFFERS FROM BEFORE")
        for report in sorted((state / "reports").glob("*.html")):
            self._screen.result(f"The report: {report}")
        if not same:
            raise typer.Exit(int(ExitCode.ERROR))

    def _do(self, words: str, heading: str, act: Callable[[], None], *, good: ExitCode = ExitCode.OK) -> None:
        """One command under its heading; ends the story where it ends otherwise than it should."""
        title(self._screen, heading, f"lbsync {words}")
        code = 0
        try:
            act()
        except typer.Exit as ended:
            code = ended.exit_code
        if code != good:
            raise typer.Exit(code or int(ExitCode.ERROR))

    def _own_values(self) -> dict[str, dict[str, str | None]]:
        return {name: dict(server.state.iis.own_values()) for name, server in self._farm.servers.items()}


def title(screen: Session, heading: str, words: str) -> None:
    """A rule across the screen with what comes, and the command a person would type."""
    from rich.rule import Rule
    from rich.text import Text

    screen.result(
        Text(), Rule(Text.assemble((heading, "bold"), (f"   {words}", "dim")), align="left", style="cyan"), Text()
    )
