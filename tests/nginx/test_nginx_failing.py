"""What goes wrong in the middle of a change: files, workers and what clients see end as they were, and the message says why."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lbsync.changes import Change, Drain, InstallCertificate, Mark, Publish, SwitchCertificate, SwitchMode
from lbsync.errors import Rejected
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.target import Provider
from lbsync.testing.ports import free_port
from lbsync_certs import Bundle
from tests.balancers.acts import ALL, flip, perform, seen_by, step_of
from tests.balancers.bench import BRIDGED, HOSTS, wait_true
from tests.longer import one_now
from tests.nginx.acts import by_reload, certs_of, every_way, everything
from tests.nginx.conftest import HTTP, STREAM, VARIABLE, NginxBench


@contextmanager
def all_as_before(bench: NginxBench) -> Generator[None]:
    """Within it nothing of ours changes, no worker is replaced, and the certificate served stays."""
    before, workers, served = everything(bench), bench.nginx.workers, bench.served()
    yield
    assert everything(bench) == before
    assert bench.nginx.workers == workers
    assert bench.served() == served


def republish(bench: NginxBench) -> Publish:
    """A publish that is due by a changed setting."""
    bench.settings["long_request_s"] = 1900
    return Publish(leaf=bench.first.fingerprint, modes=BRIDGED)


@pytest.mark.parametrize(
    ("settings", "port"),
    one_now([(HTTP, "https_port"), (STREAM, "https_port"), (HTTP, "status_port")]),
    ids=["http", "stream", "status"],
)
def test_a_reload_that_fails_in_silence_is_found_and_taken_back(
    make_bench: Callable[..., NginxBench], settings: dict[str, object], port: str
) -> None:
    """A process comes onto our new port after the plan: NGINX's test and the reload end well, and its old workers stay."""
    bench = make_bench(settings)
    bench.publish()
    address = bench.nginx.address if port == "https_port" else "127.0.0.1"
    bench.settings[port] = free_port(address)
    bench.settings["inner_port"] = free_port("127.0.0.1")
    with bench.open() as provider:
        step = step_of(provider, republish(bench))
        with (
            socket.create_server((address, bench.settings[port])),
            all_as_before(bench),
            pytest.raises(Rejected, match="Address already in use") as caught,
        ):
            perform(bench, provider, step.do)
        assert caught.value.code == "reload_failed"
        assert caught.value.state == "the files are as they were, and NGINX runs them"
    assert bench.request("/owa/").status == 200


@by_reload
def test_other_ports_are_gone_back_from(make_bench: Callable[..., NginxBench], settings: dict[str, object]) -> None:
    """The configuration of lbsync says the new ones by then: what still listens on those of before is seen and proven there."""
    bench = make_bench(settings)
    bench.publish({service: Mode.OFFLOAD if service in ALL else Mode.BRIDGE for service in BRIDGED})
    before = everything(bench)
    for port, address in (
        ("https_port", bench.nginx.address),
        ("status_port", "127.0.0.1"),
        ("inner_port", "127.0.0.1"),
    ):
        bench.settings[port] = free_port(address)
    with bench.open() as provider:
        seen = seen_by(provider)
        assert (seen.published, seen.problems, seen.leaf) == (True, (), bench.first.fingerprint)
        assert seen.modes[Service.OWA] is Mode.OFFLOAD
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=seen.modes))
        for action, checks in ((step.do, step.until), (step.undo, step.undo_until)):
            perform(bench, provider, action)
            wait_true(provider, checks)
    assert everything(bench) == before
    assert bench.request("/owa/").scheme == "http"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["true"], "no new workers within 1 s"),
        (["sh", "-c", "echo no rights >&2; exit 3"], "no rights"),
        (["false"], "exit code 1"),
        (["/nowhere/reload"], "/nowhere/reload"),
    ],
)
def test_a_reload_command_that_does_not_reload_is_told(published: NginxBench, command: list[str], words: str) -> None:
    """One that does nothing is no reload; one that fails is told in its words."""
    published.settings |= {"reload": command, "reload_timeout_s": 0.5}
    change = republish(published)
    with published.open() as provider, all_as_before(published), pytest.raises(Rejected, match=words) as caught:
        published.apply(provider, change)
    assert caught.value.code == "reload_failed"


def test_an_nginx_stopped_in_the_middle_gets_its_files_back(published: NginxBench) -> None:
    """Somebody stops it when the reload is due: started again it serves what it served."""
    published.settings |= {"reload": ["kill", "-TERM", str(published.nginx.pid)], "reload_timeout_s": 0.5}
    change, before = republish(published), everything(published)
    with published.open() as provider:
        with pytest.raises(Rejected) as caught:
            published.apply(provider, change)
        assert "the files were put back, but NGINX" in caught.value.message
        assert everything(published) == before
        assert any("NGINX does not run" in blocker for blocker in seen_by(provider).blockers)
        published.nginx.restart()
        assert seen_by(provider).problems == ()
    assert published.served() == published.first.fingerprint


def test_a_key_that_the_workers_cannot_read_is_found(make_bench: Callable[..., NginxBench]) -> None:
    """By variable each handshake reads it, and NGINX's test passes all the same: the handshakes tell."""
    if os.geteuid() != 0:
        pytest.skip("root is missing: only root may start workers as somebody else")
    bench = make_bench(HTTP | VARIABLE | {"group": "root"}, user="nobody nogroup")
    bench.nginx.directory.chmod(0o755)
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        before = everything(bench)
        with pytest.raises(Rejected, match="Permission denied") as caught:
            bench.apply(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        assert caught.value.code == "not_live"
        assert everything(bench) == before
        assert seen_by(provider).published is False


def test_a_key_is_readable_by_the_workers_group_and_nobody_else(make_bench: Callable[..., NginxBench]) -> None:
    """By variable; a certificate that the group may not read fails, and the one before is served on."""
    if os.geteuid() != 0:
        pytest.skip("root is missing: only root may start workers as somebody else")
    bench = make_bench(HTTP | VARIABLE | {"group": "nogroup"}, user="nobody nogroup")
    bench.nginx.directory.chmod(0o755)
    bench.publish()
    assert bench.served() == bench.first.fingerprint
    certs = certs_of(bench)
    assert certs.stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in certs.glob("?*.pem") if not path.is_symlink()} == {0o640}
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
        (certs / f"{bench.second.fingerprint}.pem").chmod(0o600)
        change = SwitchCertificate(before=bench.first.fingerprint, after=bench.second.fingerprint)
        with all_as_before(bench), pytest.raises(Rejected) as caught:
            bench.apply(provider, change)
        assert caught.value.code == "not_live"


def test_a_new_warning_is_refused(bench: NginxBench) -> None:
    """NGINX only warns when a name stands twice, and then never uses the second server."""
    main = bench.nginx.main
    server = f"server {{ listen {bench.nginx.address}:{bench.nginx.http_port}; server_name {HOSTS[0]}; }}"
    main.write_text(main.read_text().replace("http {\n", f"http {{\n{server}\n", 1))
    bench.nginx.reload()
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        before, workers = everything(bench), bench.nginx.workers
        with pytest.raises(Rejected, match="conflicting server name") as caught:
            bench.apply(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        assert caught.value.code == "config"
        assert (everything(bench), bench.nginx.workers) == (before, workers)


def test_a_warning_that_was_there_before_is_theirs(make_bench: Callable[..., NginxBench]) -> None:
    """It neither holds up a change nor is it forgotten."""
    bench = make_bench(start=False)
    twice = f"server {{ listen {bench.nginx.address}:{free_port(bench.nginx.address)}; server_name x; }}\n" * 2
    bench.nginx.main.write_text(bench.nginx.main.read_text().replace("http {\n", f"http {{\n{twice}", 1))
    bench.nginx.start()
    bench.publish()
    with bench.open() as provider:
        flip(bench, provider, Mode.OFFLOAD)
    assert bench.request("/owa/").scheme == "http"


@pytest.mark.parametrize(("settings", "where"), [(HTTP, "main"), (STREAM, "another file")], ids=["http", "stream"])
def test_a_second_administrators_change_is_not_put_live(
    make_bench: Callable[..., NginxBench], settings: dict[str, object], where: str
) -> None:
    """Changed between plan and apply and not loaded yet: refused, nothing written, not reloaded.

    So is the way back, until they have loaded it.
    """
    bench = make_bench(settings)
    bench.publish()
    services = (Service.OWA,) if settings == HTTP else ALL
    theirs = bench.nginx.main if where == "main" else bench.nginx.http_file.parent / "theirs.conf"
    with bench.open() as provider:
        before = everything(bench)
        flipped = step_of(provider, SwitchMode(services=services, before=Mode.BRIDGE, after=Mode.OFFLOAD))
        planned = step_of(provider, republish(bench))
        perform(bench, provider, flipped.do)
        theirs.write_text(f"{theirs.read_text() if theirs.exists() else ''}# changed\n")
        later = theirs.stat().st_mtime + 3600
        os.utime(theirs, (later, later))
        for action in (planned.do, flipped.undo):
            with all_as_before(bench), pytest.raises(Rejected, match="put that change live") as caught:
                perform(bench, provider, action)
            assert caught.value.code == "foreign_config"
        os.utime(theirs, (0, 0))
        bench.nginx.reload()
        perform(bench, provider, flipped.undo)
        wait_true(provider, flipped.undo_until)
    assert {path: about for path, about in everything(bench).items() if path != str(theirs)} == before


def test_the_way_back_is_not_held_up_by_a_warning_of_theirs(published: NginxBench) -> None:
    """What NGINX warns of by now is somebody else's doing: our files are those of before, which it took."""
    with published.open() as provider:
        step = step_of(provider, SwitchMode(services=(Service.OWA,), before=Mode.BRIDGE, after=Mode.OFFLOAD))
        perform(published, provider, step.do)
        twice = f"server {{ listen {published.nginx.address}:{free_port(published.nginx.address)}; server_name x; }}\n"
        (published.nginx.http_file.parent / "theirs.conf").write_text(twice * 2)
        published.nginx.reload()
        perform(published, provider, step.undo)
        wait_true(provider, step.undo_until)
    assert published.request("/owa/").scheme == "https"


@every_way
def test_an_edit_of_our_file_after_the_plan_survives(
    make_bench: Callable[..., NginxBench], settings: dict[str, object]
) -> None:
    """The seal is looked at once more when the file is about to be replaced; forward and back."""
    bench = make_bench(settings)
    bench.publish()
    services = (Service.OWA,) if settings["proxy"] == "http" else ALL
    with bench.open() as provider:
        step = step_of(provider, SwitchMode(services=services, before=Mode.BRIDGE, after=Mode.OFFLOAD))
        path = bench.nginx.owned / "stream.conf" if settings == STREAM else bench.nginx.http_file
        path.write_text(path.read_text() + "# mine\n")
        for action in (step.do, step.undo):
            with all_as_before(bench), pytest.raises(Rejected) as caught:
                perform(bench, provider, action)
            assert (caught.value.code, caught.value.where) == ("edited", str(path))


@pytest.fixture
def small_disk() -> Generator[Callable[[Path], None]]:
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


@by_reload
def test_a_full_disk_is_told_and_nothing_changes(
    make_bench: Callable[..., NginxBench], settings: dict[str, object], small_disk: Callable[[Path], None]
) -> None:
    """The error names the disk; the files of before are all there, and NGINX serves on."""
    bench = make_bench(settings)
    folder = bench.nginx.owned if settings == STREAM else bench.nginx.http_file.parent
    small_disk(folder)
    bench.publish()
    filler = folder / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(b"x" * 200_000)
    services = (Service.OWA,) if settings == HTTP else ALL
    changes: list[Change] = [
        republish(bench),
        SwitchMode(services=services, before=Mode.BRIDGE, after=Mode.OFFLOAD),
        Drain(server="EX01", timeout_s=1, on_timeout="stop"),
    ]
    if settings == STREAM:
        changes.append(InstallCertificate(leaf=bench.second.fingerprint))
    with bench.open() as provider:
        for change in changes:
            with all_as_before(bench), pytest.raises(Rejected, match="disk is full") as caught:
                bench.apply(provider, change)
            assert caught.value.code == "no_space"


_AS_NOBODY = """
import json, os, sys
from lbsync.errors import TargetError
from lbsync.model import Action
from lbsync.services import ALL_SERVICES
from lbsync.target import BalancerSpec
from lbsync_nginx import plugin
spec, settings, actions = json.load(sys.stdin)
said = []
with plugin.open(BalancerSpec.model_validate(spec), settings) as provider:
    provider.observe(ALL_SERVICES)  # all modules are loaded then, which others may not read
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    for action in actions:
        try:
            provider.perform(Action.model_validate(action), None)
        except TargetError as error:
            said.append([type(error).__name__, error.remedy])
print(json.dumps(said))
"""


def test_missing_rights_are_denied(published: NginxBench) -> None:
    """As somebody else no file of ours can be replaced; the error says to allow sudo, and nothing changed."""
    if os.geteuid() != 0:
        pytest.skip("root is missing: only root can become somebody else")
    published.nginx.directory.chmod(0o755)
    second = published.second.fingerprint
    with published.open() as provider:
        published.apply(provider, InstallCertificate(leaf=second))
        changes: list[Change] = [
            SwitchMode(services=(Service.OWA,), before=Mode.BRIDGE, after=Mode.OFFLOAD),
            SwitchCertificate(before=published.first.fingerprint, after=second),
            republish(published),
        ]
        actions = [step.do.model_dump(mode="json") for change in changes if (step := step_of(provider, change)).do]
    with all_as_before(published):
        done = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY],
            input=json.dumps([published.spec.model_dump(mode="json"), published.settings, actions]),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    said = json.loads(done.stdout)
    assert [kind for kind, _ in said] == ["Denied"] * len(actions)
    assert all("sudo" in remedy for _, remedy in said)


@every_way
def test_what_a_killed_run_left_is_removed_by_the_way_back(
    make_bench: Callable[..., NginxBench], settings: dict[str, object]
) -> None:
    """Half-written files by whatever is performed next; NGINX loads none of them, and nothing but our own names is touched."""
    bench = make_bench(settings)
    bench.publish()
    owned, folder = bench.nginx.owned, bench.nginx.http_file.parent
    for path in (owned / ".theirs.lbsync-tmp", folder / ".lbsync.conf.swp"):
        path.write_text("theirs")
    half = [owned / f".{name}.lbsync-tmp" for name in ("server-ca.pem", "stream.conf", "run-marker")]
    half.append(folder / f".{bench.nginx.http_file.name}.lbsync-tmp")

    def leave() -> None:
        for path in half:
            path.write_text("half {")
        if "certificate_form" in settings:
            (certs_of(bench) / ".live.pem.lbsync-tmp").symlink_to("x")

    services = (Service.OWA,) if settings["proxy"] == "http" else ALL
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
        before, seen = everything(bench), seen_by(provider)
        changes: tuple[Change, ...] = (
            Publish(leaf=bench.first.fingerprint, modes=BRIDGED),
            SwitchMode(services=services, before=Mode.BRIDGE, after=Mode.OFFLOAD),
            SwitchCertificate(before=bench.first.fingerprint, after=bench.second.fingerprint),
            Mark(marker="run", present=True),
        )
        for change in changes:
            leave()
            bench.nginx.reload()
            (step,) = provider.lower(change, seen)
            perform(bench, provider, step.undo)
            assert everything(bench) == before


def key_of(bundle: Bundle) -> bytes:
    """The last block of a PEM file of ours."""
    return b"-----BEGIN" + bundle.pem().rpartition(b"-----BEGIN")[2]


@pytest.mark.parametrize("settings", one_now([STREAM, HTTP | VARIABLE]), ids=["stream", "variable"])
def test_nothing_said_holds_a_key_or_quotes_the_administrators_files(
    make_bench: Callable[..., NginxBench], settings: dict[str, object]
) -> None:
    """Facts, steps, receipts and states of a rollout, and the errors of changes that fail, a broken pair's among them."""
    bench = make_bench(settings, extra_main="# hunter2", extra_http='map $host $theirs { default "hunter2"; }')
    services = (Service.OWA,) if settings["proxy"] == "http" else ALL
    first, second = bench.first.fingerprint, bench.second.fingerprint
    said: list[str] = []

    def hear(provider: Provider, change: Change) -> None:
        said.append(seen_by(provider).model_dump_json())
        step = step_of(provider, change)
        said.append(step.model_dump_json())
        try:
            said.append(perform(bench, provider, step.do).model_dump_json())
        except Rejected as error:
            said.append(repr(vars(error)))
        assert step.do is not None
        said.append(repr(provider.read(step.do)))

    with bench.open() as provider:
        hear(provider, InstallCertificate(leaf=first))
        hear(provider, Publish(leaf=first, modes=BRIDGED))
        hear(provider, InstallCertificate(leaf=second))
        pair = certs_of(bench) / f"{second}.pem"
        pair.write_bytes(pair.read_bytes().replace(key_of(bench.second), key_of(bench.first)))
        hear(provider, SwitchCertificate(before=first, after=second))
        assert bench.served() == first
        for wrong in ("no-such-directive on;", "}"):
            theirs = bench.nginx.http_file.parent / "theirs.conf"
            theirs.write_text(f"# hunter2\n{wrong}\n")
            hear(provider, SwitchMode(services=services, before=Mode.BRIDGE, after=Mode.OFFLOAD))
            theirs.unlink()
    failed = [text for text in said if "remedy" in text and "code" in text]
    assert len(failed) == 3
    told = "\n".join(said)
    assert "hunter2" not in told
    assert "PRIVATE" not in told
    assert not [line for line in key_of(bench.first).decode().splitlines()[1:-1] if line in told]
