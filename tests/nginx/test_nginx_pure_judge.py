"""From a look at an NGINX to facts: what is there, what disagrees, and why nothing may be changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lbsync.kit.endpoints import Endpoint
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import Member
from lbsync_nginx import tested
from lbsync_nginx.blockers import blockers, listens_wanted
from lbsync_nginx.dump import Dump
from lbsync_nginx.judge import judge, version_in
from lbsync_nginx.layout import CA, TEXT_FILES, main_file
from lbsync_nginx.seen import Running, Seen
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import NO_LEAF, NginxState
from lbsync_nginx.tested import Program
from lbsync_nginx.version import OLDEST, Version
from tests.nginx.samples import (
    BRIDGED,
    HTTP,
    LEAF,
    MAIN,
    NAME,
    OTHER,
    SPEC,
    STREAM,
    V1_27_4,
    VARIABLE,
    WAYS,
    disk,
    host_view,
    nothing,
    published,
)

every_way = pytest.mark.parametrize("way", list(WAYS.values()), ids=list(WAYS))
by_reload = pytest.mark.parametrize("way", [HTTP, STREAM], ids=["http", "stream"])


def blocked(way: NginxSettings, seen: Seen) -> str:
    """Every blocker, in one text."""
    return "\n".join(blockers(SPEC, way, seen))


def troubled(way: NginxSettings, seen: Seen) -> str:
    """Every problem, in one text."""
    return "\n".join(judge(SPEC, way, seen, SERVICES).problems)


def running(seen: Seen, **changes: object) -> Seen:
    """The same with workers that run another state."""
    assert seen.running is not None
    return replace(seen, running=Running(seen.running.pid, seen.running.state.model_copy(update=changes)))


@every_way
def test_a_sound_look_is_published_and_not_in_its_own_way(way: NginxSettings) -> None:
    """Our own listeners are nobody else's; what is drained is told."""
    found = judge(SPEC, way, published(way), SERVICES)
    assert (found.published, found.leaf, found.modes, found.blockers) == (True, LEAF, BRIDGED, ())
    assert found.structure == found.wanted_structure
    assert (found.provider, found.balancer, found.version) == ("nginx", "lb1", "1.22.1")
    assert found.problems == ("EX02 is drained in NGINX: it gets nothing new.",)
    assert len(found.notes) == 1


@every_way
def test_nothing_of_ours_is_a_value(way: NginxSettings) -> None:
    """No structure, no leaf, no modes, no problem, nothing in the way."""
    found = judge(SPEC, way, nothing(way), SERVICES)
    assert (found.published, found.structure, found.leaf, found.modes) == (False, None, None, {})
    assert (found.blockers, found.problems, found.live.members) == ((), (), ())
    assert found.wanted_structure == judge(SPEC, way, published(way), SERVICES).structure


def test_members_are_up_as_their_pages_say_and_drained_as_the_workers_say() -> None:
    """With the connections that are open to each port of theirs."""
    members = {
        (one.server, one.service, one.mode): (one.up, one.draining, one.sessions)
        for one in judge(SPEC, HTTP, published(HTTP), SERVICES).live.members
    }
    assert members["EX01", Service.OWA, Mode.BRIDGE] == (True, False, 0)
    assert members["EX02", Service.OWA, Mode.BRIDGE] == (False, True, 3)
    assert members["EX02", Service.EWS, Mode.OFFLOAD] == (True, True, 0)


def test_only_what_is_asked_for_is_told() -> None:
    """Facts are limited to the services asked for, in the balancer's order."""
    found = judge(SPEC, HTTP, published(HTTP), [Service.OWA])
    assert set(found.modes) == {one.service for one in found.live.members} == {Service.OWA}


@every_way
def test_the_image_is_what_lowering_needs(way: NginxSettings) -> None:
    """Texts, link, a digest of the administrator's files, the warnings; and no digest of a configuration that is broken."""
    seen = published(way)
    image = judge(SPEC, way, seen, SERVICES).image
    assert image["files"] == {**seen.disk.files}
    assert image["link"] == (LEAF if way is VARIABLE else None)
    assert image["certs_directory"] is True
    assert image["foreign"] == judge(SPEC, way, nothing(way), SERVICES).image["foreign"]
    broken = tested.Tested(passed=False, warnings=("b", "a"), errors=(), dump=Dump({}, ""))
    image = judge(SPEC, way, replace(seen, host=replace(seen.host, tested=broken)), SERVICES).image
    assert (image["foreign"], image["warnings"]) == (None, ["a", "b"])
    image = judge(SPEC, way, replace(seen, host=replace(seen.host, tested=None)), SERVICES).image
    assert (image["foreign"], image["warnings"]) == (None, [])


@every_way
def test_a_publication_that_was_not_loaded_is_told(way: NginxSettings) -> None:
    """Killed between writing and reload: not published, the structure unknown, so a publish is due."""
    found = judge(SPEC, way, replace(published(way), running=None), SERVICES)
    assert (found.published, found.structure) == (False, None)
    assert "was not reloaded" in found.problems[0]


@every_way
def test_a_removal_that_was_not_loaded_is_told(way: NginxSettings) -> None:
    """The workers run what is gone from the disk, wholly or in part."""
    seen = published(way)
    for files in (None, {**seen.disk.files, CA: None}):
        left = replace(seen, disk=disk(files))
        found = judge(SPEC, way, left, SERVICES)
        assert (found.published, found.structure) == (False, None)
        assert "not (wholly) on disk any more" in found.problems[0]


@every_way
def test_another_structure_than_the_disks_is_told(way: NginxSettings) -> None:
    """A reload of somebody else's failed, or the files were replaced."""
    assert "runs another configuration of ours" in troubled(way, running(published(way), structure="other"))
    seen = published(way)
    mixed = {**seen.disk.files, CA: "another CA\n"}
    told = troubled(way, replace(seen, disk=replace(seen.disk, files=mixed)))
    assert "not of one piece" in told


@by_reload
def test_another_state_than_the_disks_is_told(way: NginxSettings) -> None:
    """Leaf, modes, drained members: each by itself, with what the next reload would change."""
    told = troubled(
        way,
        running(published(way), leaf=OTHER, modes={**BRIDGED, Service.OWA: Mode.OFFLOAD}, down=("EX01", "EX02")),
    )
    assert f"serves certificate {OTHER[:12]}, on disk is certificate {LEAF[:12]}" in told
    assert "owa is in mode offload in NGINX, bridge on disk" in told
    assert "EX01 is drained in NGINX, not so on disk" in told
    assert "EX02 is drained in NGINX, not so on disk" not in told
    told = troubled(way, running(published(way), modes={}, down=()))
    assert "owa is in mode unknown in NGINX" in told
    assert "EX02 is taking requests in NGINX, not so on disk" in told


@by_reload
def test_a_leaf_that_is_not_served_is_no_leaf(way: NginxSettings) -> None:
    """Nor one that the files only stand in for."""
    assert judge(SPEC, way, running(published(way), leaf=OTHER), SERVICES).leaf is None
    found = judge(SPEC, way, running(published(way), leaf=NO_LEAF), SERVICES)
    assert found.leaf is None
    assert "serves no certificate, on disk is" in found.problems[0]


def test_two_links_that_lead_apart_are_told() -> None:
    """Where the workers read one and the disk names the other, as a killed switch of sides leaves it."""
    seen = published(VARIABLE)
    seen = replace(seen, disk=replace(seen.disk, links={"live": LEAF, "live2": OTHER}))
    apart = running(seen, link="live2")
    assert f"serves certificate {OTHER[:12]}, on disk is certificate {LEAF[:12]}" in troubled(VARIABLE, apart)
    assert judge(SPEC, VARIABLE, apart, SERVICES).leaf is None
    assert judge(SPEC, VARIABLE, seen, SERVICES).leaf == LEAF


def test_nothing_disagrees_with_an_nginx_that_is_down() -> None:
    """It runs nothing; that it is down is the blocker."""
    seen = published(HTTP)
    seen = replace(seen, running=None, host=replace(seen.host, master=None))
    assert troubled(HTTP, seen) == ""
    assert "does not run (by /run/nginx.pid)" in blocked(HTTP, seen)


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("10s", True),
        ("30m", True),
        ("3600", False),
        ("1h", False),
        ("2d", False),
        ("500ms", True),
        ("1h30m", False),
        ("", False),
    ],
)
def test_a_limit_that_would_cut_requests_is_told(limit: str, told: bool) -> None:
    """Only where it is shorter than the longest request, and only what is understood."""
    main = MAIN + (f"worker_shutdown_timeout {limit};\n" if limit else "")
    seen = nothing(HTTP, host=host_view(HTTP, main=main))
    assert ("cuts requests that are still under way" in troubled(HTTP, seen)) is told


def test_oddities_of_the_host_are_told() -> None:
    """A program replaced under a running NGINX, a configuration nobody understands, HTTP/2 on our address."""
    seen = published(HTTP)
    host = replace(seen.host, program_replaced=True, unclear="/etc/nginx/x: unexpected end")
    told = troubled(HTTP, replace(seen, host=host))
    assert "program was replaced" in told
    assert "could not be understood (/etc/nginx/x: unexpected end)" in told
    main = MAIN.replace("http {", "http { server { listen 192.0.2.10:443 ssl http2; server_name x.test; }")
    http2 = replace(seen, host=host_view(HTTP, main=main, files=seen.disk.files))
    assert "/etc/nginx/nginx.conf line 3 brings HTTP/2 to our address" in troubled(HTTP, http2)


def test_a_member_that_is_known_by_name_only_is_told() -> None:
    """NGINX resolves it when it starts, and does not start where it cannot."""
    member = Member(name="EX04", address="ex04.contoso.test", tls_name=NAME)
    found = judge(SPEC.model_copy(update={"members": (*SPEC.members, member)}), HTTP, nothing(HTTP), SERVICES)
    (told,) = found.problems
    assert "EX04 is reached by the name ex04.contoso.test" in told


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (None, "/usr/sbin/nginx does not exist: set nginx"),
        (Program(None, None, "tengine 3"), "cannot be understood (tengine 3)"),
        (Program(None, None, ""), "cannot be understood (it said nothing)"),
        (Program(Version((1, 18, 0)), None, ""), "NGINX 1.18.0 is too old: 1.22.0 is the oldest"),
    ],
)
def test_a_program_that_cannot_be_written_for_is_told(program: Program | None, words: str) -> None:
    """With the setting, or what to do."""
    seen = nothing(HTTP)
    seen = replace(seen, host=replace(seen.host, program=program))
    assert words in blocked(HTTP, seen)
    assert version_in(seen) == (program.version if program and program.version else Version(OLDEST))
    assert judge(SPEC, HTTP, seen, SERVICES).version == (version_in(seen).text if program else "")


def test_ntlm_by_plus_needs_plus() -> None:
    """The open-source NGINX has no such directive."""
    way = NginxSettings(bind_address="192.0.2.10", ntlm="plus")
    assert 'ntlm = "plus" needs NGINX Plus' in blocked(way, nothing(way))
    seen = nothing(way)
    plus = Program(Version((1, 25, 3), plus=True), None, "")
    assert blocked(way, replace(seen, host=replace(seen.host, program=plus))) == ""


@every_way
def test_a_missing_directory_is_told_with_its_command(way: NginxSettings) -> None:
    """Nothing is created by looking."""
    seen = nothing(way, disk=disk(exists=False))
    assert "install -d -m 0755 /etc/nginx/lbsync" in blocked(way, seen)


@every_way
@pytest.mark.parametrize("name", TEXT_FILES)
def test_a_file_that_somebody_wrote_or_edited_is_told(way: NginxSettings, name: str) -> None:
    """It is not overwritten; the message says what to do with it."""
    seen = published(way)
    text = seen.disk.files[name]
    for changed, words in (
        (f"{text}# mine\n" if text else None, "was edited by somebody"),
        ("mine\n", "was not written by"),
    ):
        if changed is not None:
            told = blocked(way, replace(seen, disk=replace(seen.disk, files={**seen.disk.files, name: changed})))
            assert words in told
            assert name in told or way.http_file in told


def test_members_of_several_names_are_told() -> None:
    """NGINX verifies one name for all of an upstream."""
    members = (SPEC.members[0], SPEC.members[1].model_copy(update={"tls_name": "ex02.contoso.test"}))
    told = "\n".join(blockers(SPEC.model_copy(update={"members": members}), HTTP, nothing(HTTP)))
    assert "these have several: ex02.contoso.test, mail.contoso.test" in told


def test_a_configuration_that_nginx_refuses_is_told_alone() -> None:
    """What stands in it does not count before it is corrected."""
    for errors, words in ((("unknown directive",), "unknown directive"), ((), "no reason was given")):
        broken = tested.Tested(passed=False, warnings=(), errors=errors, dump=Dump({}, ""))
        seen = nothing(HTTP, host=replace(host_view(HTTP, main="user x;"), tested=broken))
        (told,) = blockers(SPEC, HTTP, seen)
        assert words in told
    assert list(blockers(SPEC, HTTP, replace(seen, host=replace(seen.host, tested=None)))) == []


def test_a_change_that_nobody_loaded_yet_is_told() -> None:
    """A reload of ours would make it live."""
    seen = nothing(HTTP)
    told = blocked(HTTP, replace(seen, host=replace(seen.host, not_loaded=("/etc/nginx/nginx.conf",))))
    assert "/etc/nginx/nginx.conf was changed after NGINX loaded it" in told


@pytest.mark.parametrize(
    ("way", "main", "words"),
    [
        (HTTP, "http { }", "http block of /etc/nginx/nginx.conf: include /etc/nginx/conf.d/*.conf;"),
        (HTTP, "http { include /etc/nginx/sites-enabled/*; }", "include /etc/nginx/conf.d/*.conf;"),
        (HTTP, "include /etc/nginx/conf.d/*.conf;", "include /etc/nginx/conf.d/*.conf;"),
        (HTTP, "http { server { include /etc/nginx/conf.d/*.conf; } }", "include /etc/nginx/conf.d/*.conf;"),
        (STREAM, "http { include conf.d/*.conf; }", "stream { include /etc/nginx/lbsync/stream*.conf; }"),
        (STREAM, "http { include conf.d/*.conf; include lbsync/*.conf; }", "libnginx-mod-stream"),
        (STREAM, "stream { include lbsync/stream*.conf; }", "NGINX does not load /etc/nginx/conf.d/lbsync.conf"),
    ],
)
def test_a_file_that_nginx_would_not_load_is_told_with_its_line(way: NginxSettings, main: str, words: str) -> None:
    """Where to put it: inside the http block, and outside of it for a stream."""
    assert words in blocked(way, nothing(way, host=host_view(way, main=main)))


def test_a_stream_without_a_redirect_needs_nothing_in_http() -> None:
    """No file of ours is there then."""
    way = NginxSettings.model_validate(STREAM.model_dump() | {"http_port": 0})
    assert blocked(way, nothing(way, host=host_view(way, main="stream { include lbsync/stream*.conf; }"))) == ""


@every_way
def test_a_conflict_with_the_administrators_listeners_is_told(way: NginxSettings) -> None:
    """Whether or not ours is there already."""
    taken = "mail.contoso.test; }" if way.proxy == "http" else "other.test; }"
    main = MAIN.replace("http {", f"http {{ server {{ listen 192.0.2.10:443 ssl; server_name {taken}")
    for seen in (nothing(way, host=host_view(way, main=main)), published(way)):
        host = host_view(way, main=main, files=seen.disk.files)
        assert "/etc/nginx/nginx.conf line 3" in blocked(way, replace(seen, host=host))


def test_what_could_not_be_understood_is_no_blocker() -> None:
    """Nothing is guessed; it is told as a problem."""
    seen = nothing(HTTP, host=replace(host_view(HTTP, main="http { }"), unclear="x"))
    assert blocked(HTTP, seen) == ""


@every_way
def test_another_process_on_a_port_of_ours_is_told(way: NginxSettings) -> None:
    """NGINX's own test passes it, and the reload fails in silence; a port that NGINX itself has is left to it."""
    seen = nothing(way)
    wanted = listens_wanted(SPEC, way)
    assert [one.port for one in wanted] == ([443, 24443, 24444, 80] if way is STREAM else [443, 24443, 80])
    for one in wanted:
        other = Endpoint("*", one.port, one.port, "another process")
        told = blocked(way, replace(seen, host=replace(seen.host, listening=(other,))))
        assert f"Something listens on *:{one.port} already" in told
        assert f"sport = :{one.port}" in told
    main = MAIN.replace("http {", "http { server { listen 192.0.2.10:80; server_name other.test; }")
    host = replace(host_view(way, main=main), listening=(Endpoint("192.0.2.10", 80, 80, "another process"),))
    assert blocked(way, replace(seen, host=host)) == ""


def test_without_a_port_for_redirects_none_is_wanted() -> None:
    """http_port = 0."""
    way = NginxSettings.model_validate(HTTP.model_dump() | {"http_port": 0})
    assert [one.port for one in listens_wanted(SPEC, way)] == [443, 24443]


def test_the_log_of_the_master_is_known_from_its_files() -> None:
    """Where one is named, else the program's own."""
    assert host_view(HTTP).error_log == "/var/log/nginx/error.log"
    assert host_view(HTTP, main="http { }").error_log is None
    logged = Program(V1_27_4, "/var/log/nginx/default.log", "")
    assert host_view(HTTP, main="http { }", program=logged).error_log == "/var/log/nginx/default.log"
    assert host_view(HTTP, main="http { }", program=None).error_log is None


def test_the_state_is_that_of_the_file_with_the_listener() -> None:
    """Or of the other one, while the setting and the disk differ."""
    seen = published(STREAM)
    assert seen.disk.state(main_file(STREAM)) == seen.disk.state(main_file(HTTP))
    assert isinstance(seen.disk.state(main_file(STREAM)), NginxState)
    assert disk().state(main_file(HTTP)) is None
