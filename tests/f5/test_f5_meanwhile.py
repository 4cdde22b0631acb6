"""What others do between two steps of ours, and settings that change in between: told, kept, and taken back by what was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lbsync.changes import InstallCertificate, Publish, SwitchMode
from lbsync.errors import Rejected
from lbsync.lab.bigip.store import Draft
from lbsync.model import Mode
from lbsync.services import Service
from lbsync_f5 import things
from tests.balancers.acts import drain, offloadable, perform, seen_by, step_of
from tests.balancers.bench import BRIDGED, wait_true
from tests.f5.acts import drained, everything, nothing_left
from tests.f5.conftest import CONNECTIONS, REQUESTS, F5Bench
from tests.f5.test_f5_attach import theirs, with_theirs

PREFIX = "/Common/lbsync_lb1_"


@pytest.fixture
def published(make_small: Callable[..., F5Bench]) -> F5Bench:
    """Few services, bridged, where connections belong to clients."""
    bench = make_small(CONNECTIONS)
    bench.publish()
    return bench


def test_a_change_is_taken_back_by_what_was_made_not_by_what_is_set_now(make_small: Callable[..., F5Bench]) -> None:
    """Ntlm was declared used after a switch of modes: the way back neither shares logins nor lets them cross."""
    bench = make_small(REQUESTS)
    bench.publish()
    before = everything(bench)
    with bench.open() as provider:
        change = SwitchMode(services=(Service.OWA,), before=Mode.BRIDGE, after=Mode.OFFLOAD)
        (step,) = bench.apply(provider, change)
    bench.settings |= {"ntlm": "used"}
    with bench.open() as provider:
        perform(bench, provider, step.undo)
    after = everything(bench)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()
    with pytest.raises(ConnectionError):
        bench.request("/owa/", headers="Authorization: NTLM TlRMTVNTUAABAAAAB4IIAAAAAAAAAAAAAAAAAAAAAAA=\r\n")


def test_rules_that_somebody_removed_from_a_policy_are_told(published: F5Bench) -> None:
    """They keep paths apart; another policy of ours is whole again."""
    (path,) = published.device.paths(things.POLICY)
    device = published.device

    def edit(draft: Draft) -> None:
        old: Any = draft.of(things.POLICY)[path]
        rules = [rule for rule in old["rules"] if rule["name"] != "refuse-climbing"]
        draft.put(things.POLICY, path, {**old, "rules": rules})

    device.running.change("admin", edit)
    with published.open() as provider:
        (problem,) = seen_by(provider).problems
        assert f"{path} is not the policy that its name stands for" in problem
        bench = published
        bench.apply(provider, SwitchMode(services=offloadable(bench), before=Mode.BRIDGE, after=Mode.OFFLOAD))
        assert seen_by(provider).problems == ()


def test_policies_of_nearly_our_name_are_nobodys_business(published: F5Bench) -> None:
    """Without a mark they stay, whatever is published."""
    names = (f"{PREFIX}modes_mine", f"{PREFIX}modes_x_modes_0123456789abcdef")
    for name in names:
        published.device.foreign(things.POLICY, {"name": name, "legacy": True, "strategy": "/Common/first-match"})
    published.settings |= {"monitor_timeout_s": 7}
    with published.open() as provider:
        published.apply(provider, Publish(leaf=published.first.fingerprint, modes=BRIDGED))
    assert set(names) <= set(published.device.paths(things.POLICY))


def test_a_foreign_pool_of_nearly_our_name_holds_up_nothing(make_small: Callable[..., F5Bench]) -> None:
    """Nobody is up in it, ever; the publication waits for its own."""
    bench = make_small(CONNECTIONS)
    body = {"name": f"{PREFIX}test_pool", "members": [{"name": "/Common/10.9.9.9:80", "address": "10.9.9.9"}]}
    bench.device.foreign(things.POOL, body)
    bench.publish()
    assert bench.request("/owa/").status == 200


def test_a_server_whose_node_is_disabled_counts_as_taken_out(published: F5Bench) -> None:
    """An administrator disabled it for all pools: it takes nobody new, and no drain of another may rely on it."""
    (node,) = published.device.paths(things.NODE)
    with published.open() as provider:
        assert {one.draining for one in seen_by(provider).live.members} == {False}
        published.device.foreign(things.NODE, {"name": node, "session": "user-disabled"})
        assert {one.draining for one in seen_by(provider).live.members} == {True}
        assert drained(provider, "EX01")
        published.device.foreign(things.NODE, {"name": node, "session": "user-enabled"})
        assert not drained(provider, "EX01")


def test_a_drained_server_stays_so_when_another_joins(published: F5Bench) -> None:
    """Publishing again writes a pool's members whole, each as it was."""
    bench = published
    with bench.open() as provider:
        perform(bench, provider, step_of(provider, drain("EX01")).do)
        wait_true(provider, step_of(provider, drain("EX01")).until)
    third = bench.spec.members[1].model_copy(update={"name": "EX03", "address": "127.0.0.2"})
    bench.spec = bench.spec.model_copy(update={"members": (*bench.spec.members, third)})
    with bench.open() as provider:
        perform(bench, provider, step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED)).do)
        assert drained(provider, "EX01")
        assert not drained(provider, "EX02")


def test_two_balancers_of_a_device_have_a_certificate_each(make_small: Callable[..., F5Bench]) -> None:
    """Of the same leaf: what one takes back is not the other's."""
    bench = make_small(CONNECTIONS)
    leaf = bench.first.fingerprint
    other = bench.spec.model_copy(update={"name": "lb2"})
    with bench.open() as one, bench.plugin.open(other, bench.settings) as two:
        first, second = (step_of(provider, InstallCertificate(leaf=leaf)) for provider in (one, two))
        perform(bench, one, first.do)
        perform(bench, two, second.do)
        perform(bench, two, second.undo)
        assert seen_by(one).installed == (leaf,)
        perform(bench, one, first.undo)
    nothing_left(bench)


def test_a_publication_is_taken_back_where_it_was_made(make_small: Callable[..., F5Bench]) -> None:
    """Attach names another virtual server by now: the first gets its profiles back, the other is not touched."""
    bench = with_theirs(make_small, CONNECTIONS)
    before = theirs(bench)
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        (step,) = bench.apply(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
    shop = {name: before[name] for name in ("mask", "ipProtocol", "pool")} | {
        "name": "/Common/shop",
        "destination": f"/Common/{bench.running.address}:{bench.running.http_port}",
        "profiles": [{"name": "/Common/tcp"}, {"name": "/Common/their-http"}],
    }
    was = bench.device.foreign(things.VIRTUAL, shop)
    bench.settings |= {"attach": "/Common/shop"}
    with bench.open() as provider:
        perform(bench, provider, step.undo)
    assert bench.device.object(things.VIRTUAL, "/Common/shop") == was
    assert [one["name"] for one in theirs(bench)["profiles"]] == [one["name"] for one in before["profiles"]]
    assert not theirs(bench).get("policies")


def test_a_ca_that_somebody_uses_stays_and_everything_else_goes(make_small: Callable[..., F5Bench]) -> None:
    """It is named, and what was done is saved."""
    bench = make_small(CONNECTIONS)
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        (step,) = bench.apply(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        (ca,) = [path for path in bench.device.paths(things.SSL_CERT) if "server-ca" in path]
        own = {"name": "/Common/theirs", "defaultsFrom": "/Common/serverssl", "caFile": ca}
        bench.device.foreign(things.SERVER_SSL, own)
        with pytest.raises(Rejected, match="somebody else uses objects of ours") as caught:
            perform(bench, provider, step.undo)
        assert caught.value.code == "in_use"
        assert bench.device.paths(things.VIRTUAL) == ()
        bench.device.remove(things.SERVER_SSL, "/Common/theirs")
        perform(bench, provider, step.undo)
    assert ca not in bench.device.paths(things.SSL_CERT)


def test_a_pool_that_somebody_uses_does_not_undo_a_publication(published: F5Bench) -> None:
    """The services that stay are served; the pool is told as kept."""
    pool = f"{PREFIX}ews_bridge"
    theirs_to_it = {"name": "/Common/theirs", "destination": "/Common/127.0.0.1:1", "pool": pool}
    published.device.foreign(things.VIRTUAL, theirs_to_it)
    published.spec = published.spec.model_copy(update={"services": (Service.OWA,)})
    with published.open() as provider:
        step = step_of(provider, Publish(leaf=published.first.fingerprint, modes=BRIDGED))
        receipt = perform(published, provider, step.do)
        kept = receipt.details["kept"]
        assert isinstance(kept, list)
        assert pool in kept
        assert "somebody else uses them" in receipt.summary
    assert published.request("/owa/").status == 200
    with pytest.raises(ConnectionError):
        published.request("/ews/")
