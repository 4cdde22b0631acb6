"""From the farm and the settings to objects: what each holds, how it is called, and what a BIG-IP cannot have."""

from __future__ import annotations

from typing import Any

import pytest

from lbsync.errors import ConfigError
from lbsync.kit.pools import pools_of
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import Member
from lbsync.testing.ca import TestCA
from lbsync_f5 import plugin, things
from lbsync_f5.files import chain_pem, key_pem, leaf_pem
from lbsync_f5.names import Names, draft_of, encoded, leaf_of, split
from lbsync_f5.project import projected
from lbsync_f5.render import member_name, names_of, node, profiles_of, refuse_unsuited, render, server_ca_digest
from lbsync_f5.settings import F5Settings
from lbsync_f5.things import Thing, digest_of, mark_of, structure_of
from lbsync_f5.wire import address_of, connections, pool_members
from tests.f5.samples import APART, ATTACHED, CONNECTIONS, LEAF, NAME, REQUESTS, SPEC, WAYS, settings, shown

every_way = pytest.mark.parametrize("way", list(WAYS.values()), ids=list(WAYS))


def bodies(way: F5Settings, collection: str) -> dict[str, dict[str, Any]]:
    """Rendered properties by the end of the object's name."""
    return {
        thing.path.rpartition("lb1_")[2]: dict(thing.body)
        for thing in render(SPEC, way)
        if thing.collection == collection
    }


@every_way
def test_every_object_bears_our_mark_and_reads_back_as_written(way: F5Settings) -> None:
    """Whatever a device adds, however it writes numbers, and in whatever order it lists things."""
    for thing in render(SPEC, way):
        assert mark_of(thing.body, "lb1") == thing.digest
        assert mark_of(thing.body, "lb2") is None
        found = projected(thing.collection, shown(thing))
        assert (found.path, found.digest) == (thing.path, thing.digest)
        assert found.body["description"] == thing.body["description"]


@every_way
def test_the_same_wish_gives_the_same_objects(way: F5Settings) -> None:
    """In an order in which they can be made; another name or address gives others."""
    made = render(SPEC, way)
    assert made == render(SPEC.model_copy(), way)
    order = [things.ORDER.index(thing.collection) for thing in made]
    assert order == sorted(order)
    assert structure_of(made) != structure_of(render(SPEC.model_copy(update={"hosts": ("other.test",)}), way))
    assert structure_of([]) is None


def test_pools_are_those_of_f5s_template() -> None:
    """One for each service and mode, least connections, a slow start; MRSProxy has none in clear."""
    pools = bodies(CONNECTIONS, things.POOL)
    twins = {f"{service}_bridge_twin" for service in SERVICES}
    assert set(pools) == {f"{service}_{mode}" for service in SERVICES for mode in Mode} - {"mrsproxy_offload"} | twins
    for twin in twins:  # for the other side of a switch
        same = {**pools[twin.removesuffix("_twin")], "description": pools[twin]["description"]}
        assert pools[twin] == same
    for name, pool in pools.items():
        assert (pool["loadBalancingMode"], pool["slowRampTime"], pool["serviceDownAction"]) == (
            "least-connections-member", 300, "none",
        )  # fmt: skip
        assert pool["monitor"] == f"/Common/lbsync_lb1_{name.removesuffix('_twin')}"
    assert pools["owa_offload"]["members"] == [
        {"address": "10.0.0.11", "port": 80}, {"address": "10.0.0.12", "port": 8080}, {"address": "fd00::3", "port": 80},
    ]  # fmt: skip
    assert [one["port"] for one in pools["owa_bridge"]["members"]] == [443, 8443, 443]
    assert pools_of([Service.MRSPROXY, Service.OWA]) == (
        (Service.OWA, Mode.OFFLOAD), (Service.OWA, Mode.BRIDGE), (Service.MRSPROXY, Mode.BRIDGE),
    )  # fmt: skip


def test_monitors_ask_for_each_services_own_page() -> None:
    """In clear or over TLS like their pool, by the published name, with line ends as a device reads them."""
    plain, secure = bodies(CONNECTIONS, things.MONITOR_HTTP), bodies(CONNECTIONS, things.MONITOR_HTTPS)
    assert plain["owa_offload"]["send"] == (
        r"GET /owa/healthcheck.htm HTTP/1.1\r\nHost: mail.contoso.test\r\nConnection: Close\r\n\r\n"
    )
    assert {one["recv"] for one in (*plain.values(), *secure.values())} == {"200 OK"}
    assert (secure["ews_bridge"]["interval"], secure["ews_bridge"]["timeout"]) == (10, 31)
    assert secure["mrsproxy_bridge"]["send"].startswith("GET /ews/healthcheck.htm ")
    assert {one["defaultsFrom"] for one in plain.values()} == {"/Common/http"}
    assert {one["defaultsFrom"] for one in secure.values()} == {"/Common/https"}


@every_way
def test_servers_are_verified(way: F5Settings) -> None:
    """By their name and their CA; what does not verify, or is over, is dropped."""
    (profile,) = bodies(way, things.SERVER_SSL).values()
    digest = server_ca_digest(SPEC)
    assert profile["caFile"] == f"/Common/lbsync_lb1_server-ca_{digest}.crt"
    assert (profile["peerCertMode"], profile["authenticateName"], profile["serverName"]) == ("require", NAME, NAME)
    assert (profile["expireCertResponseControl"], profile["untrustedCertResponseControl"]) == ("drop", "drop")


@pytest.mark.parametrize(("changes", "cache"), [({}, 262144), ({"resumption": False}, 0)])
def test_clients_get_what_the_settings_say(changes: dict[str, object], cache: int) -> None:
    """TLS 1.2 by its ciphers, sessions; the certificate is no part of the object."""
    (profile,) = bodies(settings(**changes), things.CLIENT_SSL).values()
    assert profile["ciphers"] == "DEFAULT:!SSLv3:!TLSv1:!TLSv1_1"
    assert (profile["cacheSize"], profile["sessionTicket"], profile["sniDefault"]) == (cache, "disabled", "true")
    assert not {"certKeyChain", "tmOptions"} & set(profile)


def test_connections_are_shared_only_where_nobody_logs_on_by_them() -> None:
    """OneConnect goes with ntlm = unused alone, and keeps idle connections for moments, so that a drain ends."""
    assert bodies(CONNECTIONS, things.ONE_CONNECT) == {}
    (profile,) = bodies(REQUESTS, things.ONE_CONNECT).values()
    assert (profile["sourceMask"], profile["idleTimeoutOverride"]) == ("any", "2")
    for way, wanted in ((CONNECTIONS, False), (REQUESTS, True)):
        names = names_of(SPEC, way)
        listed: list[Any] = profiles_of(names, way)
        assert (names.own("one-connect") in {one["name"] for one in listed}) is wanted


def test_virtual_servers_are_those_of_the_settings() -> None:
    """TLS, the redirect, MRSProxy's own; none where it attaches; no redirect for port 0."""
    assert {name: one["destination"] for name, one in bodies(APART, things.VIRTUAL).items()} == {
        "https": "/Common/192.0.2.10:443",
        "http": "/Common/192.0.2.10:80",
        "mrsproxy_https": "/Common/192.0.2.11:443",
    }
    assert bodies(ATTACHED, things.VIRTUAL) == {}
    assert set(bodies(settings(http_port=0), things.VIRTUAL)) == {"https"}
    redirect = bodies(CONNECTIONS, things.VIRTUAL)["http"]
    assert redirect["rules"] == ["/Common/_sys_https_redirect"]
    assert [one["name"] for one in redirect["profiles"]] == ["/Common/http", "/Common/tcp"]
    apart = settings(attach="/Common/x", probe_address="192.0.2.10", mrsproxy_host="m.test", mrsproxy_address="fd00::9")
    assert {name: one["destination"] for name, one in bodies(apart, things.VIRTUAL).items()} == {
        "mrsproxy_https": "/Common/fd00::9.443"
    }


@pytest.mark.parametrize(
    ("address", "destination", "mask"),
    [
        ("192.0.2.10", "/Exchange/192.0.2.10:8443", "255.255.255.255"),
        ("fd00:0::10", "/Exchange/fd00::10.8443", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
)
def test_an_address_of_either_kind_is_written_as_a_device_has_it(address: str, destination: str, mask: str) -> None:
    """IPv6 is parted from its port by a dot; the mask is that of one address."""
    body = bodies(settings(bind_address=address, https_port=8443, partition="Exchange"), things.VIRTUAL)["https"]
    assert (body["destination"], body["mask"], body["ipProtocol"]) == (destination, mask, "tcp")


@pytest.mark.parametrize(
    ("snat", "written"),
    [
        ("automap", {"type": "automap"}),
        ("none", {"type": "none"}),
        ("/Common/pool", {"type": "snat", "pool": "/Common/pool"}),
    ],
)
def test_source_addresses_are_translated_as_set(snat: str, written: dict[str, str]) -> None:
    """Automap, nothing, or a pool; and it is read back so."""
    (way, found) = settings(snat=snat), bodies(settings(snat=snat), things.VIRTUAL)["https"]
    assert found["sourceAddressTranslation"] == written
    (virtual,) = (one for one in render(SPEC, way) if one.path.endswith("_https"))
    item = shown(virtual) | {"sourceAddressTranslation": {**written, "poolReference": {"link": "x"}}}
    assert projected(things.VIRTUAL, item).digest == virtual.digest


def test_vlans_are_limited_only_where_set() -> None:
    """None means all of them: so a limit can be taken away again."""
    limited = settings(vlans=("/Common/internal", "/Common/external"))
    assert bodies(CONNECTIONS, things.VIRTUAL)["https"]["vlans"] == []
    assert bodies(limited, things.VIRTUAL)["https"]["vlans"] == ["/Common/external", "/Common/internal"]
    for thing in render(SPEC, limited):
        assert projected(thing.collection, shown(thing)).digest == thing.digest


# --- names ------------------------------------------------------------------------------------------------------------


def test_everything_of_ours_is_called_by_the_balancers_name() -> None:
    """In the partition, or a folder of it; certificates by their fingerprint, too."""
    plain, below = Names("Common", None, "lb1"), Names("Exchange", "mail", "lb1")
    assert (plain.place, below.place) == ("/Common", "/Exchange/mail")
    assert plain.pool(Service.OWA, Mode.OFFLOAD) == "/Common/lbsync_lb1_owa_offload"
    assert (below.virtual, below.redirect, below.mrsproxy) == (
        "/Exchange/mail/lbsync_lb1_https", "/Exchange/mail/lbsync_lb1_http", "/Exchange/mail/lbsync_lb1_mrsproxy_https",
    )  # fmt: skip
    assert (plain.client_ssl, plain.server_ssl, plain.marker) == (
        "/Common/lbsync_lb1_client-ssl", "/Common/lbsync_lb1_server-ssl", "/Common/lbsync_lb1_run-marker",
    )  # fmt: skip
    assert (below.key(LEAF), below.certificate(LEAF), below.chain(LEAF)) == (
        f"/Exchange/mail/lbsync_lb1_{LEAF}.key", f"/Exchange/mail/lbsync_lb1_{LEAF}.crt",
        f"/Exchange/mail/lbsync_lb1_{LEAF}.chain.crt",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "leaf"),
    [
        (f"/Common/lbsync_lb1_{'a' * 64}.crt", "a" * 64),
        (f"/Exchange/mail/lbsync_lb1_{'0' * 64}.crt", "0" * 64),
        (f"/Common/lbsync_lb1_{'a' * 64}.chain.crt", None),
        (f"/Common/lbsync_lb1_{'a' * 64}.key", None),
        (f"/Common/lbsync_lb1_{'a' * 63}.crt", None),
        (f"/Common/lbsync_lb1_{'A' * 64}.crt", None),
        (f"/Common/lbsync_lb1_{'a' * 64}.crt\n", None),
        (f"/Common/lbsync_{'a' * 64}.crt", None),
        ("/Common/default.crt", None),
        ("", None),
    ],
)
def test_a_leaf_is_read_from_its_objects_name(path: str, leaf: str | None) -> None:
    """Of the certificate alone, letter by letter."""
    assert leaf_of(path) == leaf


@pytest.mark.parametrize(
    ("path", "parts", "draft", "url", "post"),
    [
        (
            "/Common/p", ("Common", None, "p"), "/Common/Drafts/p", "~Common~p", {"name": "p", "partition": "Common"},
        ),
        (
            "/E/mail/p", ("E", "mail", "p"), "/E/mail/Drafts/p", "~E~mail~p",
            {"name": "p", "partition": "E", "subPath": "mail"},
        ),
    ],
)  # fmt: skip
def test_a_full_path_in_every_form_that_rest_wants(
    path: str, parts: tuple[str, str | None, str], draft: str, url: str, post: dict[str, str]
) -> None:
    """Parts, draft, URL, and a POST's three properties."""
    assert (split(path), draft_of(path), encoded(path), address_of(path)) == (parts, draft, url, post)


@pytest.mark.parametrize(
    ("node_path", "address", "port", "name"),
    [
        ("/Common/10.0.0.11", "10.0.0.11", 80, "/Common/10.0.0.11:80"),
        ("/Common/fd00::3", "fd00::3", 443, "/Common/fd00::3.443"),
        ("/Common/ex01", "10.0.0.11", 80, "/Common/ex01:80"),
        ("/Common/ex03", "fd00::3", 443, "/Common/ex03:443"),
    ],
)
def test_a_member_is_called_by_its_node_and_port(node_path: str, address: str, port: int, name: str) -> None:
    """Somebody's name of a node is kept; the port is read back from it."""
    assert member_name(node_path, port) == name
    (member,) = pool_members({"members": [{"fullPath": name, "address": address}]})
    assert (member.address, member.port) == (address, port)


def test_a_node_of_ours_is_called_by_its_address() -> None:
    """In our partition, with our mark."""
    made = node("lb1", settings(partition="Exchange", folder="mail"), "fd00::3")
    assert (made.path, made.body["address"]) == ("/Exchange/fd00::3", "fd00::3")
    assert mark_of(made.body, "lb1") == made.digest
    assert projected(things.NODE, shown(made)).digest == made.digest


# --- what cannot be ---------------------------------------------------------------------------------------------------


def test_members_that_a_bigip_cannot_have_are_refused() -> None:
    """Known by name only; or verified by several names, of which a pool has one. Before anything is opened."""
    named = SPEC.model_copy(update={"members": (Member(name="EX09", address="ex09.contoso.test", tls_name=NAME),)})
    with pytest.raises(ConfigError, match="needs the address of EX09, not the name"):
        refuse_unsuited(named)
    other = SPEC.members[1].model_copy(update={"tls_name": "ex02.contoso.test"})
    several = SPEC.model_copy(update={"members": (SPEC.members[0], other)})
    with pytest.raises(ConfigError, match=r"these are several: ex02\.contoso\.test, mail\.contoso\.test") as caught:
        refuse_unsuited(several)
    assert "tls_name" in caught.value.remedy
    for spec in (named, several):
        with pytest.raises(ConfigError), plugin.open(spec, CONNECTIONS.model_dump()):
            pass
    refuse_unsuited(SPEC)


# --- marks ------------------------------------------------------------------------------------------------------------


def test_a_mark_tells_ours_from_everybody_elses() -> None:
    """Exactly ours: no other balancer's, nothing around it."""
    digest = "0" * 32
    assert mark_of({"description": f"lbsync lb1 {digest}"}, "lb1") == digest
    for text in (f"lbsync lb2 {digest}", f"lbsync lb1 {digest} x", f" lbsync lb1 {digest}", "lbsync lb1 0", "", None):
        assert mark_of({"description": text}, "lb1") is None
    assert mark_of({}, "lb1") is None


def test_what_a_rotation_or_a_change_of_modes_sets_is_no_structure() -> None:
    """Certificate and policies may change under the same digest; nothing else may. 300 is "300", and true is "true"."""
    assert digest_of(things.CLIENT_SSL, {"a": 1, "certKeyChain": ["x"]}) == digest_of(things.CLIENT_SSL, {"a": "1"})
    assert digest_of(things.VIRTUAL, {"a": True, "policies": ["x"]}) == digest_of(things.VIRTUAL, {"a": "true"})
    assert digest_of(things.POOL, {"policies": ["x"]}) != digest_of(things.POOL, {})
    assert digest_of(things.POOL, {"a": [1]}) != digest_of(things.POOL, {"a": [2]})
    assert digest_of(things.POOL, {"a": 1}) != digest_of(things.HTTP, {"a": 1})
    thing = Thing(collection=things.POOL, path="/Common/p", body={"description": "x", "a": 1})
    assert thing.digest == digest_of(things.POOL, {"a": 1})


def test_a_certificate_is_three_files() -> None:
    """The key in the form that every version reads, the leaf alone, the intermediates; none for a leaf without."""
    ca = TestCA.new()
    for bundle, label in (
        (ca.issue([NAME], key="ec256"), b"EC PRIVATE KEY"),
        (ca.issue([NAME], key="rsa2048"), b"RSA PRIVATE KEY"),
    ):
        assert label in key_pem(bundle)
        assert leaf_pem(bundle).count(b"BEGIN CERTIFICATE") == 1
        assert chain_pem(bundle) == ca.chain_pem
    assert chain_pem(TestCA.new(intermediate=False).issue([NAME], key="ec256")) == b""


def test_connections_are_counted_by_address_and_port() -> None:
    """As statistics have them; a member in several entries is counted together, odd ones as none."""

    def entry(address: str, port: int, current: object) -> dict[str, Any]:
        values = {"addr": {"description": address}, "port": {"value": port}, "serverside.curConns": current}
        return {"nestedStats": {"entries": values}}

    stats = {
        "entries": {
            "1": entry("10.0.0.11", 80, {"value": 3}),
            "2": entry("10.0.0.11", 80, {"value": 4}),
            "3": entry("fd00::3", 443, {"value": 0}),
            "4": entry("10.0.0.12", 80, "?"),
            "5": "?",
        }
    }
    found = connections(stats)
    assert found["10.0.0.11", 80] == 7
    assert (found["fd00::3", 443], found["10.0.0.12", 80]) == (0, 0)
    assert connections({}) == {}
