"""The text of our configuration: what it depends on, and what each version of NGINX is given."""

from __future__ import annotations

import pytest

from lbsync.errors import ConfigError
from lbsync.kit.seal import body_of, seal, seal_of
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import BalancerSpec, Member
from lbsync_nginx import plugin
from lbsync_nginx.layout import CA, Layout, main_file
from lbsync_nginx.layout import HTTP as HTTP_FILE
from lbsync_nginx.layout import STREAM as STREAM_FILE
from lbsync_nginx.places import placed_by
from lbsync_nginx.render import refuse_bad_names, render, structure_of
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import NO_LEAF, NginxState, state_of
from lbsync_nginx.version import Version
from tests.nginx.samples import (
    BRIDGED,
    HTTP,
    LEAF,
    NAME,
    OFFLOADED,
    OLD,
    OTHER,
    SPEC,
    STREAM,
    V1_26,
    V1_27_4,
    V1_29_7,
    VARIABLE,
    WAYS,
    text_of,
)

every_way = pytest.mark.parametrize("way", list(WAYS.values()), ids=list(WAYS))


@every_way
def test_the_structure_leaves_the_state_out(way: NginxSettings) -> None:
    """Whichever leaf, modes and drained members: a publish is due for what stands around them."""
    base = structure_of(render(SPEC, way, OLD))
    assert base
    for modes, down in ((BRIDGED, ()), (OFFLOADED, ("EX01", "EX03"))):
        for leaf in (LEAF, OTHER):
            files = render(SPEC, way, OLD, NginxState(structure="", leaf=leaf, modes=modes, down=down))
            assert structure_of(files) == base
            found = state_of(files[main_file(way)])
            assert found is not None
            assert (found.structure, found.down) == (base, down)


CHANGES: list[tuple[BalancerSpec, dict[str, object]]] = [
    (SPEC.model_copy(update={"hosts": ("other.contoso.test",)}), {}),
    (SPEC.model_copy(update={"members": SPEC.members[:1]}), {}),
    (SPEC.model_copy(update={"members": (SPEC.members[0], SPEC.members[1].model_copy(update={"http_port": 81}))}), {}),
    (SPEC.model_copy(update={"services": (Service.OWA,)}), {}),
    (SPEC.model_copy(update={"server_ca_pem": "other"}), {}),
    (SPEC, {"resumption": False}),
    (SPEC, {"http_port": 0}),
    (SPEC, {"http_port": 8080}),
    (SPEC, {"https_port": 8443}),
    (SPEC, {"bind_address": "192.0.2.11"}),
    (SPEC, {"status_port": 9}),
    (SPEC, {"tls_min": "TLSv1.3"}),
    (SPEC, {"long_request_s": 1900}),
    (SPEC, {"directory": "/srv/lbsync"}),
    (SPEC, {"public_https_port": 444}),
]


@every_way
def test_the_structure_holds_everything_else(way: NginxSettings) -> None:
    """A server, a name, a port, a setting: each makes another one."""
    found = [structure_of(render(SPEC, way, OLD))]
    for spec, changes in CHANGES:
        found.append(structure_of(render(spec, NginxSettings.model_validate(way.model_dump() | changes), OLD)))
    assert len(set(found)) == len(found)


def test_each_way_of_proxying_has_a_structure_of_its_own() -> None:
    """And so has each version that is written for in another way."""
    ways = {structure_of(render(SPEC, way, OLD)) for way in WAYS.values()}
    versions = {structure_of(render(SPEC, HTTP, version)) for version in (OLD, V1_26, V1_27_4, V1_29_7)}
    assert (len(ways), len(versions)) == (3, 4)


@every_way
def test_there_is_no_structure_without_a_listener_or_the_ca(way: NginxSettings) -> None:
    """As a killed run may leave it."""
    files = render(SPEC, way, OLD)
    assert structure_of({**files, CA: None}) is None
    assert structure_of({**files, main_file(way): None}) is None
    assert structure_of({**files, main_file(way): seal("# nothing\n")}) is None
    assert structure_of(dict.fromkeys(files)) is None


@every_way
def test_every_file_is_sealed(way: NginxSettings) -> None:
    """What is not needed is absent; the CA's text ends in one line end."""
    files = render(SPEC, way, OLD)
    assert {seal_of(text) for text in files.values()} <= {"intact", "absent"}
    assert (files[STREAM_FILE] is None) is (way is not STREAM)
    assert body_of(files[CA] or "") == SPEC.server_ca_pem


def test_a_stream_keeps_only_the_redirect_in_http() -> None:
    """And not even that without a port for it."""
    assert "upstream" not in (render(SPEC, STREAM, OLD)[HTTP_FILE] or "")
    bare = NginxSettings.model_validate(STREAM.model_dump() | {"http_port": 0})
    assert render(SPEC, bare, OLD)[HTTP_FILE] is None


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        (Version((1, 22, 0)), set()),
        (Version((1, 25, 0)), set()),
        (Version((1, 25, 1)), {"http2 off;"}),
        (Version((1, 27, 3)), {"http2 off;"}),
        (Version((1, 27, 4)), {"http2 off;", "keepalive_min_timeout 10s;", "ssl_certificate_cache"}),
        (Version((1, 29, 6)), {"http2 off;", "keepalive_min_timeout 10s;", "ssl_certificate_cache"}),
        (Version((1, 29, 7)), {"http2 off;", "keepalive_min_timeout 10s;", "ssl_certificate_cache", "keepalive 0;"}),
        (Version((2, 0, 0)), {"http2 off;", "keepalive_min_timeout 10s;", "ssl_certificate_cache", "keepalive 0;"}),
    ],
)
def test_each_version_is_given_what_it_knows(version: Version, wanted: set[str]) -> None:
    """An older one would take a newer directive for an error, a newer one without it would mix clients up or lose them."""
    text = text_of(VARIABLE, version=version)
    newer = {"http2 off;", "keepalive_min_timeout 10s;", "ssl_certificate_cache", "keepalive 0;"}
    assert {words for words in newer if words in text} == wanted
    assert text.count("keepalive 0;") == (2 if "keepalive 0;" in wanted else 0)


def test_ntlm_of_nginx_plus_stands_last_in_both_upstreams() -> None:
    """It takes the place of `keepalive 0`, whatever the version."""
    plus = NginxSettings(bind_address="192.0.2.10", ntlm="plus")
    for version in (OLD, V1_29_7):
        text = text_of(plus, version=version)
        assert text.count("    ntlm;\n}") == 2
        assert "keepalive 0" not in text


def test_every_kind_of_address_is_written_as_nginx_wants_it() -> None:
    """IPv4, IPv6 in brackets, a name; each member on both its ports."""
    members = (*SPEC.members, Member(name="EX04", address="ex04.contoso.test", tls_name=NAME))
    text = render(SPEC.model_copy(update={"members": members}), HTTP, OLD)[HTTP_FILE] or ""
    for words in ("10.0.0.11:80", "10.0.0.12:8443", "[fd00::3]:80", "[fd00::3]:443", "ex04.contoso.test:443"):
        assert f"server {words}; # member EX0" in text
    assert "listen 192.0.2.10:443 ssl;" in text
    bound = NginxSettings(bind_address="2001:db8::1", ntlm="unused")
    text = render(SPEC, bound, OLD)[HTTP_FILE] or ""
    assert "listen [2001:db8::1]:443 ssl;" in text
    assert "listen [2001:db8::1]:80;" in text
    assert "listen *:443 ssl;" in (render(SPEC, NginxSettings(ntlm="unused"), OLD)[HTTP_FILE] or "")


def test_a_service_without_its_own_mode_is_bridged() -> None:
    """A state of before may know fewer services; MRSProxy has no plain way whatever a state says."""
    some = NginxState(structure="", leaf=LEAF, modes={Service.OWA: Mode.OFFLOAD, Service.MRSPROXY: Mode.OFFLOAD})
    text = render(SPEC, HTTP, OLD, some)[HTTP_FILE] or ""
    assert text.count("http://lbsync_plain; # mode ") == 1
    assert text.count("https://lbsync_tls; # mode ") == len(SERVICES) - 2
    assert "# mode mrsproxy" not in text


def test_only_published_services_have_a_route() -> None:
    """MRSProxy's path leads nowhere where it is not published, as EWS would have it else; the root is OWA's."""
    text = render(SPEC.model_copy(update={"services": (Service.EWS,)}), HTTP, OLD)[HTTP_FILE] or ""
    assert '"~*^1 /ews(?:/|$)" ews;' in text
    assert '"~*^1 /ews/mrsproxy\\.svc(?:/|$)" "";' in text
    assert "owa" not in text
    assert '"~^root " owa;' in text_of(HTTP)
    assert '"~*^1 /ews/mrsproxy\\.svc(?:/|$)" mrsproxy;' in text_of(HTTP)


def test_a_leaf_is_named_only_where_it_is_read_from_the_text() -> None:
    """With certificates by variable the link decides; without a leaf the text names none that could exist."""
    state = NginxState(structure="", leaf=LEAF, modes=BRIDGED)
    assert f"/etc/nginx/lbsync/certs/{LEAF}.pem; # leaf" in text_of(HTTP, state)
    assert f"/etc/nginx/lbsync/certs/{NO_LEAF}.pem; # leaf" in text_of(HTTP)
    text = text_of(VARIABLE, state)
    assert LEAF not in text
    assert "ssl_certificate $lbsync_certificate;" in text
    assert "root /etc/nginx/lbsync/certs-shared/live.pem; # link" in text
    found = state_of(text)
    assert found is not None
    assert found.leaf is None


def test_tls_is_as_the_settings_say() -> None:
    """Versions, and no session that could be resumed where a channel binding must be today's."""
    text = text_of(HTTP)
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in text
    assert "ssl_session_timeout" in text
    strict = NginxSettings.model_validate(HTTP.model_dump() | {"tls_min": "TLSv1.3", "resumption": False})
    text = text_of(strict)
    assert "ssl_protocols TLSv1.3;" in text
    assert "ssl_session_cache off;\n    ssl_session_tickets off;" in text


def test_the_leg_to_the_servers_is_verified_by_chain_and_name() -> None:
    """In both ways of proxying."""
    for way in (HTTP, STREAM):
        text = text_of(way)
        assert "proxy_ssl_verify on;" in text
        assert f"proxy_ssl_name {NAME};" in text
        assert "proxy_ssl_trusted_certificate /etc/nginx/lbsync/server-ca.pem;" in text


def test_without_a_name_of_its_own_mrsproxy_has_no_fork() -> None:
    """The TLS listener then stands at the front itself."""
    text = text_of(NginxSettings(bind_address="192.0.2.10", proxy="stream"))
    assert "listen 192.0.2.10:443 ssl;" in text
    assert "ssl_preread" not in text
    forked = text_of(STREAM)
    assert "listen 192.0.2.10:443;\n    ssl_preread on;" in forked
    assert "listen 127.0.0.1:24444 ssl;" in forked
    assert "mrs.contoso.test lbsync_mrsproxy;" in forked


BAD = ["", " ", "a b", "a;b", "a{b", "a}b", "$host", "a'b", 'a"b', "a\nb", "a#b", "a\\b", "-a", "é", "a\n"]


@pytest.mark.parametrize("word", BAD, ids=repr)
@pytest.mark.parametrize("key", ["hosts", "name", "address", "tls_name"])
def test_a_name_that_could_become_a_directive_is_refused(key: str, word: str) -> None:
    """Before anything is rendered or opened; the message names the key of the configuration."""
    if key == "hosts":
        spec = SPEC.model_copy(update={"hosts": (NAME, word)})
    else:
        spec = SPEC.model_copy(update={"members": (SPEC.members[0], SPEC.members[1].model_copy(update={key: word}))})
    where = {"hosts": "publish.hosts"}.get(key, f"servers.{key}")
    for refused in (lambda: refuse_bad_names(spec), lambda: render(spec, HTTP, OLD), lambda: _open(spec)):
        with pytest.raises(ConfigError) as caught:
            refused()
        assert caught.value.where == f"lb1: {where}"


def _open(spec: BalancerSpec) -> None:
    with plugin.open(spec, HTTP.model_dump(exclude_defaults=True)):
        pass


def test_an_address_that_is_none_is_refused() -> None:
    """A colon makes it an IPv6 address, which has no other letters."""
    members = (SPEC.members[0].model_copy(update={"address": "fd00::x"}),)
    with pytest.raises(ConfigError):
        refuse_bad_names(SPEC.model_copy(update={"members": members}))


def test_the_files_have_their_places() -> None:
    """One directory, and one file where NGINX's http block includes it."""
    at = Layout.of(NginxSettings(directory="/srv/lb", http_file="/etc/nginx/conf.d/x.conf"))
    assert [at.file(name) for name in (CA, STREAM_FILE, HTTP_FILE)] == [
        "/srv/lb/server-ca.pem",
        "/srv/lb/stream.conf",
        "/etc/nginx/conf.d/x.conf",
    ]
    assert (at.certificate(LEAF), at.link("live"), at.marker) == (
        f"/srv/lb/certs/{LEAF}.pem",
        "/srv/lb/certs/live.pem",
        "/srv/lb/run-marker",
    )


@every_way
@pytest.mark.parametrize("address", ["192.0.2.20", "2001:db8::1", "*"])
def test_where_our_listeners_are_is_read_from_our_files(way: NginxSettings, address: str) -> None:
    """While the settings name another address or other ports, that is where NGINX still listens."""
    before = NginxSettings.model_validate(
        way.model_dump() | {"bind_address": address, "https_port": 8443, "status_port": 9, "inner_port": 10}
    )
    files = render(SPEC, before, OLD)
    placed = placed_by(files, way)
    assert (placed.bind_address, placed.https_port, placed.status_port) == (address, 8443, 9)
    assert placed.model_copy(update=way.model_dump(include={"bind_address", "https_port", "status_port"})) == way
    assert placed_by(files, before) is before


@every_way
def test_without_a_listener_of_ours_the_settings_say_where_it_is(way: NginxSettings) -> None:
    """No file yet, the CA alone, or a text that was cut: nothing is guessed."""
    files = render(SPEC, way, OLD)
    text = files[main_file(way)] or ""
    for other in ({}, dict.fromkeys(files), {CA: files[CA]}, {main_file(way): text.replace("listen ", "listens ")}):
        assert placed_by(other, way) is way


def test_a_client_has_half_a_minute_to_ask_for_something() -> None:
    """What is left to old workers is over then, whatever the administrator has for the whole block."""
    assert "client_header_timeout 30s;" in text_of(HTTP)
    stream = text_of(STREAM)
    assert "ssl_handshake_timeout 30s;" in stream
    assert "preread_timeout 30s;" in stream


def test_without_resumption_a_request_under_way_ends_with_its_server() -> None:
    """Under Extended Protection the next server may hold another certificate; elsewhere a failed request may be repeated."""
    strict = HTTP.model_copy(update={"resumption": False})
    assert "proxy_next_upstream_timeout 15s;" in text_of(strict)
    assert "proxy_next_upstream_timeout" not in text_of(HTTP)
