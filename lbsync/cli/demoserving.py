"""``lbsync lab demo --serve``: the dashboard on a simulated farm, with something to approve.

Rule of this file: as the demo, it calls the commands a person would; what it adds is a renewed certificate, dropped where the
configuration says that renewed ones appear.
"""

from __future__ import annotations

import secrets
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from lbsync.cli.demo import Front, Story, title

if TYPE_CHECKING:
    from lbsync.cli.command import Session
    from lbsync.lab.configfile import ConfigOptions
    from lbsync.lab.farm import LabFarm

_LOOK_EVERY_S = 60
_PORT = 8440
_RENEWED_DAYS = 700


def serve_it(screen: Session, folder: Path, front: Front, *, servers: int, faults: float, seed: int | None) -> None:
    """Farm up, apply, a renewed certificate, and the service until Ctrl-C; then everything is taken down.

    Raises LbsyncError where a program is missing or the folder is somebody else's, typer.Exit where a command fails.
    """
    from lbsync.lab.daemon import Lab
    from lbsync.lab.spec import LabSpec

    dropped, secret = (folder.resolve() / name for name in ("renewed", "renewed-password"))
    options: ConfigOptions = {
        **front.options,
        "certificate": {"source": "server", "renewals": [str(dropped)], "renewals_password": f"file:{secret}"},
        "service": {"look_every_s": _LOOK_EVERY_S},
    }
    spec = LabSpec(servers=servers, faults=faults, seed=seed)
    with Lab(spec, folder, balancer=front.balancer, proxy=front.proxy, ssh=front.ssh, options=options) as lab:
        title(screen, f"{servers} simulated servers behind {front.words}", f"faults {faults:g}, seed {lab.farm.seed}")
        state = lab.directory / "state"
        for path in (state, dropped):
            shutil.rmtree(path, ignore_errors=True)
        try:
            drop(lab.farm, dropped, secret)
            screen.result(f"A renewed certificate lies in {dropped}.")
            ServedStory(screen, lab.config, state, lab.farm).tell()
        finally:
            shutil.rmtree(dropped, ignore_errors=True)
            secret.unlink(missing_ok=True)


def drop(farm: LabFarm, folder: Path, secret: Path) -> None:
    """A certificate of the same names that ends later, as a PFX in ``folder``, its password in the file ``secret``."""
    from lbsync.lab.folder import write_private
    from lbsync_certs.pfx import write_pfx

    bundle = farm.ca.issue(list(farm.leaf.info.names), days=_RENEWED_DAYS)
    password = secrets.token_urlsafe(24)
    folder.mkdir(mode=0o700)
    write_private(secret, password)
    (folder / "mail.pfx").write_bytes(write_pfx(bundle, password.encode()))


class ServedStory(Story):
    """The commands in their order, each as a person would type it; the last one stays."""

    def tell(self) -> None:
        """All of it, until Ctrl-C. Raises typer.Exit with the first code that it must not end with."""
        from lbsync.cli.applying import apply
        from lbsync.cli.serving import serve

        config, state = self._config, self._state
        self._do("apply", "The rollout", lambda: apply(config=config, state=state, yes=True))
        listen = f"127.0.0.1:{_free(_PORT)}"
        self._screen.note(
            "The first look takes some seconds; then the rotation waits for approval. Ctrl-C ends all of it."
        )
        self._do(f"serve --listen {listen}", "The dashboard", lambda: serve(config=config, state=state, listen=listen))


def _free(port: int) -> int:
    """This port where nobody listens on it, else any."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            return port
    except OSError:
        with socket.create_server(("127.0.0.1", 0)) as other:
            return int(other.getsockname()[1])
