"""Leaf and servers change in one moment: no connection ever meets a server that holds another leaf than its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from lbsync.changes import SwitchCertificate
from lbsync.testing.ca import TestCA
from tests.balancers.acts import drain, perform, seen_by, step_of, undrain
from tests.balancers.bench import wait_true
from tests.balancers.by_hand import ServerByHand
from tests.balancers.client import exchange
from tests.f5.acts import drained, nothing_left
from tests.f5.conftest import MRS, NAME, F5Bench
from tests.f5.sides import FRESH, OLD, PROTECTED, Visitors, leaf_of, ready, sides
from tests.f5.test_f5_attach import with_theirs
from tests.f5.test_f5_identity import apart_of, connected


@pytest.fixture
def make_bench(make_small: Callable[..., F5Bench]) -> Callable[..., F5Bench]:
    """Few services do."""
    return make_small


@pytest.fixture
def bench(make_bench: Callable[..., F5Bench]) -> F5Bench:
    """Published under the first leaf, with no session resumed."""
    bench = make_bench(PROTECTED)
    bench.publish()
    return bench


def test_an_open_connection_stays_where_its_leaf_is(bench: F5Bench) -> None:
    """Opened before, it keeps its server, whatever is asked over it; opened afterwards, it meets the other leaf and server."""
    first, second = bench.first.fingerprint, bench.second.fingerprint
    with bench.open() as provider, bench.connected() as before:
        step = ready(bench, provider)
        assert exchange(before, "/owa/").server in bench.servers
        with bench.connected() as early:
            assert (leaf_of(early), exchange(early, "/ews/exchange.asmx").server) == (first, OLD)
            perform(bench, provider, step.do)
            wait_true(provider, step.until)
            with bench.connected() as late:
                for _ in range(5):
                    found = [(leaf_of(one), exchange(one, "/owa/").server) for one in (early, late)]
                    assert found == [(first, OLD), (second, FRESH)]
                assert {bench.request("/owa/").server for _ in range(10)} == {FRESH}
                assert bench.served() == second
    nothing_left(bench)


def test_a_connection_without_a_server_is_reset_and_never_meets_the_other_leaf(bench: F5Bench) -> None:
    """Only opened before the switch, or with nothing asked yet: its first request finds nobody, there and on the way back."""
    with bench.open() as provider:
        step = ready(bench, provider)
        bench.forget()
        for action in (step.do, step.undo):
            with bench.connected() as silent:
                perform(bench, provider, action)
                with pytest.raises(ConnectionError):
                    exchange(silent, "/owa/")
        assert bench.arrived == []
        assert bench.request("/owa/").server == OLD


def test_what_lbsync_does_not_do_would_bring_them_together(bench: F5Bench) -> None:
    """Certificate and members changed in the same pools: a connection of the old leaf meets a server of the new one."""
    leaf = bench.second.fingerprint
    with bench.open() as provider, bench.connected() as silent:
        ready(bench, provider)
        bench.apply(provider, SwitchCertificate(before=bench.first.fingerprint, after=leaf))
        perform(bench, provider, step_of(provider, undrain(FRESH)).do)
        perform(bench, provider, step_of(provider, drain(OLD)).do)
        assert (leaf_of(silent), exchange(silent, "/owa/").server) == (bench.first.fingerprint, FRESH)


def test_a_server_that_hangs_up_leaves_its_client_to_nobody(
    make_bench: Callable[..., F5Bench], authority: TestCA
) -> None:
    """As IIS does after two idle minutes: the client's next request is not balanced anew to a server of the other leaf."""
    bench = make_bench(PROTECTED)
    with ExitStack() as stack:
        hand = stack.enter_context(ServerByHand(authority.issue([NAME], key="ec256")))
        member = hand.alone(bench).members[0].model_copy(update={"name": OLD})
        bench.spec = bench.spec.model_copy(update={"members": (bench.spec.members[0], member)})
        bench.publish()
        provider, client = stack.enter_context(bench.open()), stack.enter_context(bench.connected())
        step = ready(bench, provider)
        client.sendall(b"GET /owa/ HTTP/1.1\r\nHost: mail.contoso.test\r\n\r\n")
        with hand.accept("https") as peer:
            peer.until(b"\r\n\r\n")
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            assert client.recv(65536).endswith(b"hi")
            perform(bench, provider, step.do)
            assert not drained(provider, OLD)
        wait_true(provider, provider.lower(sides(bench), seen_by(provider))[1].until)
        with pytest.raises(ConnectionError):
            exchange(client, "/owa/")
        assert bench.arrived == []


def test_done_and_undone_again_and_again_under_load(bench: F5Bench) -> None:
    """Whoever comes meanwhile, and however long they stay: each leaf has its server, and no open connection breaks."""
    first, second = bench.first.fingerprint, bench.second.fingerprint
    with bench.open() as provider:
        step = ready(bench, provider)
        with Visitors(bench) as visitors:
            for _ in range(4):
                visitors.await_answers(first)
                perform(bench, provider, step.do)
                visitors.turn()
                visitors.await_answers(second)
                perform(bench, provider, step.undo)
                visitors.turn()
    assert set(visitors.met) == {(first, OLD), (second, FRESH)}
    assert visitors.broken == []
    nothing_left(bench)


def test_the_old_side_is_waited_for(bench: F5Bench) -> None:
    """A connection that is open there holds up the next step, whether anything is asked over it or not, until it ends."""
    with bench.open() as provider:
        step = ready(bench, provider)
        with bench.connected() as early:
            assert exchange(early, "/owa/").server == OLD
            switch, wait = provider.lower(sides(bench), seen_by(provider))
            assert (switch.do, wait.do) == (step.do, None)
            perform(bench, provider, switch.do)
            assert [provider.check(check).passed for check in wait.until] == [False]
            assert exchange(early, "/owa/").server == OLD
        wait_true(provider, wait.until)


def test_the_old_side_is_cut_where_that_is_wanted(bench: F5Bench) -> None:
    """With on_timeout = cut what is left there ends when the time is over, and going back what is left at the other one."""
    with bench.open() as provider:
        ready(bench, provider)
        change = sides(bench, 0.3).model_copy(update={"on_timeout": "cut"})
        with bench.connected() as early:
            assert exchange(early, "/owa/").server == OLD
            switch, cut = provider.lower(change, seen_by(provider))
            perform(bench, provider, switch.do)
            with bench.connected() as late:
                assert exchange(late, "/owa/").server == FRESH
                perform(bench, provider, cut.do)
                wait_true(provider, cut.until)
                with pytest.raises(OSError, match=r"closed|reset|EOF"):
                    exchange(early, "/owa/")
                assert exchange(late, "/owa/").server == FRESH
                perform(bench, provider, switch.undo)
                wait_true(provider, switch.undo_until)
                with pytest.raises(OSError, match=r"closed|reset|EOF"):
                    exchange(late, "/owa/")


def test_mrsproxys_own_virtual_server_changes_its_side_too(make_bench: Callable[..., F5Bench]) -> None:
    """It shares the certificate: both change leaf and servers in the same moment, and back."""
    bench = make_bench(PROTECTED)
    bench.settings |= apart_of(bench)
    bench.publish()
    first, second = bench.first.fingerprint, bench.second.fingerprint
    with bench.open() as provider:
        step = ready(bench, provider)
        policies = bench.device.paths("ltm/policy")
        for action, wanted in ((step.do, (second, FRESH)), (step.undo, (first, OLD))):
            with connected(bench, MRS) as silent:
                perform(bench, provider, action)
                with pytest.raises(ConnectionError):
                    exchange(silent, "/ews/mrsproxy.svc", host=MRS)
            with connected(bench, MRS) as client:
                assert (leaf_of(client), exchange(client, "/ews/mrsproxy.svc", host=MRS).server) == wanted
            assert seen_by(provider).structure == seen_by(provider).wanted_structure
        assert bench.device.paths("ltm/policy") == policies


def test_an_attached_virtual_server_changes_its_side_too(make_bench: Callable[..., F5Bench]) -> None:
    """The same on a virtual server of the administrator's."""
    bench = with_theirs(make_bench, PROTECTED)
    bench.publish()
    with bench.open() as provider, bench.connected() as silent:
        step = ready(bench, provider)
        perform(bench, provider, step.do)
        wait_true(provider, step.until)
        assert {bench.request("/owa/").server for _ in range(6)} == {FRESH}
        with pytest.raises(ConnectionError):
            exchange(silent, "/owa/")
        perform(bench, provider, step.undo)
        assert {bench.request("/owa/").server for _ in range(6)} == {OLD}
        assert seen_by(provider).structure == seen_by(provider).wanted_structure
