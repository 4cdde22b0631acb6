"""NGINX on another host: known hosts only, missing rights are told, a connection that breaks leaves nothing half done."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from lbsync.changes import InstallCertificate, Publish, SwitchCertificate, SwitchMode
from lbsync.errors import Denied, Unreachable
from lbsync.kit.host import SshSettings
from lbsync.kit.host_ssh import SshHost
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.target import Provider
from lbsync.testing.sshd import RunningSshd
from tests.balancers.acts import perform, seen_by, step_of
from tests.balancers.bench import BRIDGED, wait_true
from tests.longer import one_now
from tests.nginx.acts import everything
from tests.nginx.conftest import HTTP, STREAM, NginxBench

FLIP = SwitchMode(services=(Service.OWA,), before=Mode.BRIDGE, after=Mode.OFFLOAD)
# Up from a command to the nearest sshd: how many shells lie between depends on the account's login shell.
SESSION = """
p=$$
while :; do
  p=$(cut -d' ' -f4 /proc/$p/stat)
  case $(cat /proc/$p/comm) in sshd*) break ;; esac
done
"""


@pytest.fixture
def reached(
    require: Callable[[str], None], make_bench: Callable[..., NginxBench]
) -> Generator[Callable[..., tuple[NginxBench, RunningSshd]]]:
    """Builds benches whose host is reached over an sshd of its own, with more lines of configuration; published before."""
    require("sshd")
    with ExitStack() as stack:

        def make(settings: dict[str, object], *lines: str, published: bool = True) -> tuple[NginxBench, RunningSshd]:
            bench = make_bench(settings)
            if published:
                bench.publish()
            place = bench.nginx.directory / "ssh"
            place.mkdir()
            sshd = RunningSshd(place)
            # The first value counts.
            config = place / "sshd_config"
            config.write_text("".join(f"{line}\n" for line in lines) + config.read_text())
            stack.enter_context(sshd)
            bench.settings["ssh"] = sshd.settings
            return bench, sshd

        yield make


@pytest.mark.parametrize(
    ("key", "code"), [("other_key", "host_key_changed"), ("", "unknown_host_key")], ids=["another", "none"]
)
def test_a_host_that_is_not_known_is_told_nothing(
    reached: Callable[..., tuple[NginxBench, RunningSshd]], key: str, code: str
) -> None:
    """A wrong or an unknown key is refused before any login, by whatever is asked first; nothing is learnt."""
    bench, sshd = reached(HTTP, "LogLevel VERBOSE")
    with bench.open() as provider:
        step = step_of(provider, FLIP)
    known, said = sshd.host_line(key) if key else "", len(sshd.log)
    sshd.known_hosts.write_text(known)
    before, workers = everything(bench), bench.nginx.workers
    with bench.open() as provider:
        attempts: tuple[Callable[[], object], ...] = (
            lambda: seen_by(provider),
            lambda: perform(bench, provider, step.do),
            lambda: provider.check(step.until[0]),
        )
        for attempt in attempts:
            with pytest.raises(Denied) as caught:
                attempt()
            assert (caught.value.code, caught.value.state) == (code, "no login was tried")
    assert sshd.known_hosts.read_text() == known
    assert "Connection from" in sshd.log[said:]
    assert "Accepted" not in sshd.log[said:]
    assert (everything(bench), bench.nginx.workers) == (before, workers)


AS_NOBODY = """\
#!/bin/sh
case $SSH_ORIGINAL_COMMAND in
  internal-sftp) exec setpriv --reuid=65534 --regid=65534 --clear-groups /usr/lib/openssh/sftp-server ;;
  *) exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
"""


def test_an_account_without_rights_is_told_to_use_sudo(
    reached: Callable[..., tuple[NginxBench, RunningSshd]], tmp_path: Path
) -> None:
    """Nothing is changed, and nothing half done."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None or not Path("/usr/lib/openssh/sftp-server").exists():
        pytest.skip("root, setpriv or openssh-sftp-server is missing")
    bench, sshd = reached(HTTP)
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
        steps = [
            step_of(provider, FLIP),
            step_of(provider, SwitchCertificate(before=bench.first.fingerprint, after=bench.second.fingerprint)),
        ]
    bench.nginx.directory.chmod(0o755)
    script = sshd.directory / "as-nobody"
    script.write_text(AS_NOBODY)
    script.chmod(0o755)
    sshd.stop()
    config = sshd.directory / "sshd_config"
    config.write_text(f"ForceCommand {script}\n{config.read_text()}")
    before, workers = everything(bench), bench.nginx.workers
    with sshd, bench.open() as provider:
        for step in steps:
            with pytest.raises(Denied) as caught:
                perform(bench, provider, step.do)
            assert "allow sudo in the settings" in caught.value.remedy
    assert (everything(bench), bench.nginx.workers) == (before, workers)


def session_of(sshd: RunningSshd) -> int:
    """The process id of the sshd that serves the connection that is open."""
    children = Path(f"/proc/{sshd.pid}/task/{sshd.pid}/children").read_text().split()
    return int(children[-1])


def test_a_connection_that_broke_between_two_calls_is_opened_anew(
    reached: Callable[..., tuple[NginxBench, RunningSshd]],
) -> None:
    """The call that meets the break may say so; the one after it does its work."""
    bench, sshd = reached(STREAM, published=False)
    with bench.open() as provider:
        install = step_of(provider, InstallCertificate(leaf=bench.first.fingerprint))
        os.kill(session_of(sshd), signal.SIGKILL)
        with suppress(Unreachable):
            perform(bench, provider, install.do)
        perform(bench, provider, install.do)
        publish = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        os.kill(session_of(sshd), signal.SIGKILL)
        with suppress(Unreachable):
            perform(bench, provider, publish.do)
        perform(bench, provider, publish.do)
        wait_true(provider, publish.until)
        assert seen_by(provider).problems == ()
    assert bench.served() == bench.first.fingerprint
    assert not [path for path in everything(bench) if path.endswith(".lbsync-tmp")]


@pytest.mark.parametrize("way", one_now(["on", "back"]))
def test_a_connection_that_breaks_at_the_reload_leaves_nothing_half_done(
    reached: Callable[..., tuple[NginxBench, RunningSshd]], way: str
) -> None:
    """The files are written and nobody knows whether NGINX was told: said so, and settled by the next call, on or back."""
    bench, _ = reached(HTTP)
    before = everything(bench)
    reload = bench.settings["reload"]
    bench.settings["reload"] = ["sh", "-c", f"{SESSION} kill -KILL $p"]
    with bench.open() as provider:
        step = step_of(provider, FLIP)
        with pytest.raises(Unreachable, match="connection broke"):
            perform(bench, provider, step.do)
        assert everything(bench) != before
        assert any("the next reload would change it" in problem for problem in seen_by(provider).problems)
    bench.settings["reload"] = reload
    with bench.open() as provider:
        action, checks = (step.do, step.until) if way == "on" else (step.undo, step.undo_until)
        perform(bench, provider, action)
        wait_true(provider, checks)
        seen = seen_by(provider)
        assert (seen.problems, seen.structure) == ((), seen.wanted_structure)
    assert bench.request("/owa/").scheme == ("http" if way == "on" else "https")
    if way == "back":
        assert everything(bench) == before


def up(provider: Provider) -> set[tuple[str, Mode, bool]]:
    """Members' health, whatever the service."""
    return {(member.server, member.mode, member.up) for member in seen_by(provider).live.members}


ALL_UP = {(server, mode, True) for server in ("EX01", "EX02") for mode in Mode}


def test_members_are_asked_from_nginxs_host(reached: Callable[..., tuple[NginxBench, RunningSshd]]) -> None:
    """Through sshd's forwarding: the members may be reachable from there alone."""
    bench, sshd = reached(HTTP, "LogLevel DEBUG1")
    with bench.open() as provider:
        said = len(sshd.log)
        assert up(provider) == ALL_UP
    for server in bench.servers.values():
        for port in (server.http_port, server.https_port):
            assert f"target {server.address} port {port}" in sshd.log[said:]


def test_where_sshd_forwards_nothing_python_on_that_host_asks(
    reached: Callable[..., tuple[NginxBench, RunningSshd]], tmp_path: Path
) -> None:
    """The status listener and every member; without python3 either the message says what to do."""
    bench, sshd = reached(HTTP, "AllowTcpForwarding no")
    used = tmp_path / "used"
    stand_in = sshd.directory / "bin" / "python3"
    stand_in.write_text(f'#!/bin/sh\nfor last; do :; done\necho "$*" >> {used}\nexec {shutil.which("python3")} "$@"\n')
    stand_in.chmod(0o755)
    with bench.open() as provider:
        assert up(provider) == ALL_UP
        asked = used.read_text()
        for server in bench.servers.values():
            for port in (server.http_port, server.https_port):
                assert f"{server.address} {port} " in asked
        stand_in.write_text("#!/bin/sh\necho no such thing >&2; exit 127\n")
    with bench.open() as provider, pytest.raises(Exception, match="forwards no TCP connections") as caught:
        seen_by(provider)
    assert "AllowTcpForwarding local" in getattr(caught.value, "remedy", "")


def test_the_session_is_found(reached: Callable[..., tuple[NginxBench, RunningSshd]]) -> None:
    """What these tests kill is the sshd of the connection, and no other."""
    _, sshd = reached(HTTP)
    host = SshHost(SshSettings.model_validate(sshd.settings))
    found = int(host.run(["sh", "-c", f"{SESSION} echo $p"]).stdout)
    # Not started by root it has a child of its own for the account, which is the one nearest to the command.
    parent = int(Path(f"/proc/{found}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    assert session_of(sshd) in {found, parent}
    host.close()
