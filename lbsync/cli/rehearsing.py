"""``lbsync lab``: a simulated farm on this machine, to rehearse on.

Rule of this file: with ``demo``, the only place of the command line that knows the lab.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.demo import Front, Kind, Proxied, rehearse
from lbsync.cli.demoserving import serve_it
from lbsync.cli.options import AsJson, Quiet

if TYPE_CHECKING:
    from lbsync.lab.configfile import ConfigOptions
    from lbsync.lab.daemon import Lab
    from lbsync.lab.spec import LabSpec

app = typer.Typer(help="A simulated farm to rehearse on.", no_args_is_help=True, rich_markup_mode=None)

Folder = Annotated[Path, typer.Option("--folder", help="Where the lab keeps its files.")]
Servers = Annotated[int, typer.Option("--servers", min=1, max=50, help="How many client access servers.")]
LikeServers = Annotated[
    int | None,
    typer.Option(
        "--servers", min=1, max=50, show_default=False, help="How many servers: 4, or of a recording all up to 12."
    ),
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="FILE", show_default=False, help="A farm like the one that lbsync record wrote down."
    ),
]
Faults = Annotated[float, typer.Option("--faults", min=0, max=0.5, help="Share of management requests that go wrong.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Repeat the faults of an earlier rehearsal.")]
Balancer = Annotated[
    Kind | None,
    typer.Option(
        "--balancer", show_default=False,
        help="What stands in front of the farm: a real haproxy (default) or nginx, or a simulated bigip, which needs nothing "
        "installed and is the default where HAProxy is not.",
    ),
]  # fmt: skip
Proxy = Annotated[
    Proxied | None,
    typer.Option(
        "--proxy", show_default=False,
        help="How NGINX passes on: stream, connections whole, which NTLM needs (default); http, requests by their path.",
    ),
]  # fmt: skip
Ssh = Annotated[bool, typer.Option("--ssh", help="Reach the balancer through a real SSH server on this machine.")]
Serve = Annotated[
    bool,
    typer.Option("--serve", help="Roll out, then open the dashboard on it, with a rotation that waits for approval."),
]
DEFAULT_FOLDER = Path("lab-demo")


@app.command("demo")
def demo(
    folder: Folder = DEFAULT_FOLDER,
    servers: Servers = 4,
    faults: Faults = 0.02,
    seed: Seed = None,
    *,
    balancer: Balancer = None,
    proxy: Proxy = None,
    ssh: Ssh = False,
    serve: Serve = False,
) -> None:
    """Rehearse a whole rollout, and the way back."""
    front = front_of(balancer, proxy, ssh=ssh)
    with command() as screen:
        if balancer is None and front.balancer == "bigip":
            screen.warn("HAProxy is not installed: this rehearsal goes through a simulated BIG-IP.")
        show = serve_it if serve else rehearse
        show(screen, folder, front, servers=servers, faults=faults, seed=seed)


@app.command("up")
def up(
    folder: Folder = DEFAULT_FOLDER,
    servers: LikeServers = None,
    faults: Faults = 0.02,
    seed: Seed = None,
    *,
    recorded: From = None,
    balancer: Balancer = None,
    proxy: Proxy = None,
    ssh: Ssh = False,
) -> None:
    """Keep a simulated farm up, until Ctrl-C or lab down.

    It writes a configuration for it, so that every command of lbsync can be tried from another terminal.
    """
    with command() as screen:
        from lbsync.lab.daemon import serve
        from lbsync.lab.spec import LabSpec

        unlike: tuple[str, ...] = ()
        if recorded is not None:
            from lbsync.cli.rebuilding import rebuilt

            again = rebuilt(recorded, servers, balancer, proxy)
            front = front_of(again.balancer, again.proxy, ssh=ssh)
            unlike, options = again.unlike_with(front.balancer), again.options
            spec = replace(again.spec, faults=faults, seed=seed)
        else:
            front = front_of(balancer, proxy, ssh=ssh)
            spec, options = LabSpec(servers=servers or 4, faults=faults, seed=seed), front.options
        serve(_lab(screen, spec, folder, front, options), lambda lab: _introduce(screen, lab, unlike))


@app.command("down")
def down(folder: Folder = DEFAULT_FOLDER) -> None:
    """Take down what lab up keeps up."""
    with command() as screen:
        from lbsync.lab.daemon import take_down

        screen.result("It is down." if take_down(folder) else "It was dead; what it left is removed.")


@app.command("state")
def state(folder: Folder = DEFAULT_FOLDER, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show what the simulated servers hold now."""
    with command(as_json=as_json, quiet=quiet) as screen:
        from lbsync.lab.daemon import find

        seen: Any = find(folder).state()
        screen.document(seen)
        for name, server in seen["servers"].items():
            offloaded = "offloaded" if server["outlook_anywhere"]["ssl_offloading"] else "not offloaded"
            screen.result(f"{name}: Outlook Anywhere {offloaded}, MRSProxy over plain HTTP "
                          f"{server['web']['mrsproxy_plain_requests']} times")  # fmt: skip
            for location, own in server["iis"]["own_ssl_flags"].items():
                screen.result(f"  {location}: {own or 'inherited'}")


def front_of(balancer: Kind | None, proxy: Proxied | None, *, ssh: bool) -> Front:
    """The choices of an operator as one value. Raises typer.BadParameter."""
    if proxy is not None and balancer != "nginx":
        raise typer.BadParameter("--proxy goes with --balancer nginx only")
    if ssh and balancer == "bigip":
        raise typer.BadParameter("--ssh goes with haproxy and nginx: a BIG-IP is reached over its REST interface")
    return Front(balancer or _installed(ssh), proxy or "stream", ssh)


def _installed(ssh: bool) -> Kind:
    """HAProxy where it is installed, or asked for by its way over SSH."""
    from lbsync.testing.haproxy import haproxy_program

    return "haproxy" if ssh or haproxy_program() is not None else "bigip"


def _lab(screen: Session, spec: LabSpec, folder: Path, front: Front, options: ConfigOptions) -> Lab:
    """The lab, without a balancer where that is not installed: the servers alone are worth a look. Raises LbsyncError."""
    from lbsync.lab.balancer import NoBalancer
    from lbsync.lab.daemon import Lab

    try:
        return Lab(spec, folder, balancer=front.balancer, proxy=front.proxy, ssh=front.ssh, options=options)
    except NoBalancer as missing:
        screen.warn(f"{missing} Until then the farm has no balancer.")
        return Lab(spec, folder, balancer=None, options=options)


def _introduce(screen: Session, lab: Lab, unlike: tuple[str, ...]) -> None:
    """What it is not like, and how to use it."""
    if unlike:
        screen.result("Not as recorded:")
        for text in unlike:
            screen.result(f"  {text}")
    screen.result(f"{len(lab.farm.servers)} simulated servers are up; seed {lab.farm.seed}. In another terminal:")
    screen.result(f"  export LBSYNC_CONFIG={lab.config} LBSYNC_STATE={lab.directory / 'state'}")
    screen.result("  lbsync check; lbsync advise; lbsync plan; lbsync apply; lbsync verify; lbsync rollback")
    if lab.sshd is not None:
        screen.result(
            "The balancer's host is reached over SSH. To see a wrong host key refused, write in that configuration"
        )
        screen.result(f'  known_hosts = "{lab.sshd.wrong_known_hosts}"')
    screen.result("Ctrl-C here, or lbsync lab down there, ends it.")
