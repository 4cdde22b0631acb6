"""What can be wrong with a BIG-IP before anything is changed: one clear message each, with the way out, and nothing half done."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from lbsync.changes import InstallCertificate, Mark, Publish, SwitchCertificate
from lbsync.errors import ConfigError, Denied, Rejected, TargetError
from lbsync.lab.bigip.device import BigIp
from lbsync.services import ALL_SERVICES
from lbsync.testing.ca import TestCA
from lbsync.testing.ports import free_port
from lbsync_f5 import things
from lbsync_f5.files import key_pem
from tests.balancers.acts import drain, perform, rotate, seen_by, step_of
from tests.balancers.bench import BRIDGED, HOSTS, OFFLOADED
from tests.f5.acts import everything, nothing_left, running
from tests.f5.conftest import REQUESTS, F5Bench
from tests.longer import one_now

PREFIX = "/Common/lbsync_lb1_"


@pytest.fixture
def make_bench(make_small: Callable[..., F5Bench]) -> Callable[..., F5Bench]:
    """Few services do."""
    return make_small


@contextmanager
def all_as_before(bench: F5Bench) -> Generator[None]:
    """Within it no object changes, running or saved, and nothing is left lying about."""
    before = everything(bench)
    yield
    after = everything(bench)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()
    nothing_left(bench)


def failing(bench: F5Bench) -> TargetError:
    """What looking at the device raises."""
    with bench.open() as provider, pytest.raises(TargetError) as caught:
        provider.observe(ALL_SERVICES)
    return caught.value


def publishing(bench: F5Bench) -> TargetError:
    """What publishing all the same raises."""
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        with all_of_ours_as_before(bench), pytest.raises(TargetError) as caught:
            perform(bench, provider, step.do)
    nothing_left(bench)
    return caught.value


@contextmanager
def all_of_ours_as_before(bench: F5Bench) -> Generator[None]:
    """The same within an open provider, whose token is there."""
    before = everything(bench)
    yield
    after = everything(bench)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()


def one_blocker(bench: F5Bench) -> str:
    """The blocker, which is the only one."""
    told = bench.blockers()
    assert len(told.splitlines()) == 1, told
    return told


def test_a_sound_device_has_no_blocker(bench: F5Bench) -> None:
    """Nothing of ours is there yet, and nothing is in the way; published, what is there is ours."""
    assert bench.blockers() == ""
    bench.publish()
    assert bench.blockers() == ""


# --- before the device answers -------------------------------------------------------------------------------------------


def test_a_wrong_password_is_told_and_tried_once(bench: F5Bench) -> None:
    """Accounts lock out: one login, no second one, and neither the password nor the account's data is shown."""
    bench.settings["password"] = "not the password"
    with all_as_before(bench):
        error = failing(bench)
    assert (type(error), error.code) == (Denied, "unauthorized")
    assert "user, password or login_provider" in error.remedy
    assert "not the password" not in f"{error} {error!r}"
    assert [one.path for one in bench.device.log] == ["/mgmt/shared/authn/login"]


def test_the_token_limit_is_told_with_three_ways_out(bench: F5Bench) -> None:
    """Another program's tokens are in the way; ours are given back, however often a provider was opened."""
    bench.device.token_limit = 1
    for _ in range(3):
        assert bench.blockers() == ""
    bench.device.token_limit = 0
    error = failing(bench)
    assert (type(error), error.code) == (Rejected, "token_limit")
    assert "maximum active login tokens" in error.message
    assert "DELETE /mgmt/shared/authz/tokens/" in error.remedy
    nothing_left(bench)


@pytest.mark.parametrize("how", ["another CA", "another name"])
def test_nothing_is_sent_to_a_device_with_an_untrusted_certificate(bench: F5Bench, how: str) -> None:
    """Neither the login nor anything after it, whatever f5-sdk's own default is."""
    if how == "another CA":
        other = bench.running.owned / "other.pem"
        other.write_bytes(TestCA.new("somebody else's").root_pem)
        bench.settings["ca_file"] = str(other)
    else:
        bench.settings["server_name"] = "bigip99.lab.local"
    error = failing(bench)
    assert (type(error), error.code, error.state) == (Rejected, "untrusted", "nothing was sent: no password, no key")
    assert "ca_file" in error.remedy
    assert "server_name" in error.remedy
    assert bench.device.log == ()


def test_a_device_that_is_not_there_is_told_with_its_address(bench: F5Bench) -> None:
    """Nobody listens at the port."""
    bench.settings["port"] = free_port("127.0.0.1")
    error = failing(bench)
    assert f"127.0.0.1:{bench.settings['port']}" in error.where


# --- what the plan sees --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("12.1.2", "TMOS 12.1.2 is too old: 13.0 is the oldest that is supported. Upgrade the device."),
        ("15", "The device does not tell its TMOS version (15): this is no BIG-IP that lbsync knows."),
    ],
)
def test_an_old_or_unknown_version_is_told(make_bench: Callable[..., F5Bench], version: str, told: str) -> None:
    """What it would be told was never tried there."""
    bench = make_bench(version=version)
    with all_as_before(bench):
        assert one_blocker(bench) == told


def test_a_standby_device_is_told_and_never_changed(bench: F5Bench) -> None:
    """Its configuration would be overwritten by the next sync: a blocker, and a refusal of every effect."""
    with bench.open() as provider:
        step = step_of(provider, InstallCertificate(leaf=bench.first.fingerprint))
        bench.device.failover_state = "standby"
        with all_of_ours_as_before(bench), pytest.raises(Rejected) as caught:
            perform(bench, provider, step.do)
    assert caught.value.code == "standby"
    assert "nothing was changed" in caught.value.state
    assert "hosts" in caught.value.remedy
    with all_as_before(bench):
        assert "is standby: changes are made on the active device only" in one_blocker(bench)


def test_a_missing_partition_is_told_with_its_command(bench: F5Bench) -> None:
    """Nothing is created by looking."""
    bench.settings["partition"] = "Exchange"
    with all_as_before(bench):
        assert "`tmsh create auth partition Exchange`" in one_blocker(bench)
    bench.device.foreign("auth/partition", {"name": "Exchange"})
    assert bench.blockers() == ""


def test_a_missing_folder_is_told_with_its_command(bench: F5Bench) -> None:
    """The same of a folder; both there, everything of ours lies in it and goes again."""
    bench.settings["folder"] = "mail"
    with all_as_before(bench):
        assert "`tmsh create sys folder /Common/mail`" in one_blocker(bench)
    bench.device.foreign("sys/folder", {"name": "/Common/mail"})
    assert bench.blockers() == ""
    bench.publish()
    assert bench.request("/owa/").status == 200
    assert all(
        path.startswith("/Common/mail/")
        for path in (*bench.device.paths("ltm/virtual"), *bench.device.paths("ltm/pool"))
    )


@pytest.mark.parametrize(
    ("collection", "name", "more"),
    [
        ("ltm/pool", "owa_bridge", {"description": "theirs"}),
        ("ltm/virtual", "https", {"destination": "/Common/192.0.2.77:443", "disabled": True}),
        ("ltm/profile/http", "http", {"defaultsFrom": "/Common/http"}),
        ("ltm/profile/client-ssl", "client-ssl", {"defaultsFrom": "/Common/clientssl"}),
        ("ltm/monitor/http", "owa_offload", {"defaultsFrom": "/Common/http"}),
    ],
)
def test_a_foreign_object_of_our_name_is_told_and_stays(
    bench: F5Bench, collection: str, name: str, more: dict[str, object]
) -> None:
    """A blocker names it; publishing all the same is refused, and neither it nor anything else changes."""
    if collection == "ltm/virtual":
        more = {**more, "destination": f"/Common/127.0.0.1:{free_port('127.0.0.1')}"}
    bench.device.foreign(collection, {"name": f"{PREFIX}{name}", **more})
    told = one_blocker(bench)
    assert f"{collection} {PREFIX}{name} is there already and does not bear lbsync's mark for lb1" in told
    assert "another partition, folder or balancer name" in told
    error = publishing(bench)
    assert (error.code, error.where) == ("foreign", f"{PREFIX}{name}")


@pytest.mark.parametrize(
    ("collection", "name", "body"),
    [
        ("ltm/pool", f"{PREFIX}owa_bridge", {}),
        ("ltm/profile/fastl4", f"{PREFIX}http", {"defaultsFrom": "/Common/fastL4"}),
        ("ltm/node", "/Common/127.0.0.1", {"address": "127.0.0.1"}),
    ],
)
def test_a_name_that_is_taken_in_the_middle_is_nobodys_loss(
    bench: F5Bench, collection: str, name: str, body: dict[str, object]
) -> None:
    """Somebody makes it between our look and our transaction: theirs stays, and nothing of ours is there."""
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        before = running(bench)
        changed = bench.device.running.changed

        def somebody() -> None:
            changed.clear()
            bench.device.foreign(collection, {"name": name, **body})

        changed.append(somebody)
        with pytest.raises(Rejected) as caught:
            perform(bench, provider, step.do)
        left = running(bench)
        theirs = {path for path in left if left[path] != before.get(path)}
        assert theirs == {f"running {collection} {name}"}
        assert set(before) <= set(left)
    assert caught.value.message
    nothing_left(bench)


def test_a_destination_of_another_virtual_server_is_told(bench: F5Bench) -> None:
    """In whatever partition it lies; publishing all the same is refused by the device and leaves nothing."""
    bench.device.foreign("auth/partition", {"name": "Other"})
    place = f"{bench.running.address}:{bench.running.https_port}"
    body = {"name": "/Other/theirs", "destination": f"/Other/{place}"}
    bench.device.foreign("ltm/virtual", body)
    told = one_blocker(bench)
    assert f"The virtual server /Other/theirs has the address {place} already" in told
    assert 'attach = "/Other/theirs"' in told
    error = publishing(bench)
    assert "illegally shares destination address" in error.message


def test_an_address_that_is_a_name_is_refused_before_anything_is_opened(bench: F5Bench) -> None:
    """A BIG-IP's nodes are addresses."""
    members = (bench.spec.members[0].model_copy(update={"address": "ex01.contoso.test"}), bench.spec.members[1])
    bench.spec = bench.spec.model_copy(update={"members": members})
    with pytest.raises(ConfigError, match="needs the address of EX01, not the name ex01") as caught, bench.open():
        raise AssertionError("it was opened")
    assert "to its IP address" in caught.value.remedy
    assert bench.device.log == ()


def test_servers_verified_by_several_names_are_refused_before_anything_is_opened(bench: F5Bench) -> None:
    """A server-ssl profile verifies one name for all."""
    members = (bench.spec.members[0].model_copy(update={"tls_name": "ex01.contoso.test"}), bench.spec.members[1])
    bench.spec = bench.spec.model_copy(update={"members": members})
    with pytest.raises(ConfigError, match=r"ex\.contoso\.test, ex01\.contoso\.test") as caught, bench.open():
        raise AssertionError("it was opened")
    assert "same tls_name" in caught.value.remedy
    assert bench.device.log == ()


def test_another_runs_marker_is_respected(bench: F5Bench) -> None:
    """Leaving ours is refused, removing ours leaves theirs."""
    with bench.open() as provider:
        bench.apply(provider, Mark(marker="run one", present=True))
        with pytest.raises(Rejected, match="run one") as caught:
            bench.apply(provider, Mark(marker="run two", present=True))
        assert caught.value.code == "marker"
        bench.apply(provider, Mark(marker="run two", present=False))
        assert seen_by(provider).marker == "run one"


# --- certificates --------------------------------------------------------------------------------------------------------


def test_another_certificate_than_was_asked_for_is_not_written(bench: F5Bench) -> None:
    """The source changed between plan and apply."""
    bench.materials.bundles[bench.first.fingerprint] = bench.second
    with all_as_before(bench), bench.open() as provider, pytest.raises(Rejected) as caught:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
    assert caught.value.code == "other_certificate"


def test_a_key_that_does_not_match_is_refused_and_the_old_certificate_served_on(published: F5Bench) -> None:
    """Somebody exchanged the key's content: the device refuses the change of the profile, and says so."""
    leaf = published.second.fingerprint
    with published.open() as provider:
        published.apply(provider, InstallCertificate(leaf=leaf))
        exchanged(published.device, f"{PREFIX}{leaf}.key", key_pem(published.first))
        with all_of_ours_as_before(published), pytest.raises(Rejected) as caught:
            published.apply(provider, SwitchCertificate(before=published.first.fingerprint, after=leaf))
    assert caught.value.code == "01070317"
    assert "install the certificate again" in caught.value.remedy
    assert published.served() == published.first.fingerprint


def exchanged(device: BigIp, path: str, content: bytes) -> None:
    """Let an administrator put another content into a file object."""
    device.remove(things.SSL_KEY, path)
    device.foreign_file(things.SSL_KEY, path, content)


@pytest.mark.parametrize("there", one_now([(one,) for one in [("key", "chain"), ("key",), ("crt",), ("key", "crt")]]))
def test_a_certificate_half_installed_is_completed(bench: F5Bench, there: tuple[str, ...]) -> None:
    """A run was killed between two objects: what is missing is made, and it is served."""
    leaf = bench.second.fingerprint
    bench.publish()
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=leaf))
        whole = running(bench)
        paths = {
            "crt": (things.SSL_CERT, f"{PREFIX}{leaf}.crt"),
            "chain": (things.SSL_CERT, f"{PREFIX}{leaf}.chain.crt"),
            "key": (things.SSL_KEY, f"{PREFIX}{leaf}.key"),
        }
        for kind, (collection, path) in paths.items():
            if kind not in there:
                bench.device.remove(collection, path)
        assert (leaf in seen_by(provider).installed) is (there == ("key", "crt"))
        rotate(bench, provider, bench.first, bench.second)
        if there != ("key", "crt"):
            assert {path for path in running(bench) if path not in whole} == set()
    assert bench.served() == leaf


def test_a_certificate_that_is_gone_is_no_certificate_to_switch_to(published: F5Bench) -> None:
    """Installed, then lost by a reboot, since only a switch saves it: told, and the old one is served on."""
    leaf = published.second.fingerprint
    with published.open() as provider:
        published.apply(provider, InstallCertificate(leaf=leaf))
        step = step_of(provider, SwitchCertificate(before=published.first.fingerprint, after=leaf))
        published.device.reload_saved()
        with all_of_ours_as_before(published), pytest.raises(Rejected) as caught:
            perform(published, provider, step.do)
        assert caught.value.remedy
        assert leaf not in seen_by(provider).installed
    assert published.served() == published.first.fingerprint


def test_a_served_certificate_is_never_removed(published: F5Bench) -> None:
    """The undo of an installation keeps what has come to be served, here or by somebody's own profile."""
    leaf = published.first.fingerprint
    with published.open() as provider:
        facts = seen_by(provider).model_copy(update={"installed": ()})
        (step,) = provider.lower(InstallCertificate(leaf=leaf), facts)
        assert "it is served" in perform(published, provider, step.undo).summary
        published.apply(provider, InstallCertificate(leaf=published.second.fingerprint))
        other = published.second.fingerprint
        chain = [{"name": "x", "cert": f"{PREFIX}{other}.crt", "key": f"{PREFIX}{other}.key"}]
        published.device.foreign("ltm/profile/client-ssl", {"name": "/Common/theirs", "certKeyChain": chain})
        (step,) = provider.lower(InstallCertificate(leaf=other), facts)
        before = running(published)
        assert "is in use" in perform(published, provider, step.undo).summary
        assert running(published) == before
    assert published.served() == leaf


# --- somebody else uses what is ours -------------------------------------------------------------------------------------


def test_a_policy_of_ours_on_their_virtual_server_keeps_everything_there(make_bench: Callable[..., F5Bench]) -> None:
    """Taking the publication back is refused by the device, with the object that is in the way; freed, it works."""
    bench = make_bench(REQUESTS)
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        before = running(bench)
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=OFFLOADED))
        perform(bench, provider, step.do)
        (policy,) = bench.device.paths("ltm/policy")
        bench.device.foreign(
            "ltm/virtual",
            {
                "name": "/Common/theirs",
                "destination": f"/Common/127.0.0.1:{free_port('127.0.0.1')}",
                "profiles": [{"name": "/Common/http"}, {"name": "/Common/tcp"}],
                "policies": [{"name": policy}],
            },
        )
        with pytest.raises(Rejected) as caught:
            perform(bench, provider, step.undo)
        assert caught.value.code == "in_use"
        assert "/Common/theirs" in caught.value.message
        assert "take them out of use" in caught.value.remedy
        assert policy in bench.device.paths("ltm/policy")
        bench.device.remove("ltm/virtual", "/Common/theirs")
        perform(bench, provider, step.undo)
        left = running(bench)
        assert {name for name in before | left if before.get(name) != left.get(name)} == set()
    nothing_left(bench)


def test_a_node_of_ours_in_their_pool_stays(bench: F5Bench) -> None:
    """Everything else of ours goes; the node is theirs by use."""
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        perform(bench, provider, step.do)
        (node,) = bench.device.paths("ltm/node")
        bench.device.foreign("ltm/pool", {"name": "/Common/theirs", "members": [{"name": f"{node}:25"}]})
        perform(bench, provider, step.undo)
    assert bench.device.paths("ltm/node") == (node,)
    assert bench.device.paths("ltm/pool") == ("/Common/theirs",)
    assert bench.device.paths("ltm/virtual") == ()


def test_a_drain_of_a_server_forced_offline_is_refused(published: F5Bench) -> None:
    """Somebody set it: it is told, and neither drained nor put back."""
    pool = f"{PREFIX}owa_bridge"
    found = published.device.object("ltm/pool", pool)
    assert found is not None
    forced = {"state": "user-down", "session": "user-disabled"}
    port = f":{published.spec.members[0].https_port}"
    members = [{"name": one["fullPath"]} | (forced if one["name"].endswith(port) else {}) for one in found["members"]]
    published.device.foreign("ltm/pool", {"name": pool, "members": members})
    with published.open() as provider, all_of_ours_as_before(published), pytest.raises(Rejected) as caught:
        perform(published, provider, step_of(provider, drain("EX01")).do)
    assert caught.value.code == "maintenance"


def test_the_certificate_file_names_are_those_of_the_published_hosts(published: F5Bench) -> None:
    """A client that asks for another name gets the same certificate, since it is the default."""
    with published.connected(HOSTS[1]) as connection:
        assert connection.getpeercert()
