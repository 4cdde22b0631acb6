"""What can be wrong with an NGINX or its host before anything is changed: one clear message each, with the way out."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from lbsync.changes import InstallCertificate, Mark, Publish
from lbsync.errors import Rejected
from lbsync.kit.waiting import wait_for
from tests.balancers.acts import perform, seen_by, step_of
from tests.balancers.bench import BRIDGED
from tests.longer import one_now
from tests.nginx.acts import everything
from tests.nginx.conftest import HTTP, STREAM, NginxBench


def test_a_sound_host_has_no_blocker(make_bench: Callable[..., NginxBench]) -> None:
    """Nothing of ours is there yet, and nothing is in the way; published, the ports are taken by us."""
    for settings in (HTTP, STREAM):
        bench = make_bench(settings)
        assert bench.blockers() == ""
        bench.publish()
        assert bench.blockers() == ""


def add(bench: NginxBench, block: str, text: str) -> None:
    """Something of the administrator's at the beginning of a block of the main file; at the end of it for no block."""
    main = bench.nginx.main
    was = main.read_text()
    main.write_text(was.replace(f"\n{block} {{\n", f"\n{block} {{\n{text}\n", 1) if block else f"{was}{text}\n")


def test_a_configuration_that_is_broken_already_is_told_in_nginxs_words(bench: NginxBench) -> None:
    """Lbsync would be blamed for it: it is corrected first."""
    add(bench, "http", "no-such-directive 1;")
    told = bench.blockers()
    assert 'unknown directive "no-such-directive"' in told
    assert "nginx -t" in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "name", "how"),
    [
        (HTTP, "server-ca.pem", "edited"),
        (HTTP, "http.conf", "edited"),
        (STREAM, "stream.conf", "edited"),
        (STREAM, "http.conf", "foreign"),
    ],
)
def test_what_somebody_wrote_is_not_overwritten(
    make_bench: Callable[..., NginxBench], settings: dict[str, object], name: str, how: str
) -> None:
    """The blocker names the file; performing all the same is refused, and the text survives."""
    bench = make_bench(settings)
    bench.publish()
    path = bench.nginx.http_file if name == "http.conf" else bench.nginx.owned / name
    path.write_text(path.read_text() + "# mine\n" if how == "edited" else "# mine\n")
    words = "was edited by somebody" if how == "edited" else "was not written by lbsync"
    assert f"{path} {words}" in bench.blockers()
    before, workers = everything(bench), bench.nginx.workers
    bench.settings["long_request_s"] = 1900
    with bench.open() as provider, pytest.raises(Rejected) as caught:
        bench.apply(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
    assert (caught.value.code, caught.value.where) == ("edited", str(path))
    assert (everything(bench), bench.nginx.workers) == (before, workers)


def test_a_missing_directory_is_told_with_its_command(bench: NginxBench) -> None:
    """Nothing is created by looking."""
    bench.nginx.owned.rmdir()
    assert f"`install -d -m 0755 {bench.nginx.owned}`" in bench.blockers()
    assert not bench.nginx.owned.exists()


@pytest.mark.parametrize("settings", [HTTP, STREAM], ids=["http", "stream"])
@pytest.mark.parametrize("stream_block", [True, False])
def test_a_file_that_nginx_would_not_load_is_told_with_the_line_to_add(
    make_bench: Callable[..., NginxBench], settings: dict[str, object], stream_block: bool
) -> None:
    """Publishing against the blocker ends as before, with the reason; with the line added there is none."""
    bench = make_bench(settings, loads=False, stream=stream_block)
    told = bench.blockers()
    http_line = f"include {bench.nginx.http_file.parent}/*.conf;"
    stream_line = f"include {bench.nginx.owned}/stream*.conf;"
    assert http_line in told
    assert (f"stream {{ {stream_line} }}" in told) is (settings == STREAM)
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        before, workers = everything(bench), bench.nginx.workers
        with pytest.raises(Rejected) as caught:
            bench.apply(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        assert caught.value.code == "not_loaded"
        assert (everything(bench), bench.nginx.workers) == (before, workers)
    add(bench, "http", http_line)
    if stream_block:
        add(bench, "stream", stream_line)
        bench.nginx.reload()
        assert bench.blockers() == ""


def test_an_nginx_that_does_not_run_is_told(bench: NginxBench) -> None:
    """By its pid file: stopped, a wrong file, one that is empty or names a process that is gone."""
    pid_file = bench.settings["pid_file"]
    for wrong, text in (("nowhere", None), ("empty", ""), ("gone", "4194305")):
        path = bench.nginx.directory / wrong
        if text is not None:
            path.write_text(text)
        bench.settings["pid_file"] = str(path)
        assert bench.blockers() == f"NGINX does not run (by {path}). Start it, or correct pid_file."
    bench.settings["pid_file"] = pid_file
    bench.nginx.stop()
    assert "NGINX does not run" in bench.blockers()


def test_a_stopped_nginx_with_our_files_is_told_and_nothing_is_written(published: NginxBench) -> None:
    """A change needs a running NGINX, since only that can prove it."""
    published.settings["long_request_s"] = 1900
    with published.open() as provider:
        step = step_of(provider, Publish(leaf=published.first.fingerprint, modes=BRIDGED))
        published.nginx.stop()
        before = everything(published)
        with pytest.raises(Rejected, match="does not run") as caught:
            perform(published, provider, step.do)
        assert "start it" in caught.value.remedy
        assert everything(published) == before
        seen = seen_by(provider)
        assert "NGINX does not run" in seen.blockers[0]
        published.nginx.start()
        assert seen_by(provider).problems == ()


def test_a_missing_program_is_told(bench: NginxBench) -> None:
    """The setting is named."""
    bench.settings["nginx"] = "/nowhere/nginx"
    assert "/nowhere/nginx does not exist: set nginx" in bench.blockers()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("nginx version: nginx/1.20.1", "NGINX 1.20.1 is too old: 1.22.0 is the oldest"),
        ("nginx version: openresty-next", "cannot be understood (nginx version: openresty-next)"),
        ("", "cannot be understood (it said nothing)"),
    ],
)
def test_an_unknown_or_old_version_is_told(bench: NginxBench, said: str, told: str) -> None:
    """What it would be told to load was never tried there."""
    stand_in = bench.nginx.directory / "nginx"
    stand_in.write_text(
        f'#!/bin/sh\n[ "$1" = -V ] && {{ echo "{said}" >&2; exit; }}\nexec {bench.nginx.program} "$@"\n'
    )
    stand_in.chmod(0o755)
    bench.settings["nginx"] = str(stand_in)
    assert told in bench.blockers()


def test_ntlm_by_plus_needs_plus(make_bench: Callable[..., NginxBench]) -> None:
    """The open-source NGINX does not know the directive."""
    assert 'ntlm = "plus" needs NGINX Plus' in make_bench({"proxy": "http", "ntlm": "plus"}).blockers()


TLS = "ssl_certificate {pem}; ssl_certificate_key {pem};"


@pytest.mark.parametrize(
    ("settings", "block", "text", "told"),
    [
        (
            HTTP,
            "http",
            "server {{ listen {at} ssl; server_name x.test mail.contoso.test; {tls} }}",
            "mail.contoso.test",
        ),
        (HTTP, "http", "server {{ listen {at}; server_name x.test; }}", "plain text already"),
        (HTTP, "stream", "server {{ listen {at}; return x; }}", "NGINX cannot have both"),
        (STREAM, "http", "server {{ listen {at}; return 200 x; }}", "NGINX cannot have both"),
        (STREAM, "stream", "server {{ listen {at}; return x; }}", "plain text already"),
        (HTTP | {"bind_address": "*"}, "http", "server {{ listen {at} ssl; server_name x; {tls} }}", "never reach"),
        (HTTP, "http", "server {{ listen 127.0.0.1:{status}; server_name lbsync-status; }}", "lbsync-status"),
    ],
)
def test_a_listener_of_theirs_in_our_place_is_told(
    make_bench: Callable[..., NginxBench], settings: dict[str, object], block: str, text: str, told: str
) -> None:
    """With file and line. NGINX passes most of these, and serves one of both only."""
    bench = make_bench(settings, start=False)
    pem = bench.nginx.directory / "theirs.pem"
    pem.write_bytes(bench.first.pem())
    tls, at = TLS.format(pem=pem), f"{bench.nginx.address}:{bench.nginx.https_port}"
    add(bench, block, text.format(at=at, tls=tls, status=bench.nginx.status_port))
    bench.nginx.start()
    said = bench.blockers()
    assert f"{bench.nginx.main} line" in said
    assert told in said


def test_theirs_beside_ours_is_no_blocker(make_bench: Callable[..., NginxBench]) -> None:
    """Other names on our address, which NGINX tells apart by SNI."""
    bench = make_bench(start=False)
    pem = bench.nginx.directory / "theirs.pem"
    pem.write_bytes(bench.first.pem())
    at = f"{bench.nginx.address}:{bench.nginx.https_port}"
    add(bench, "http", f"server {{ listen {at} ssl; server_name x.test; {TLS.format(pem=pem)} }}")
    bench.nginx.start()
    assert bench.blockers() == ""
    bench.publish()
    assert bench.request("/nothing/of/exchange").status == 404
    assert bench.served() == bench.first.fingerprint


@pytest.mark.parametrize("which", one_now(["https_port", "http_port", "status_port", "inner_port"]))
def test_another_process_on_a_port_of_ours_is_told(make_bench: Callable[..., NginxBench], which: str) -> None:
    """NGINX's own test passes it, and the reload would fail in silence. Whether it answers or not."""
    bench = make_bench(STREAM)
    port = bench.settings[which]
    assert isinstance(port, int)
    address = "127.0.0.1" if which in {"status_port", "inner_port"} else bench.nginx.address
    with socket.create_server((address, port)):
        told = bench.blockers()
        assert f"Something listens on {address}:{port}" in told
        assert f"ss -ltnp 'sport = :{port}'" in told
    assert wait_for(lambda: not bench.blockers(), 10)  # for a moment somebody's outgoing connection may have it


def test_a_change_of_theirs_that_is_not_loaded_is_told(published: NginxBench) -> None:
    """A reload of ours would put it live; once it is loaded by them there is none."""
    main = published.nginx.main
    newer = main.stat().st_mtime + 3600
    os.utime(main, (newer, newer))
    assert f"{main} was changed after NGINX loaded it" in published.blockers()
    os.utime(main, (0, 0))
    published.nginx.reload()
    assert published.blockers() == ""


def test_another_runs_marker_is_respected(bench: NginxBench) -> None:
    """Leaving ours is refused, removing ours leaves theirs."""
    with bench.open() as provider:
        bench.apply(provider, Mark(marker="run one", present=True))
        assert seen_by(provider).marker == "run one"
        with pytest.raises(Rejected, match="run one") as caught:
            bench.apply(provider, Mark(marker="run two", present=True))
        assert caught.value.code == "marker"
        bench.apply(provider, Mark(marker="run two", present=False))
        assert seen_by(provider).marker == "run one"


def test_another_certificate_than_was_asked_for_is_not_written(bench: NginxBench) -> None:
    """The source changed between plan and apply."""
    bench.materials.bundles[bench.first.fingerprint] = bench.second
    with bench.open() as provider, pytest.raises(Rejected) as caught:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
    assert caught.value.code == "other_certificate"
    assert bench.files() == {}


def test_a_served_certificate_is_never_removed(published: NginxBench) -> None:
    """The undo of an installation keeps what has come to be served."""
    with published.open() as provider:
        facts = seen_by(provider).model_copy(update={"installed": ()})
        (step,) = provider.lower(InstallCertificate(leaf=published.first.fingerprint), facts)
        assert "kept" in perform(published, provider, step.undo).summary
    assert published.served() == published.first.fingerprint
