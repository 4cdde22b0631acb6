"""Published on an administrator's own virtual server: what is theirs stays, what is ours comes and goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lbsync.changes import InstallCertificate, Mark, Publish, SwitchMode
from lbsync.errors import Rejected
from lbsync.lab.bigip.names import Json
from lbsync.model import Mode
from lbsync.services import Service
from tests.balancers.acts import flip, offloadable, perform, rotate, seen_by, step_of
from tests.balancers.bench import BRIDGED, OFFLOADED, wait_true
from tests.f5.acts import everything, nothing_left, running
from tests.f5.conftest import CONNECTIONS, REQUESTS, F5Bench
from tests.longer import one_now

THEIRS = "/Common/exchange"
ways = pytest.mark.parametrize("settings", one_now([CONNECTIONS, REQUESTS]), ids=["connections", "requests"])


@pytest.fixture
def make_bench(make_small: Callable[..., F5Bench]) -> Callable[..., F5Bench]:
    """Few services do."""
    return make_small


def with_theirs(
    make_bench: Callable[..., F5Bench], settings: dict[str, object], *profiles: str, **more: object
) -> F5Bench:
    """A bench that attaches to a virtual server of theirs, with an http profile and much of its own."""
    bench = make_bench({**settings, "attach": THEIRS, "bind_address": None})
    bench.settings["probe_address"] = bench.running.address
    device = bench.device
    device.foreign("ltm/pool", {"name": "/Common/their-pool"})
    device.foreign("ltm/profile/http", {"name": "/Common/their-http", "defaultsFrom": "/Common/http"})
    device.foreign("ltm/profile/client-ssl", {"name": "/Common/their-tls", "defaultsFrom": "/Common/clientssl"})
    own = sorted(profiles) or ("/Common/tcp", "/Common/their-http", "/Common/their-tls")  # a set: a device sorts it
    device.foreign(
        "ltm/virtual",
        {
            "name": THEIRS,
            "destination": f"/Common/{bench.running.address}:{bench.running.https_port}",
            "mask": "255.255.255.255",
            "ipProtocol": "tcp",
            "description": "made by hand",
            "pool": "/Common/their-pool",
            "sourceAddressTranslation": {"type": "none"},
            "connectionLimit": 5000,
            "profiles": [{"name": name} for name in own],
            **more,
        },
    )
    return bench


def theirs(bench: F5Bench) -> Json:
    """Their virtual server in full."""
    found = bench.device.object("ltm/virtual", THEIRS)
    assert found is not None
    return found


def names(item: Json, key: str) -> list[str]:
    """Full paths of its profiles or policies."""
    return sorted(str(one["fullPath"]) for one in item.get(key) or ())


@ways
def test_everything_else_of_it_is_kept(make_bench: Callable[..., F5Bench], settings: dict[str, object]) -> None:
    """TLS profiles are exchanged and a policy is added; address, pool, limits, http profile and words stay."""
    bench = with_theirs(make_bench, settings)
    before = theirs(bench)
    assert bench.blockers() == ""
    bench.publish()
    after = theirs(bench)
    changing = {"profiles", "policies", "generation", "lastModifiedTime"}
    changed = {key for key in before | after if before.get(key) != after.get(key)} - changing
    assert changed == set()
    assert {"/Common/their-http", "/Common/tcp"} <= set(names(after, "profiles"))
    assert "/Common/their-tls" not in names(after, "profiles")
    assert ("/Common/lbsync_lb1_one-connect" in names(after, "profiles")) is (settings == REQUESTS)
    assert len(names(after, "policies")) == 1
    assert bench.device.paths("ltm/virtual") == (THEIRS,)
    assert bench.served() == bench.first.fingerprint
    assert bench.request("/owa/").scheme == "https"


@ways
def test_its_undo_restores_it_exactly(make_bench: Callable[..., F5Bench], settings: dict[str, object]) -> None:
    """Profiles, policies, and nothing of ours: whatever happened in between."""
    bench = with_theirs(make_bench, settings)
    before = everything(bench)
    with bench.open() as provider:
        mark = step_of(provider, Mark(marker="run", present=True))
        perform(bench, provider, mark.do)
        install = step_of(provider, InstallCertificate(leaf=bench.first.fingerprint))
        perform(bench, provider, install.do)
        publish = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        perform(bench, provider, publish.do)
        wait_true(provider, publish.until)
        flip(bench, provider, Mode.OFFLOAD)
        flip(bench, provider, Mode.BRIDGE)
        perform(bench, provider, publish.undo)
        wait_true(provider, publish.undo_until)
        perform(bench, provider, install.undo)
        perform(bench, provider, mark.undo)
    after = everything(bench)
    different = {name for name in before | after if before.get(name) != after.get(name)}
    # Saving ours saves what they had not.
    assert {name for name in different if not name.startswith("saved ")} == set()
    assert {name for name in different if "lbsync" in name} == set()
    nothing_left(bench)


def test_rotation_and_modes_work_on_it(make_bench: Callable[..., F5Bench]) -> None:
    """As on one of our own; publishing again is no work."""
    bench = with_theirs(make_bench, REQUESTS)
    bench.publish()
    with bench.open() as provider:
        rotate(bench, provider, bench.first, bench.second)
        bench.apply(provider, SwitchMode(services=offloadable(bench), before=Mode.BRIDGE, after=Mode.OFFLOAD))
        seen = seen_by(provider)
        assert (seen.structure, seen.leaf) == (seen.wanted_structure, bench.second.fingerprint)
        assert (seen.problems, seen.blockers) == ((), ())
        assert seen.modes[Service.OWA] is Mode.OFFLOAD
        was = everything(bench)
        perform(bench, provider, step_of(provider, Publish(leaf=bench.second.fingerprint, modes=OFFLOADED)).do)
        assert {name for name, text in was.items() if everything(bench).get(name) != text} == set()
    assert [bench.request(path).scheme for path in ("/owa/", "/ews/mrsproxy.svc")] == ["http", "https"]


def test_another_settings_publish_is_taken_back_to_the_one_before(make_bench: Callable[..., F5Bench]) -> None:
    """Ours by then: its undo leaves ours, not theirs."""
    bench = with_theirs(make_bench, REQUESTS)
    bench.publish(OFFLOADED)
    before = everything(bench)
    bench.settings |= {"resumption": False, "monitor_interval_s": 2, "monitor_timeout_s": 3}
    with bench.open() as provider:
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=OFFLOADED))
        for action, checks in ((step.do, step.until), (step.undo, step.undo_until)):
            perform(bench, provider, action)
            wait_true(provider, checks)
    after = everything(bench)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()


@pytest.mark.parametrize(
    ("profiles", "more", "told"),
    [
        (("/Common/tcp",), {}, "has no http profile, without which there are no paths: give it one."),
        (
            ("/Common/their-http", "/Common/tcp", "/Common/oneconnect"),
            {},
            "has a OneConnect profile, which gives one client's connection to a server to another",
        ),
        ((), {"rules": ["/Common/_sys_https_redirect"]}, "has iRules (/Common/_sys_https_redirect)"),
    ],
    ids=["no http", "OneConnect", "iRule"],
)
def test_what_does_not_go_with_us_is_told(
    make_bench: Callable[..., F5Bench], profiles: tuple[str, ...], more: dict[str, object], told: str
) -> None:
    """While planning; and nothing is changed by looking."""
    bench = with_theirs(make_bench, CONNECTIONS, *profiles, **more)
    before = everything(bench)
    (line,) = bench.blockers().splitlines()
    assert line.startswith(f"{THEIRS} {told}")
    assert everything(bench) == before


def test_a_policy_of_theirs_is_told(make_bench: Callable[..., F5Bench]) -> None:
    """It could send requests elsewhere."""
    bench = with_theirs(make_bench, CONNECTIONS)
    rules = [{"name": "x", "actions": [{"name": "0", "forward": True, "select": True, "pool": "/Common/their-pool"}]}]
    body = {"strategy": "/Common/first-match", "requires": ["http"], "legacy": True, "rules": rules}
    bench.device.foreign("ltm/policy", {"name": "/Common/their-policy", **body})
    bench.device.foreign("ltm/virtual", {"name": THEIRS, "policies": [{"name": "/Common/their-policy"}]})
    (line,) = bench.blockers().splitlines()
    assert line.startswith(f"{THEIRS} has other LTM policies (/Common/their-policy)")


def test_a_virtual_server_that_is_not_there_is_told(make_bench: Callable[..., F5Bench]) -> None:
    """While planning; gone in the middle of a run it is an error, and nothing of ours is left."""
    bench = with_theirs(make_bench, CONNECTIONS)
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        bench.device.remove("ltm/virtual", THEIRS)
        before = running(bench)
        with pytest.raises(Rejected) as caught:
            perform(bench, provider, step.do)
        assert (caught.value.code, caught.value.where) == ("not_found", THEIRS)
        assert running(bench) == before
    assert bench.blockers() == f"The virtual server {THEIRS} does not exist: correct attach."


def test_our_own_virtual_server_is_nothing_to_attach_to(make_bench: Callable[..., F5Bench]) -> None:
    """Attach names what is somebody else's."""
    bench = make_bench(CONNECTIONS)
    bench.publish()
    own = "/Common/lbsync_lb1_https"
    bench.settings |= {"attach": own, "probe_address": bench.running.address, "bind_address": None}
    assert f"{own} is lbsync's own virtual server: leave attach out." in bench.blockers()


def test_ours_lies_in_our_folder_and_theirs_where_it_was(make_bench: Callable[..., F5Bench]) -> None:
    """Their virtual server in Common, our objects in a partition and folder of their own."""
    bench = with_theirs(make_bench, REQUESTS)
    bench.device.foreign("auth/partition", {"name": "Mail"})
    bench.device.foreign("sys/folder", {"name": "/Mail/exchange"})
    bench.settings |= {"partition": "Mail", "folder": "exchange"}
    before = running(bench)
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=OFFLOADED))
        perform(bench, provider, step.do)
        wait_true(provider, step.until)
        made = {name.split(" ")[2] for name in running(bench) if name not in before} - {"/Mail/exchange/Drafts"}
        assert {name for name in made if not name.startswith("/Mail/")} == set()
        assert bench.request("/owa/").scheme == "http"
        perform(bench, provider, step.undo)
        left = running(bench)
    different = {name for name in before | left if before.get(name) != left.get(name)}
    assert {name for name in different if "Drafts" not in name and bench.first.fingerprint not in name} == set()


def test_what_others_use_of_ours_survives(make_bench: Callable[..., F5Bench]) -> None:
    """A pool of ours in somebody's virtual server: going back is refused with its name, and theirs serves on."""
    bench = with_theirs(make_bench, CONNECTIONS)
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        perform(bench, provider, step.do)
        body = {
            "destination": f"/Common/{bench.running.address}:{bench.running.http_port}",
            "pool": "/Common/lbsync_lb1_owa_bridge",
        }
        bench.device.foreign("ltm/virtual", {"name": "/Common/others", **body})
        with pytest.raises(Rejected) as caught:
            perform(bench, provider, step.undo)
        assert caught.value.code == "in_use"
        assert "/Common/others" in caught.value.message
        assert names(theirs(bench), "profiles") == ["/Common/tcp", "/Common/their-http", "/Common/their-tls"]
        bench.device.remove("ltm/virtual", "/Common/others")
        perform(bench, provider, step.undo)
    assert "/Common/lbsync_lb1_owa_bridge" not in bench.device.paths("ltm/pool")
