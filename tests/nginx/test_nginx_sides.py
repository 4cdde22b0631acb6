"""Leaf and servers switched in one moment on a real NGINX: no connection ever meets one side's leaf and the other's servers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

from lbsync.model import Action
from lbsync.testing.sshd import RunningSshd
from tests.balancers.acts import perform, seen_by
from tests.balancers.bench import wait_true
from tests.balancers.client import exchange
from tests.longer import one_now
from tests.nginx.acts import certs_of, every_way, everything
from tests.nginx.conftest import HTTP, STREAM, VARIABLE, NginxBench, Switching
from tests.nginx.sided import Crowd, accepted, asked, asked_anew, drained, greeted, leaf_of, settle, sides, switch_of
from tests.nginx.test_nginx_live import KEEPS_IDLE_CLIENTS

OPEN_STREAM: dict[str, object] = {"proxy": "stream"}
"""Without a fork by name in front of the listener."""
every_listener = pytest.mark.parametrize(
    "settings",
    one_now([HTTP, STREAM, HTTP | VARIABLE, OPEN_STREAM], 2),
    ids=["http", "stream", "variable", "stream without a fork"],
)


@every_way
def test_no_connection_meets_the_other_side(switching: Switching, settings: dict[str, object]) -> None:
    """Switched and back, twice, under load: each request arrives on its connection's side, and none is lost."""
    bench, provider, (switch, *_) = switching(settings)
    crowd = Crowd(bench)
    with crowd:
        for _ in range(2):
            for action, checks in ((switch.do, switch.until), (switch.undo, switch.undo_until[:2])):
                perform(bench, provider, action)
                wait_true(provider, checks)
    assert set(crowd.met) == sides(bench)
    assert min(crowd.met.values()) > 10
    assert crowd.lost == []
    if "stream" in settings.values() or bench.nginx.version >= KEEPS_IDLE_CLIENTS:
        assert crowd.closed == []


def test_a_connection_of_a_stream_stays_on_its_side(switching: Switching) -> None:
    """It is asked over before, after the switch, and after the way back; one opened in between has the other side."""
    bench, provider, (switch, *_) = switching(STREAM)
    with bench.connected() as before:
        assert asked(before) == (bench.first.fingerprint, "EX02")
        perform(bench, provider, switch.do)
        with bench.connected() as between:
            assert asked(between) == (bench.second.fingerprint, "EX01")
            assert asked(before) == (bench.first.fingerprint, "EX02")
            perform(bench, provider, switch.undo)
            assert asked(between) == (bench.second.fingerprint, "EX01")
        assert asked(before) == (bench.first.fingerprint, "EX02")


@every_listener
def test_a_handshake_that_the_switch_meets_ends_on_one_side(switching: Switching, settings: dict[str, object]) -> None:
    """A client that connected before and greets afterwards; the drain waits for it, though it has no server yet.

    Behind a fork by name its TLS begins with a worker of afterwards.
    """
    bench, provider, (switch, *_) = switching(settings)
    with accepted(bench) as client:
        perform(bench, provider, switch.do)
        told = provider.check(drained("EX02"))
        assert (told.passed, told.detail) == (
            False,
            "EX02: 1 client of old workers did not ask for anything yet and may be sent there",
        )
        with greeted(bench, client) as connection:
            met = asked(connection)
    forked = "mrsproxy_host" in settings
    assert met == ((bench.second.fingerprint, "EX01") if forked else (bench.first.fingerprint, "EX02"))
    settle(provider, "EX02")


@pytest.mark.parametrize("settings", one_now([HTTP, HTTP | VARIABLE]), ids=["http", "variable"])
def test_a_first_request_after_the_switch_goes_to_its_own_side(
    switching: Switching, settings: dict[str, object]
) -> None:
    """A client that greeted before the switch and asks afterwards; its server is drained only when it has been answered."""
    bench, provider, (switch, *_) = switching(settings)
    with bench.connected() as connection:
        perform(bench, provider, switch.do)
        assert not provider.check(drained("EX02")).passed
        assert asked(connection) == (bench.first.fingerprint, "EX02")
    settle(provider, "EX02")


WATCHING = """
import os, signal, sys
from lbsync.kit.handshake import handshake
address, port, path, pid = sys.argv[1:]
with open(path, "w") as file:
    for _ in range(20):
        print(handshake(address, int(port), "mail.contoso.test", ca_pem=None).fingerprint, file=file)
os.kill(int(pid), signal.SIGHUP)
"""


@every_way
def test_before_the_reload_nobody_is_shown_the_new_leaf(
    make_bench: Callable[..., NginxBench], settings: dict[str, object]
) -> None:
    """When everything is written and the reload is due, twenty handshakes show the old one; so on the way back."""
    bench = make_bench(settings)
    bench.publish()
    shown = bench.nginx.directory / "shown"
    place = [bench.running.address, str(bench.running.https_port), str(shown), str(bench.nginx.pid)]
    with bench.open() as provider:
        switch, *_ = switch_of(bench, provider)
    bench.settings["reload"] = [sys.executable, "-c", WATCHING, *place]
    with bench.open() as provider:
        for action, before in ((switch.do, bench.first), (switch.undo, bench.second), (switch.do, bench.first)):
            perform(bench, provider, action)
            assert shown.read_text().split() == [before.fingerprint] * 20


@every_way
def test_a_switch_leaves_what_was_there_when_it_is_taken_back(
    switching: Switching, settings: dict[str, object]
) -> None:
    """Every file, and with certificates by variable one link more, which goes with the certificate it leads to."""
    bench, provider, (switch, *_) = switching(settings)
    before, workers = everything(bench), bench.nginx.workers
    perform(bench, provider, switch.do)
    after, new = everything(bench), bench.nginx.workers
    assert workers.isdisjoint(new)
    perform(bench, provider, switch.do)
    assert (everything(bench), bench.nginx.workers) == (after, new)
    perform(bench, provider, switch.undo)
    more = str(certs_of(bench) / "live2.pem")
    now = everything(bench)
    assert now.pop(more, None) is None if settings != HTTP | VARIABLE else now.pop(more)
    assert now == before
    taken_back = Action(target="lb1", verb="remove-certificate", args={"leaf": bench.second.fingerprint})
    perform(bench, provider, taken_back)
    assert not [path for path in everything(bench) if path == more or bench.second.fingerprint in path]
    assert bench.served() == bench.first.fingerprint


@every_way
def test_a_long_request_holds_up_the_drain_of_its_server(switching: Switching, settings: dict[str, object]) -> None:
    """It was asked before the switch and is answered afterwards, by a worker that only finishes what it has."""
    bench, provider, (switch, *_) = switching(settings)
    thread, outcome, server = bench.waiting()
    assert server == "EX02"
    perform(bench, provider, switch.do)
    wait_true(provider, switch.until)
    assert not provider.check(drained("EX02")).passed
    bench.servers["EX02"].hold.set()
    thread.join(10)
    assert outcome == [200]
    settle(provider, "EX02")


def test_what_is_left_on_the_old_side_is_cut(switching: Switching) -> None:
    """With on_timeout = cut, when the time is over; what the other side has is let alone."""
    if os.geteuid() != 0:
        pytest.skip("root is missing: only root may end connections of others")
    bench, provider, (switch, *cuts) = switching(STREAM, on_timeout="cut", timeout_s=0.2)
    with bench.connected() as before:
        assert asked(before) == (bench.first.fingerprint, "EX02")
        perform(bench, provider, switch.do)
        with bench.connected() as new:
            assert asked(new) == (bench.second.fingerprint, "EX01")
            for cut in cuts:
                perform(bench, provider, cut.do)
                wait_true(provider, cut.until)
            with pytest.raises(OSError, match=r".*"):
                exchange(before, "/owa/")
            assert asked(new) == (bench.second.fingerprint, "EX01")


def test_a_certificate_by_variable_is_switched_on_either_link(switching: Switching) -> None:
    """After a switch of sides the workers read the other link: a later certificate goes there, without a reload, and back."""
    bench, provider, (switch, *_) = switching(HTTP | VARIABLE)
    perform(bench, provider, switch.do)
    workers = bench.nginx.workers
    for leaf in (bench.first.fingerprint, bench.second.fingerprint):
        perform(bench, provider, Action(target="lb1", verb="switch-certificate", args={"leaf": leaf}))
        assert (bench.served(), seen_by(provider).leaf) == (leaf, leaf)
    assert bench.nginx.workers == workers


def test_sides_are_switched_over_ssh(require: Callable[[str], None], make_bench: Callable[..., NginxBench]) -> None:
    """Certificates by variable on another host: there, back, and the wait for a client of an old worker."""
    require("sshd")
    bench = make_bench(HTTP | VARIABLE)
    bench.publish()
    place = bench.nginx.directory / "ssh"
    place.mkdir()
    with RunningSshd(place) as sshd:
        bench.settings["ssh"] = sshd.settings
        with bench.open() as provider:
            switch, wait = switch_of(bench, provider)
            with bench.connected() as connection:
                perform(bench, provider, switch.do)
                wait_true(provider, switch.until)
                assert asked_anew(bench) == (bench.second.fingerprint, "EX01")
                assert not provider.check(wait.until[0]).passed
                assert leaf_of(connection) == bench.first.fingerprint
                assert asked(connection) == (bench.first.fingerprint, "EX02")
            wait_true(provider, wait.until)
            perform(bench, provider, switch.undo)
            wait_true(provider, switch.undo_until)
            assert asked_anew(bench) == (bench.first.fingerprint, "EX02")
