"""What can be wrong with an HAProxy or its host: one clear message each, and everything stays as it was."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from lbsync.changes import InstallCertificate, Mark, Publish, SwitchMode
from lbsync.errors import ConfigError, Denied, Rejected
from lbsync.model import Mode
from lbsync.services import ALL_SERVICES, Service
from lbsync_haproxy import plugin
from tests.balancers.bench import BRIDGED
from tests.longer import one_now


def test_a_sound_host_has_no_blocker(bench: Any) -> None:
    """Nothing of ours is there yet, and nothing is in the way."""
    assert bench.blockers() == ""


def test_an_haproxy_that_is_down_is_told(make_bench: Any) -> None:
    """With the line its configuration needs."""
    bench = make_bench(start=False)
    assert "does not answer" in bench.blockers()
    assert "level admin" in bench.blockers()


def test_a_socket_without_admin_level_is_told(make_bench: Any) -> None:
    """Operators may look but not change."""
    assert "level operator: put `level admin`" in make_bench(level="operator").blockers()


def test_a_directory_that_is_not_loaded_is_told_with_the_line_to_add(make_bench: Any) -> None:
    """Debian's own option is kept in it; a reload keeps the old command line, so it says restart."""
    bench = make_bench(loads=False)
    text = bench.blockers()
    assert f'EXTRAOPTS="-S /run/haproxy-master.sock -f {bench.haproxy.owned}"' in text
    assert "restart" in text


def test_a_missing_directory_is_told_with_its_command(make_bench: Any) -> None:
    """Nothing is created by looking."""
    bench = make_bench(loads=False)
    bench.haproxy.owned.rmdir()
    assert f"install -d -m 0755 {bench.haproxy.owned}" in bench.blockers()
    assert not bench.haproxy.owned.exists()


@pytest.mark.parametrize("bind", ["{address}:{port}", "*:{port}", ":{port}", "127.0.0.1:1,{address}:{port}"])
def test_a_foreign_bind_on_our_address_is_refused(make_bench: Any, bind: str) -> None:
    """`haproxy -c` passes it, and handshakes would split between both."""
    bench = make_bench()
    line = bind.format(address=bench.haproxy.address, port=bench.haproxy.https_port)
    with bench.haproxy.main.open("a") as main:
        main.write(f"frontend other\n    bind {line} ssl crt /nowhere\n")
    assert f"{bench.haproxy.main} line" in bench.blockers()
    assert "Remove that bind" in bench.blockers()


def test_another_process_on_our_port_is_refused(bench: Any) -> None:
    """A failed reload would pause every listener of HAProxy for a moment: it is found before."""
    with socket.create_server((bench.haproxy.address, bench.haproxy.https_port)):
        assert "Something listens on" in bench.blockers()
    assert bench.blockers() == ""


def test_our_own_listeners_are_nobody_elses(published: Any) -> None:
    """Published, the ports are taken by us."""
    assert published.blockers() == ""


@pytest.mark.parametrize("name", one_now(["exchange.cfg", "exchange.map", "exchange.crt-list", "server-ca.pem"]))
def test_an_edited_file_is_not_overwritten(published: Any, name: str) -> None:
    """The blocker names it; performing all the same is refused, and the edit survives."""
    path = published.haproxy.owned / name
    path.write_text(path.read_text() + "# mine\n")
    assert f"{path} was edited by somebody" in published.blockers()
    before = published.files()
    published.settings["long_request_s"] = 1900
    with published.open() as provider, pytest.raises(Rejected) as caught:
        published.apply(provider, Publish(leaf=published.first.fingerprint, modes=BRIDGED))
    assert caught.value.code == "edited"
    assert published.files() == before


def test_a_foreign_file_in_our_place_is_not_overwritten(bench: Any) -> None:
    """A file without our header is somebody's."""
    (bench.haproxy.owned / "exchange.map").write_text("/owa/ mine\n")
    assert "was not written by lbsync" in bench.blockers()


def test_a_foreign_configuration_in_our_directory_is_told(bench: Any) -> None:
    """HAProxy would load it with ours."""
    (bench.haproxy.owned / "extra.cfg").write_text("# mine\n")
    assert "extra.cfg is not one of ours" in bench.blockers()


def test_a_map_entry_without_backend_is_told(published: Any) -> None:
    """HAProxy accepts it and answers 503."""
    published.haproxy.ask(f"set map {published.haproxy.owned}/exchange.map /owa/ ex_nowhere")
    assert "sends /owa/ to ex_nowhere, which is no backend" in published.blockers()


def test_a_missing_main_file_is_told(bench: Any) -> None:
    """The setting is wrong: the message names it."""
    bench.settings["config_file"] = [str(bench.haproxy.main), "/nowhere/haproxy.cfg"]
    assert "/nowhere/haproxy.cfg does not exist" in bench.blockers()


@pytest.mark.parametrize("setting", ["haproxy", "master_socket"])
def test_what_the_settings_name_and_the_host_lacks_is_told_before_a_plan(bench: Any, setting: str) -> None:
    """A run would only find it half-way: the message names the setting."""
    bench.settings[setting] = "/nowhere/at-all"
    assert "/nowhere/at-all does not exist" in bench.blockers()
    assert setting in bench.blockers()


def test_a_configuration_that_haproxy_refuses_leaves_everything(published: Any) -> None:
    """HAProxy's own words come back; no file changed, no worker was replaced."""
    pid, before = published.info("Pid"), published.files()
    published.settings["bind_address"] = "127.9.9.9"
    # The administrator's own file uses the name of one of our pools.
    with published.haproxy.main.open("a") as main:
        main.write("frontend ex_https\n    bind 127.0.0.1:1\n    no-such-keyword\n")
    with published.open() as provider, pytest.raises(Rejected) as caught:
        published.apply(provider, Publish(leaf=published.first.fingerprint, modes=BRIDGED))
    assert caught.value.code == "config"
    assert "no-such-keyword" in caught.value.message
    assert ".check" not in caught.value.message
    assert published.files() == before
    assert published.info("Pid") == pid


def test_a_reload_that_fails_puts_the_files_back(published: Any) -> None:
    """The new worker cannot bind: the old one serves on, the files are those of before."""
    before = published.files()
    published.settings["bind_address"] = "127.251.1.1"
    with socket.create_server(("127.251.1.1", published.haproxy.https_port)), published.open() as provider:
        steps = provider.lower(Publish(leaf=published.first.fingerprint, modes=BRIDGED), provider.observe(ALL_SERVICES))
        with pytest.raises(Rejected) as caught:
            provider.perform(steps[0].do, published.materials)
    assert caught.value.code == "reload_failed"
    assert published.files() == before
    assert published.served() == published.first.fingerprint


def test_an_haproxy_that_takes_no_reload_is_noticed(published: Any) -> None:
    """A reload command that does nothing is no reload."""
    before = published.files()
    published.settings |= {"reload": ["true"], "master_socket": None, "reload_timeout_s": 0.5, "long_request_s": 1900}
    with published.open() as provider, pytest.raises(Rejected, match="no new worker within") as caught:
        published.apply(provider, Publish(leaf=published.first.fingerprint, modes=BRIDGED))
    assert caught.value.code == "reload_failed"
    assert published.files() == before


def test_a_reload_command_that_fails_is_told_in_its_words(published: Any) -> None:
    """Exit code and words count."""
    published.settings |= {"reload": ["sh", "-c", "echo no rights >&2; exit 1"], "long_request_s": 1900}
    with published.open() as provider, pytest.raises(Rejected, match="no rights"):
        published.apply(provider, Publish(leaf=published.first.fingerprint, modes=BRIDGED))


def test_a_signal_reloads_it_too(bench: Any) -> None:
    """SIGUSR2 to the master, by its pid file."""
    pid_file = bench.haproxy.directory / "pid"
    pid_file.write_text(f"{bench.haproxy.pid}\n")
    bench.settings |= {"reload": "signal", "pid_file": str(pid_file)}
    bench.publish()
    assert bench.served() == bench.first.fingerprint
    pid_file.write_text("")
    bench.settings["long_request_s"] = 1900
    with bench.open() as provider, pytest.raises(Rejected, match="holds no process id"):
        bench.apply(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))


def test_a_haproxy_that_does_not_load_our_directory_gets_its_files_back(make_bench: Any) -> None:
    """Publishing against the blocker ends as before, with the reason."""
    bench = make_bench(loads=False)
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        before = bench.files()
        with pytest.raises(Rejected) as caught:
            bench.apply(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
    assert caught.value.code == "not_loaded"
    assert bench.files() == before


def test_another_runs_marker_is_respected(bench: Any) -> None:
    """Leaving ours is refused, removing ours leaves theirs."""
    with bench.open() as provider:
        bench.apply(provider, Mark(marker="run one", present=True))
        assert provider.observe(ALL_SERVICES).marker == "run one"
        with pytest.raises(Rejected) as caught:
            bench.apply(provider, Mark(marker="run two", present=True))
        assert caught.value.code == "marker"
        assert "run one" in caught.value.message
        bench.apply(provider, Mark(marker="run two", present=False))
        assert provider.observe(ALL_SERVICES).marker == "run one"


def test_the_map_of_a_stopped_haproxy_is_put_back(published: Any) -> None:
    """The file is changed first; when the memory cannot follow, the file is as before."""
    before = published.files()
    with published.open() as provider:
        (step,) = provider.lower(
            SwitchMode(services=(Service.OWA,), before=Mode.BRIDGE, after=Mode.OFFLOAD), provider.observe(ALL_SERVICES)
        )
        published.haproxy.stop()
        with pytest.raises(Exception, match="nobody answers"):
            provider.perform(step.do, published.materials)
    assert published.files() == before


def test_a_certificate_is_readable_by_its_owner_only(published: Any) -> None:
    """The folder and the files in it; everything else of ours has no secret."""
    certs = published.haproxy.owned / "certs"
    assert certs.stat().st_mode & 0o777 == 0o700
    key = published.first.pem().splitlines()[-2]
    for path in published.haproxy.owned.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert (key in path.read_bytes()) is (path.parent == certs)
            if path.parent == certs:
                assert path.stat().st_mode & 0o777 == 0o600


def test_another_certificate_than_was_asked_for_is_not_written(bench: Any) -> None:
    """The source changed between plan and apply."""
    bench.materials.bundles[bench.first.fingerprint] = bench.second
    with bench.open() as provider, pytest.raises(Rejected) as caught:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
    assert caught.value.code == "other_certificate"
    assert bench.files() == {}


def test_a_served_certificate_is_never_removed(published: Any) -> None:
    """The undo of an installation keeps what has come to be served."""
    with published.open() as provider:
        facts = provider.observe(ALL_SERVICES).model_copy(update={"installed": ()})
        (step,) = provider.lower(InstallCertificate(leaf=published.first.fingerprint), facts)
        assert "kept" in provider.perform(step.undo, published.materials).summary
    assert published.served() == published.first.fingerprint


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"hosts": ("mail.contoso.test\n    bind *:1",)}, "publish.hosts"),
        ({"hosts": ("mail contoso",)}, "publish.hosts"),
    ],
)
def test_a_name_that_would_be_a_directive_is_refused(bench: Any, changes: dict[str, object], key: str) -> None:
    """Before anything is opened."""
    spec = bench.spec.model_copy(update=changes)
    with pytest.raises(ConfigError) as caught, plugin.open(spec, bench.settings):
        pass
    assert key in caught.value.where


@pytest.mark.parametrize("key", ["name", "address", "tls_name"])
def test_a_member_that_would_be_a_directive_is_refused(bench: Any, key: str) -> None:
    """The same for servers."""
    members = tuple(member.model_copy(update={key: "x y"}) for member in bench.spec.members)
    with pytest.raises(ConfigError), plugin.open(bench.spec.model_copy(update={"members": members}), bench.settings):
        pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Callable[[Path], None]]:
    """Mounts a file system of 64 KiB; skips where that needs rights this account has not."""
    mounted: list[Path] = []

    def mount(path: Path) -> None:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(path)], check=False)
        if done.returncode != 0:
            pytest.skip("the right to mount a small file system is missing")
        mounted.append(path)

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk_is_told_and_nothing_changes(bench: Any, small_disk: Callable[[Path], None]) -> None:
    """The error names the disk; the files of before are all there, and HAProxy serves on."""
    small_disk(bench.haproxy.owned)
    bench.publish()
    before = bench.files()
    filler = bench.haproxy.owned / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(b"x" * 200_000)
    bench.settings["long_request_s"] = 1900
    with bench.open() as provider:
        for change in (
            Publish(leaf=bench.first.fingerprint, modes=BRIDGED),
            SwitchMode(services=(Service.OWA,), before=Mode.BRIDGE, after=Mode.OFFLOAD),
            InstallCertificate(leaf=bench.second.fingerprint),
        ):
            with pytest.raises(Rejected, match="disk is full") as caught:
                bench.apply(provider, change)
            assert caught.value.code == "no_space"
    filler.unlink()
    assert bench.files() == before
    assert bench.served() == bench.first.fingerprint


def test_missing_rights_are_denied(published: Any) -> None:
    """Over SSH as somebody else the certificate folder is closed; the error says to allow sudo."""
    if os.getuid() != 0:
        pytest.skip("root is missing: only root can become somebody else")
    script = (
        "import os, sys, json\n"
        "from lbsync.kit.host_local import LocalHost\n"
        "from lbsync.errors import TargetError\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: LocalHost().read_file(sys.argv[1])\n"
        "except TargetError as error: print(json.dumps([type(error).__name__, error.remedy]))\n"
    )
    path = published.haproxy.owned / "certs" / "live.pem"
    published.haproxy.directory.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, check=True)
    kind, remedy = json.loads(done.stdout)
    assert kind == Denied.__name__
    assert "sudo" in remedy
