"""Rollout and rollback under load: eight handshake loops, twenty keep-alive clients and long polls must not lose a request."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bench.measure import ProgramFailed, run
from lbsync.testing.load import Load, LoadResult, LoadSpec

_PATHS = tuple(f"/{name}/healthcheck.htm" for name in ("owa", "ews", "mapi", "autodiscover", "rpc", "oab", "ecp"))
_HOST = "mail.contoso.test"


def report(*, quick: bool) -> None:
    """Publish in bridge mode, then offload everything and take it back while clients are busy; print what they met."""
    rounds = 1 if quick else 3
    print(f"\nRollout and rollback under load, {rounds} time{'s' if rounds > 1 else ''}")
    try:
        with tempfile.TemporaryDirectory(prefix="lbb-") as folder, rehearsal(Path(folder)) as config:
            patient_checks(config)
            lbsync(config, "apply", "--yes")
            edit(config, 'default = "bridge"', 'default = "offload"')
            spec = load_spec(Path(folder))
            with Load(spec) as load:
                for _ in range(rounds):
                    for command in (["apply", "--yes"], ["rollback"]):
                        seconds = lbsync(config, *command)
                        print(f"  lbsync {command[0]:<9} {seconds:5.1f} s, {load.result.requests} requests so far")
            tell(spec, load.result)
    except ProgramFailed as error:
        print(f"  NOT MEASURED: {error}")


def tell(spec: LoadSpec, result: LoadResult) -> None:
    """Print what the clients met."""
    print(f"  {spec.fresh} handshake loops, {spec.keep} keep-alive clients, {spec.long} long polls:")
    print(f"  {result.handshakes} handshakes, {result.requests} requests, {result.long_polls} long polls answered")
    print(f"  longest time without any answer: {result.longest_gap_s * 1000:.0f} ms")
    for kind, count in result.failures.most_common(10):
        print(f"    {count} x {kind}")
    print(f"  -> {result.failed} failed requests (goal: 0)")


@contextmanager
def rehearsal(folder: Path, balancer: str = "haproxy") -> Generator[Path]:
    """The configuration of a running rehearsal. Raises ProgramFailed where there is none, as without HAProxy."""
    command = [sys.executable, "-m", "bench.rehearsal", str(folder / "lab"), balancer]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("no pipes")
        if process.stdout.readline() != "up\n":
            raise ProgramFailed(process.stderr.read().strip().splitlines()[-1])
        try:
            yield folder / "lab" / "config.toml"
        finally:
            process.stdin.close()
            process.wait()


def patient_checks(config: Path) -> None:
    """HAProxy takes the interval as the time-out of a check's handshake: two seconds are enough for a busy machine."""
    text = config.read_text(encoding="utf-8")
    config.write_text(re.sub(r"check_interval_s = \S+", "check_interval_s = 2.0", text), encoding="utf-8")


def edit(config: Path, before: str, after: str) -> None:
    """Change one place of the configuration. Raises ProgramFailed where it is not there."""
    text = config.read_text(encoding="utf-8")
    if before not in text:
        raise ProgramFailed(f"the rehearsal's configuration has no {before}")
    config.write_text(text.replace(before, after), encoding="utf-8")


def lbsync(config: Path, *arguments: str) -> float:
    """Run the command; the seconds it took."""
    env = {"LBSYNC_CONFIG": str(config), "LBSYNC_STATE": str(config.with_name("state"))}
    return run([sys.executable, "-m", "lbsync", *arguments, "--quiet", "--no-canary"], env).wall_s


def load_spec(folder: Path) -> LoadSpec:
    """Eight handshake loops, twenty keep-alive clients and long polls for the rehearsal's listener."""
    told = json.loads((folder / "lab" / "lab.json").read_text(encoding="utf-8"))
    listen = told["balancer"]["listen"]
    password = (folder / "lab" / "secrets" / "mailbox-password").read_text(encoding="utf-8")
    login = base64.b64encode(f"{told['mailbox']}:{password}".encode()).decode()
    ping = (
        f"POST /Microsoft-Server-ActiveSync?Cmd=Ping HTTP/1.1\r\nHost: {_HOST}\r\nAuthorization: Basic {login}\r\n"
        "Content-Length: 0\r\n\r\n"
    )
    return LoadSpec(
        address=listen["address"], port=listen["https_port"], server_name=_HOST, paths=_PATHS, long_request=ping.encode(),
        ca_pem=(folder / "lab" / "ca.pem").read_text(encoding="utf-8"),
    )  # fmt: skip
