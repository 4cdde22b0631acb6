"""Disk, memory and configuration that do not agree: told, and brought together again; a certificate that NGINX refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lbsync.changes import InstallCertificate, Publish, SwitchCertificate
from lbsync.errors import Rejected
from lbsync.kit.seal import body_of, seal
from lbsync.model import Mode
from lbsync.services import Service
from lbsync_nginx.state import NginxState, state_of, with_state
from tests.balancers.acts import perform, seen_by, step_of
from tests.balancers.bench import BRIDGED, wait_true
from tests.longer import one_now
from tests.nginx.acts import certs_of, every_way, everything, killed_at_the_reload
from tests.nginx.conftest import HTTP, STREAM, NginxBench


@every_way
def test_a_certificate_that_nginx_refuses_leaves_the_old_one(
    make_bench: Callable[..., NginxBench], settings: dict[str, object]
) -> None:
    """A weak key: NGINX's test says so, or, by variable, the handshakes. Everything is then as before."""
    bench = make_bench(settings)
    bench.publish()
    weak = bench.ca.issue(["mail.contoso.test"], key="rsa1024")
    bench.materials.bundles[weak.fingerprint] = weak
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=weak.fingerprint))
        before, workers = everything(bench), bench.nginx.workers
        with pytest.raises(Rejected) as caught:
            bench.apply(provider, SwitchCertificate(before=bench.first.fingerprint, after=weak.fingerprint))
        if "certificate_form" in settings:
            assert caught.value.code == "not_live"
            assert "the link is where it was" in caught.value.state
        else:
            assert caught.value.code == "config"
            assert "ee key too small" in caught.value.message
        assert (everything(bench), bench.nginx.workers) == (before, workers)
        assert bench.served() == bench.first.fingerprint
        seen = seen_by(provider)
        assert (seen.leaf, seen.problems) == (bench.first.fingerprint, ())


def test_a_pair_that_nginxs_test_passes_and_no_handshake_does(published: NginxBench) -> None:
    """An RSA certificate with an EC key: each is fine by itself, and clients get nothing. It is taken back at once."""
    bench = published
    change = SwitchCertificate(before=bench.first.fingerprint, after=bench.second.fingerprint)
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
        pair = certs_of(bench) / f"{bench.second.fingerprint}.pem"
        start = b"-----BEGIN PRIVATE KEY-----"
        pair.write_bytes(bench.second.pem().partition(start)[0] + start + bench.first.pem().partition(start)[2])
        before = everything(bench)
        with pytest.raises(Rejected, match="No TLS") as caught:
            bench.apply(provider, change)
        assert (caught.value.code, everything(bench)) == ("not_live", before)
        assert seen_by(provider).problems == ()
    assert bench.served() == bench.first.fingerprint


@every_way
def test_a_certificate_that_is_not_installed_is_not_switched_to(
    make_bench: Callable[..., NginxBench], settings: dict[str, object]
) -> None:
    """Nor one whose file holds another; the message says to install it first, and nothing changes."""
    bench = make_bench(settings)
    bench.publish()
    change = SwitchCertificate(before=bench.first.fingerprint, after=bench.second.fingerprint)
    file = certs_of(bench) / f"{bench.second.fingerprint}.pem"
    with bench.open() as provider:
        for wrong in (None, bench.first.pem()):
            if wrong is not None:
                file.write_bytes(wrong)
            before = everything(bench)
            with pytest.raises(Rejected) as caught:
                bench.apply(provider, change)
            assert caught.value.code == "not_installed"
            assert everything(bench) == before
    assert bench.served() == bench.first.fingerprint


def behind_our_back(bench: NginxBench, change: Callable[[NginxState], NginxState]) -> None:
    """Our file in another state, with a right seal, and no reload: what a killed run leaves."""
    path = bench.nginx.http_file
    text = body_of(path.read_text())
    state = state_of(text)
    assert state is not None
    path.write_text(seal(with_state(text, change(state))))


def test_memory_and_disk_that_disagree_are_told_and_repaired(published: NginxBench) -> None:
    """What the next reload would change is a problem; publishing brings both to what is in force."""
    behind_our_back(published, lambda state: state.with_modes({Service.OWA: Mode.OFFLOAD}).with_down("EX02", down=True))
    with published.open() as provider:
        seen = seen_by(provider)
        assert seen.problems == (
            "owa is in mode bridge in NGINX, offload on disk: the next reload would change it.",
            "EX02 is taking requests in NGINX, not so on disk: the next reload would change it.",
        )
        assert (seen.published, seen.structure, seen.modes[Service.OWA]) == (True, None, Mode.BRIDGE)
        published.apply(provider, Publish(leaf=published.first.fingerprint, modes=seen.modes))
        seen = seen_by(provider)
        assert (seen.structure, seen.modes[Service.OWA]) == (seen.wanted_structure, Mode.BRIDGE)


def test_a_reload_by_somebody_makes_live_what_a_killed_run_left(published: NginxBench) -> None:
    """Then memory and disk agree again, and the modes are told as they are."""
    behind_our_back(published, lambda state: state.with_modes({Service.OWA: Mode.OFFLOAD}))
    published.nginx.reload()
    with published.open() as provider:
        seen = seen_by(provider)
    assert (seen.problems, seen.structure) == ((), seen.wanted_structure)
    assert seen.modes[Service.OWA] is Mode.OFFLOAD
    assert published.request("/owa/").scheme == "http"


@pytest.mark.parametrize("mended_by", one_now(["again", "undo", "publish"]))
def test_a_run_killed_between_file_and_reload_is_mended(published: NginxBench, mended_by: str) -> None:
    """The leaf is unknown then; the same step, its undo or a publish settles it."""
    first, second = published.first.fingerprint, published.second.fingerprint
    with published.open() as provider:
        published.apply(provider, InstallCertificate(leaf=second))
        before = everything(published)
        step = step_of(provider, SwitchCertificate(before=first, after=second))
        killed_at_the_reload(published, step.do)
        seen = seen_by(provider)
        assert (seen.leaf, seen.published, seen.structure) == (None, True, None)
        assert any("the next reload would change it" in problem for problem in seen.problems)
        assert published.served() == first
        match mended_by:
            case "again":
                perform(published, provider, step.do)
            case "undo":
                perform(published, provider, step.undo)
                assert everything(published) == before
            case _:
                published.apply(provider, Publish(leaf=second, modes=seen.modes))
        wanted = first if mended_by == "undo" else second
        seen = seen_by(provider)
        assert (seen.leaf, seen.problems, seen.structure) == (wanted, (), seen.wanted_structure)
        assert published.served() == wanted


def test_from_requests_to_connections_and_back(make_bench: Callable[..., NginxBench]) -> None:
    """Another way of proxying is another structure: a publish goes there on the same address, and another one back."""
    bench = make_bench(HTTP)
    bench.publish()
    first, by_http = bench.first.fingerprint, everything(bench)
    http, stream = dict(bench.settings), dict(bench.settings)
    for key in HTTP:
        del stream[key]
    stream |= STREAM
    for settings, passes_everything in ((stream, True), (http, False)):
        bench.settings = settings
        with bench.open() as provider:
            seen = seen_by(provider)
            assert seen.structure != seen.wanted_structure
            assert (seen.blockers, seen.problems, seen.leaf) == ((), (), first)
            before = everything(bench)
            step = step_of(provider, Publish(leaf=first, modes=BRIDGED))
            perform(bench, provider, step.do)
            wait_true(provider, step.until)
            if passes_everything:
                perform(bench, provider, step.undo)
                wait_true(provider, step.undo_until)
                assert everything(bench) == before
                perform(bench, provider, step.do)
                wait_true(provider, step.until)
            seen = seen_by(provider)
            assert (seen.structure, seen.problems) == (seen.wanted_structure, ())
        assert bench.request("/nothing/of/exchange").status == (200 if passes_everything else 404)
    assert everything(bench) == by_http
