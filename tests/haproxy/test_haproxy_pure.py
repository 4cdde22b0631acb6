"""The HAProxy provider's pure rooms: text in, values out."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lbsync.changes import (
    Drain,
    EnableCertificate,
    InstallCertificate,
    Mark,
    Publish,
    SwitchCertificate,
    SwitchMode,
    Undrain,
)
from lbsync.errors import UnsupportedMode
from lbsync.facts import BalancerFacts, BalancerLive, FarmFacts, MemberLive
from lbsync.kit.endpoints import Endpoint
from lbsync.kit.pem_files import leaf_of, pem_name
from lbsync.kit.pools import pools_of
from lbsync.kit.seal import body_of, seal_of
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import BalancerSpec, Member
from lbsync_certs import Fingerprint, Thumbprint
from lbsync_haproxy import layout, plugin, wire
from lbsync_haproxy.binds import parse_binds
from lbsync_haproxy.disk import Disk
from lbsync_haproxy.host_view import HostView
from lbsync_haproxy.judge import Seen, judge
from lbsync_haproxy.lowering import Lowering
from lbsync_haproxy.pools import map_body, modes_of, parse_map_body
from lbsync_haproxy.render import render, staged, structure_of
from lbsync_haproxy.runtime import Running
from lbsync_haproxy.settings import HaproxySettings

LEAF, OTHER = Fingerprint("a" * 64), Fingerprint("b" * 64)
SETTINGS = HaproxySettings(bind_address="192.0.2.10")
SPEC = BalancerSpec(
    name="lb1",
    hosts=("mail.contoso.test", "autodiscover.contoso.test"),
    members=(
        Member(name="EX01", address="10.0.0.11", tls_name="ex01.contoso.test"),
        Member(name="EX02", address="ex02.contoso.test", http_port=8080, https_port=8443, tls_name="ex02.contoso.test"),
        Member(name="EX03", address="fd00::3", tls_name="ex03.contoso.test"),
    ),
    services=tuple(SERVICES),
    server_ca_pem="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
)
BRIDGED = dict.fromkeys(SERVICES, Mode.BRIDGE)


@pytest.mark.parametrize(
    ("line", "address", "port"),
    [
        ("bind *:443", "10.1.1.1", 443),
        ("  bind :443 ssl crt x", "10.1.1.1", 443),
        ("bind 0.0.0.0:443", "10.1.1.1", 443),
        ("bind :::443 v4v6", "10.1.1.1", 443),
        ("bind [::]:443", "fd00::1", 443),
        ("bind 10.1.1.1:440-450", "10.1.1.1", 443),
        ("bind ipv4@10.1.1.1:443", "10.1.1.1", 443),
        ("bind 10.9.9.9:1,10.1.1.1:443", "10.1.1.1", 443),
        ('bind "10.1.1.1:443"', "10.1.1.1", 443),
        ("bind [fd00::1]:443", "fd00:0::1", 443),
        ("bind fd00::1:443", "fd00::1", 443),
        ("bind mail.contoso.test:443", "MAIL.contoso.test", 443),
        ("bind 10.1.1.1:443", "*", 443),
    ],
)
def test_a_bind_that_clashes_is_seen(line: str, address: str, port: int) -> None:
    """Wildcards, ranges, lists, quotes and both families."""
    found, unclear = parse_binds(f"frontend x\n{line}\n", "main.cfg")
    assert any(endpoint.clashes(address, port) for endpoint in found)
    assert found[0].where == "main.cfg line 2"
    assert unclear == ()


@pytest.mark.parametrize(
    "line",
    [
        "bind 10.1.1.2:443",
        "bind *:80",
        "# bind *:443",
        "bind 10.1.1.1:400-442",
        "bind /run/x.sock",
        "bind unix@/run/x.sock",
        "bind quic4@*:443",
        "bindings *:443",
        "bind",
        "bind process-vary 'unfinished",
    ],
)
def test_a_bind_that_does_not_clash_is_passed_over(line: str) -> None:
    """Other addresses and ports, comments, unix sockets, UDP."""
    found, _ = parse_binds(line, "main.cfg")
    assert not any(endpoint.clashes("10.1.1.1", 443) for endpoint in found)


@pytest.mark.parametrize("word", ['"$ADDRESS:443"', "10.1.1.1", "10.1.1.1:https", "10.1.1.1:1-x"])
def test_a_bind_that_cannot_be_understood_is_told(word: str) -> None:
    """Nothing is guessed."""
    found, unclear = parse_binds(f"bind {word}", "main.cfg")
    assert (found, len(unclear)) == ((), 1)


STAT = (
    "# pxname,svname,scur,status,check_status,last_chk,\n"
    "ex_owa_bridge,EX01,3,UP,L7OK,200,\n"
    "ex_owa_bridge,EX02,0,UP,INI,,\n"
    "ex_owa_bridge,EX03,0,DOWN,* L7STS,403,\n"
    "ex_owa_bridge,BACKEND,3,UP,,,\n"
    "ex_https,FRONTEND,3,OPEN,,,\n"
)
STATE = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight\n"
    "4 ex_owa_bridge 1 EX01 10.0.0.11 2 8 1\n"
    "4 ex_owa_bridge 2 EX02 10.0.0.12 2 0 1\n"
    "4 ex_owa_bridge 3 EX03 10.0.0.13 0 1 1\n"
)


def test_server_rows_join_both_commands() -> None:
    """Checks and sessions from one, exact states from the other; a server nobody checked yet is not up."""
    rows = {row.server: row for row in wire.server_rows(wire.parse_stat(STAT), wire.parse_state(STATE))}
    assert [(row.up, row.state, row.sessions) for row in rows.values()] == [
        (True, "drain", 3),
        (False, "ready", 0),
        (False, "maint", 0),
    ]
    assert rows["EX03"].last_check == "L7STS 403"


def test_answers_in_one_line_are_told_apart() -> None:
    """By how each looks; errors in between do not shift them."""
    text = "Name: HAProxy\nPid: 7\n\n# pxname,svname\nex_https,FRONTEND\n\n1\n# be_id be_name\n\nadmin\n\nVariable not found\n"
    answers = wire.Answers(text)
    assert wire.parse_info(answers.beginning("Name:"))["Pid"] == "7"
    assert answers.one_of("admin", "user") == "admin"
    assert answers.beginning("0x") == ""
    assert answers.holding("SHA1") == ""
    assert answers.one_of("operator") == ""


def test_small_answers_are_read() -> None:
    """Maps, fingerprints, transactions, failed reloads, versions, command lines."""
    assert wire.parse_map("0x55 /owa/ ex_owa_bridge\nnothing\n") == {"/owa/": "ex_owa_bridge"}
    assert wire.parse_thumbprint(f"Serial: 1\nSHA1 FingerPrint: {'ab' * 20}\n") == "AB" * 20
    assert wire.parse_thumbprint("Not found") is None
    assert wire.open_transactions("# transaction\n*/x/live.pem\n# filename\n/x/live.pem\n") == ("/x/live.pem",)
    assert wire.failed_reloads("1 master 3 [failed: 2] 0d 2.6\n") == 2
    assert wire.failed_reloads("") is None
    assert wire.version_of("2.6.12-1+deb12u4") == (2, 6)
    assert wire.version_of("?") is None
    assert wire.parse_stat("") == []
    assert wire.config_arguments(b"haproxy\0-Ws\0-f\0/a.cfg\0-f\0/d\0-p\0/pid\0") == ("/a.cfg", "/d")
    assert wire.config_arguments(b"haproxy\0-f\0/a\0--\0/b\0/c\0") == ("/a", "/b", "/c")
    assert wire.config_arguments(b"haproxy\0-f") == ()


def test_the_directory_is_found_among_what_haproxy_loads() -> None:
    """As it was given, with a slash at its end, or relative to where HAProxy was started."""

    def view(*loads: str) -> HostView:
        return HostView(loads=loads, binds=(), unclear_binds=(), listening=(), missing_files=())

    assert view("/etc/haproxy/haproxy.cfg", "/etc/haproxy/lbsync/").loads_directory("/etc/haproxy/lbsync") is True
    assert view("lbsync").loads_directory("/etc/haproxy/lbsync") is True
    assert view("/etc/haproxy").loads_directory("/etc/haproxy/lbsync") is False
    unseen = HostView(loads=None, binds=(), unclear_binds=(), listening=(), missing_files=())
    assert unseen.loads_directory("/etc/haproxy/lbsync") is None


def test_names_of_certificates_go_both_ways() -> None:
    """Only a full fingerprint counts."""
    assert leaf_of(pem_name(LEAF)) == LEAF
    assert leaf_of("live.pem") is None
    assert leaf_of(None) is None


def test_the_map_says_modes_and_back() -> None:
    """Unknown pools are no mode."""
    modes = {**BRIDGED, Service.OWA: Mode.OFFLOAD}
    entries = parse_map_body(f"# comment\n\n{map_body(modes)}")
    assert modes_of(entries, SERVICES) == modes
    assert Service.OWA not in modes_of({**entries, "/owa/": "ex_nowhere"}, SERVICES)


def test_mrsproxy_has_no_plain_pool() -> None:
    """Not in the table of pools, so in no configuration."""
    assert (Service.MRSPROXY, Mode.OFFLOAD) not in pools_of(SERVICES)
    assert "ex_mrsproxy_offload" not in render(SPEC, SETTINGS, BRIDGED)[layout.CFG]


def test_the_structure_leaves_modes_out_and_everything_else_in() -> None:
    """A flip is no new structure; a server, a name, a setting is."""
    base = structure_of(render(SPEC, SETTINGS, BRIDGED))
    assert structure_of(render(SPEC, SETTINGS, {Service.OWA: Mode.OFFLOAD})) == base
    others = [
        (SPEC.model_copy(update={"hosts": ("other.contoso.test",)}), SETTINGS),
        (SPEC.model_copy(update={"members": SPEC.members[:1]}), SETTINGS),
        (SPEC.model_copy(update={"services": (Service.OWA,)}), SETTINGS),
        (SPEC.model_copy(update={"server_ca_pem": "other"}), SETTINGS),
        (SPEC, SETTINGS.model_copy(update={"resumption": False})),
        (SPEC, SETTINGS.model_copy(update={"http_port": 0})),
        (SPEC, SETTINGS.model_copy(update={"public_https_port": 8443})),
    ]
    found = {structure_of(render(spec, settings, BRIDGED)) for spec, settings in others}
    assert len(found | {base}) == len(others) + 1
    assert structure_of({**render(SPEC, SETTINGS, BRIDGED), layout.CA: None}) is None


def test_every_kind_of_address_is_written_as_haproxy_wants_it() -> None:
    """IPv4, IPv6 in brackets, and a name that may not resolve yet."""
    text = render(SPEC, SETTINGS, BRIDGED)[layout.CFG]
    assert "server EX01 10.0.0.11:80 check" in text
    assert (
        "server EX02 ex02.contoso.test:8443 check inter 2000ms fall 2 rise 2 init-addr last,libc,none ssl verify"
        in text
    )
    assert "server EX03 [fd00::3]:443 check" in text
    assert "bind 192.0.2.10:80\n" in text


def test_a_trial_refers_to_itself_and_to_the_certificate_to_be() -> None:
    """Before the first publish there is no live link: the trial names the file."""
    files = staged(render(SPEC, SETTINGS, BRIDGED), SETTINGS, "/etc/haproxy/lbsync/certs/x.pem")
    assert "/etc/haproxy/lbsync/exchange" not in files[layout.CFG]
    assert "/etc/haproxy/lbsync/.check/exchange.map" in files[layout.CFG]
    assert body_of(files[layout.CRT_LIST]) == "/etc/haproxy/lbsync/certs/x.pem\n"
    assert all(seal_of(text) == "intact" for text in files.values())


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"directory": "relative"}, "absolute path"),
        ({"directory": "/etc/with blank"}, "absolute path"),
        ({"directory": "/etc/../x"}, "absolute path"),
        ({"socket": "/run/a;b"}, "absolute path"),
        ({"bind_address": "mail.contoso.test"}, "IPv4 or IPv6"),
        ({"https_port": 0}, "greater than"),
        ({"https_port": 80}, "must differ"),
        ({"reload": "master-socket"}, "needs master_socket"),
        ({"reload": "signal"}, "needs pid_file"),
        ({"reload": []}, "must not be empty"),
        ({"reload": "restart"}, "reload"),
        ({"unit": "a b"}, "pattern"),
        ({"owner": "a b"}, "pattern"),
        ({"group": "-x"}, "pattern"),
        ({"no_such": 1}, "Extra inputs"),
        ({"ssh": {"host": "h", "port": 70000}}, "less than"),
    ],
)
def test_settings_that_cannot_be_are_refused(raw: dict[str, object], message: str) -> None:
    """With pydantic's place and reason."""
    with pytest.raises(ValidationError, match=message):
        HaproxySettings.model_validate(raw)


def test_every_setting_is_described() -> None:
    """`lbsync providers haproxy` prints these."""
    assert plugin.settings is HaproxySettings
    assert [name for name, field in HaproxySettings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("raw", "probe"),
    [
        ({"bind_address": "192.0.2.10"}, "192.0.2.10"),
        ({}, "127.0.0.1"),
        ({"ssh": {"host": "lb1"}}, "lb1"),
        ({"bind_address": "::", "probe_address": "192.0.2.1"}, "192.0.2.1"),
    ],
)
def test_the_listener_is_looked_at_where_it_can_be_reached(raw: dict[str, object], probe: str) -> None:
    """By setting, by its own address, else on its host."""
    assert HaproxySettings.model_validate(raw).probe == probe


def facts(**changes: object) -> BalancerFacts:
    """Facts of an HAProxy without anything of ours."""
    image = {"files": dict.fromkeys(layout.TEXT_FILES), "live": None, "certs_directory": False}
    return BalancerFacts.model_validate({"balancer": "lb1", "provider": "haproxy", "image": image, **changes})


LOWERING = Lowering(SPEC, SETTINGS)


def test_a_first_publication_is_undone_to_nothing() -> None:
    """Its undo removes every file, and waits until nothing of ours runs."""
    (step,) = LOWERING.lower(Publish(leaf=LEAF, modes=BRIDGED), facts())
    assert step.sign == "+"
    assert step.undo is not None
    assert step.undo.args == {"files": dict.fromkeys(layout.TEXT_FILES), "live": None, "structure": None}
    assert [check.verb for check in step.until] == ["published", "serving"]
    assert [check.verb for check in step.undo_until] == ["published"]


def test_a_later_publication_shows_what_changes_and_goes_back_to_it() -> None:
    """Line by line in the plan; the undo carries the texts of before."""
    before = render(SPEC.model_copy(update={"members": SPEC.members[:2]}), SETTINGS, BRIDGED)
    seen = facts(image={"files": before, "live": LEAF, "certs_directory": True}, published=True)
    (step,) = LOWERING.lower(Publish(leaf=OTHER, modes=BRIDGED), seen)
    assert step.sign == "~"
    assert any(line.startswith("+    server EX03") for line in step.details)
    assert not any("EX01" in line for line in step.details)
    assert step.undo is not None
    assert (step.undo.args["files"], step.undo.args["live"]) == (before, LEAF)
    assert [check.verb for check in step.undo_until] == ["published", "serving"]


def test_a_long_difference_is_cut() -> None:
    """A plan stays readable."""
    before = render(SPEC.model_copy(update={"services": (Service.OWA,)}), SETTINGS, BRIDGED)
    seen = facts(image={"files": before, "live": LEAF, "certs_directory": True}, published=True)
    (step,) = LOWERING.lower(Publish(leaf=LEAF, modes=BRIDGED), seen)
    assert step.details[-1].endswith("lines more")


def test_what_is_installed_is_not_installed_again() -> None:
    """No step, so no undo that would remove it."""
    assert LOWERING.lower(InstallCertificate(leaf=LEAF), facts(installed=(LEAF,))) == ()


def test_draining_to_a_cut_is_two_steps() -> None:
    """The second waits as long as asked, then cuts; it has nothing to undo."""
    drain, cut = LOWERING.lower(Drain(server="EX01", timeout_s=9, on_timeout="cut"), facts())
    assert (drain.until, cut.after, cut.undo) == ((), (drain.id,), None)
    assert cut.do is not None
    assert cut.do.args == {"server": "EX01", "wait_s": 9}
    (undrain,) = LOWERING.lower(Undrain(server="EX01", timeout_s=9, on_timeout="cut"), facts())
    # Going back is a drain that must be whole in one step: Require SSL changes under it next.
    assert undrain.undo is not None
    assert undrain.undo.args == {"server": "EX01", "state": "drain", "cut_after_s": 9}
    assert [check.verb for check in undrain.undo_until] == ["drained"]


def test_undraining_waits_for_what_was_up_before() -> None:
    """A service that was down on that server before is not waited for."""
    live = BalancerLive(
        members=(
            MemberLive(server="EX01", service=Service.OWA, mode=Mode.BRIDGE, up=True),
            MemberLive(server="EX01", service=Service.OAB, mode=Mode.BRIDGE, up=False),
            MemberLive(server="EX02", service=Service.OAB, mode=Mode.BRIDGE, up=True),
        )
    )
    seen = facts(published=True, modes={Service.OWA: Mode.BRIDGE, Service.OAB: Mode.BRIDGE}, live=live)
    (step,) = LOWERING.lower(Undrain(server="EX01", timeout_s=9, on_timeout="stop"), seen)
    assert step.until[0].args == {"server": "EX01", "services": ["owa"]}
    (step,) = LOWERING.lower(Undrain(server="EX01", timeout_s=9, on_timeout="stop"), facts())
    assert step.until[0].args == {"server": "EX01", "services": None}


def test_a_marker_of_another_run_is_shown_in_the_plan() -> None:
    """Whoever reads the plan sees it before applying."""
    (step,) = LOWERING.lower(Mark(marker="mine", present=True), facts(marker="theirs"))
    assert step.details == ("there is one already: theirs",)


def test_what_cannot_be_is_refused_while_planning() -> None:
    """MRSProxy in clear, a service that is not published, another target's change or facts."""
    with pytest.raises(UnsupportedMode):
        LOWERING.lower(Publish(leaf=LEAF, modes={Service.MRSPROXY: Mode.OFFLOAD}), facts())
    narrow = Lowering(SPEC.model_copy(update={"services": (Service.OWA,)}), SETTINGS)
    with pytest.raises(UnsupportedMode):
        narrow.lower(SwitchMode(services=(Service.EWS,), before=Mode.BRIDGE, after=Mode.OFFLOAD), facts())
    with pytest.raises(TypeError):
        LOWERING.lower(EnableCertificate(before=None, after=Thumbprint("A" * 40)), facts())
    with pytest.raises(TypeError):
        LOWERING.lower(Publish(leaf=LEAF, modes=BRIDGED), facts(image={}))
    with plugin.open(SPEC, {}) as provider, pytest.raises(TypeError):
        provider.lower(SwitchCertificate(before=LEAF, after=OTHER), FarmFacts())


def seen(
    *, version: str = "2.6.12", loaded: bool = True, ocsp: bool = False, loads: tuple[str, ...] | None = None
) -> Seen:
    """A look at an HAProxy that runs our files."""
    files: dict[str, str | None] = {**render(SPEC, SETTINGS, BRIDGED)}
    disk = Disk(
        exists=True,
        files=files,
        live=LEAF,
        live_thumbprint=Thumbprint("A" * 40),
        certs_directory=True,
        installed=(LEAF,),
        marker=None,
        foreign=(),
        begins={},
        stale_ocsp=ocsp,
    )
    pools = {f"ex_{service}_{mode}" for service, mode in pools_of(SERVICES)}
    running = Running(
        version=version,
        pid=1,
        level="admin",
        proxies=frozenset(pools | {"ex_https"}) if loaded else frozenset(),
        rows=(),
        structure=structure_of(files) if loaded else None,
        map=parse_map_body(map_body(BRIDGED)) if loaded else None,
        thumbprint="A" * 40 if loaded else None,
        clients=0,
        first_id=3 if loaded else 0,
    )
    host = HostView(
        loads=loads,
        binds=(),
        unclear_binds=("main.cfg line 3: bind $X",),
        listening=(Endpoint("*", 443, 443, "another process"),),
        missing_files=(),
    )
    return Seen(disk, running, "", host)


def test_a_sound_look_is_published_and_not_in_its_own_way() -> None:
    """Our own listener is no foreign one; what could not be seen is told as a problem, not as a blocker."""
    found = judge(SPEC, SETTINGS, seen(), SERVICES)
    assert (found.published, found.leaf, found.modes, found.blockers) == (True, LEAF, BRIDGED, ())
    assert found.structure == found.wanted_structure
    assert len(found.problems) == 2


def test_an_haproxy_too_old_is_a_blocker() -> None:
    """2.6 is the oldest."""
    for version in ("2.4.22", "garbage"):
        found = judge(SPEC, SETTINGS, seen(version=version), SERVICES)
        assert any("too old" in blocker for blocker in found.blockers)


def test_files_that_were_not_loaded_yet_are_told() -> None:
    """Killed between writing and reload: not published, and the reason stands there."""
    found = judge(SPEC, SETTINGS, seen(loaded=False), SERVICES)
    assert found.published is False
    assert any("was not reloaded" in problem for problem in found.problems)
    assert any("Something listens on" in blocker for blocker in found.blockers)


def test_a_stale_ocsp_answer_is_told() -> None:
    """HAProxy would staple it to the next certificate."""
    found = judge(SPEC, SETTINGS, seen(ocsp=True), SERVICES)
    assert any("OCSP" in problem for problem in found.problems)


def test_only_what_is_asked_for_is_told() -> None:
    """Facts are limited to the services asked for."""
    assert set(judge(SPEC, SETTINGS, seen(), [Service.OWA]).modes) == {Service.OWA}
