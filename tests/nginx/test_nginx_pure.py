"""The NGINX provider's settings and abilities: what a configuration may say, and what a plan is told before it begins."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lbsync.model import Mode
from lbsync_nginx import NginxSettings, plugin
from lbsync_nginx.abilities import capabilities
from lbsync_nginx.notes import notes
from lbsync_nginx.version import Version
from tests.nginx.samples import HTTP, OLD, STREAM, V1_26, V1_27_4, VARIABLE


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"directory": "relative"}, "absolute path"),
        ({"directory": "/etc/with blank"}, "absolute path"),
        ({"directory": "/etc/../x"}, "absolute path"),
        ({"http_file": "/etc/nginx/conf.d/$x.conf"}, "absolute path"),
        ({"config_file": "/etc/nginx/'x'"}, "absolute path"),
        ({"nginx": "nginx"}, "absolute path"),
        ({"pid_file": "/run/a;b"}, "absolute path"),
        ({"bind_address": "mail.contoso.test"}, "IPv4 or IPv6"),
        ({"bind_address": "192.0.2.1;"}, "IPv4 or IPv6"),
        ({"https_port": 0}, "greater than"),
        ({"https_port": 65536}, "less than"),
        ({"http_port": -1}, "greater than"),
        ({"https_port": 80}, "must differ"),
        ({"status_port": 443}, "must differ"),
        ({"inner_port": 24443}, "must differ"),
        ({"reload": []}, "must not be empty"),
        ({"reload": "restart"}, "reload"),
        ({"unit": "a b"}, "pattern"),
        ({"unit": ""}, "pattern"),
        ({"owner": "a b"}, "pattern"),
        ({"group": "-x"}, "pattern"),
        ({"proxy": "mail"}, "proxy"),
        ({"ntlm": "yes"}, "ntlm"),
        ({"proxy": "stream", "ntlm": "unused"}, "ntlm goes with proxy = http only"),
        ({"proxy": "stream", "ntlm": "plus"}, "ntlm goes with proxy = http only"),
        ({"mrsproxy_host": "mrs.contoso.test"}, "mrsproxy_host goes with proxy = stream only"),
        ({"proxy": "stream", "mrsproxy_host": "mrs"}, "one DNS name"),
        ({"proxy": "stream", "mrsproxy_host": "*.contoso.test"}, "one DNS name"),
        ({"proxy": "stream", "mrsproxy_host": "mrs.contoso.test; x"}, "one DNS name"),
        ({"proxy": "stream", "mrsproxy_host": "~^x.y"}, "one DNS name"),
        ({"certificate_form": "variable"}, "needs group"),
        ({"certificate_form": "variable", "group": "www-data", "proxy": "stream"}, "goes with proxy = http only"),
        ({"http_file": "/etc/nginx/lbsync/x.conf"}, "must not lie in directory"),
        ({"proof_s": 0}, "greater than"),
        ({"health_timeout_s": 61}, "less than"),
        ({"long_request_s": 59}, "greater than"),
        ({"tls_min": "TLSv1.1"}, "tls_min"),
        ({"no_such": 1}, "Extra inputs"),
        ({"ssh": {"host": "h", "port": 70000}}, "less than"),
    ],
)
def test_settings_that_cannot_be_are_refused(raw: dict[str, object], message: str) -> None:
    """With pydantic's place and reason."""
    with pytest.raises(ValidationError, match=message):
        NginxSettings.model_validate(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"http_port": 0},
        {"reload": ["rc-service", "nginx", "reload"]},
        {"reload": "signal"},
        {"proxy": "stream", "mrsproxy_host": "MRS.Contoso.test"},
        {"certificate_form": "variable", "group": "www-data"},
        {"http_file": "/etc/nginx/lbsync.conf"},
        {"bind_address": "::1"},
    ],
)
def test_settings_that_can_be_are_taken(raw: dict[str, object]) -> None:
    """Names in lower case, since a client's greeting is compared with them."""
    made = NginxSettings.model_validate(raw)
    assert made.mrsproxy_host in {None, "mrs.contoso.test"}


def test_every_setting_is_described() -> None:
    """`lbsync providers nginx` prints these."""
    assert (plugin.name, plugin.settings) == ("nginx", NginxSettings)
    assert [name for name, field in NginxSettings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("raw", "probe", "port"),
    [
        ({"bind_address": "192.0.2.10"}, "192.0.2.10", 443),
        ({}, "127.0.0.1", 443),
        ({"ssh": {"host": "lb1"}, "https_port": 8443}, "lb1", 8443),
        ({"bind_address": "::", "probe_address": "192.0.2.1", "public_https_port": 444}, "192.0.2.1", 444),
    ],
)
def test_the_listener_is_looked_at_where_it_can_be_reached(raw: dict[str, object], probe: str, port: int) -> None:
    """By setting, by its own address, else on its host; clients may see another port."""
    made = NginxSettings.model_validate(raw)
    assert (made.probe, made.public_port) == (probe, port)


def test_http_sees_paths_and_breaks_ntlm() -> None:
    """Unless it is Plus; whoever needs NTLM is told the ways out."""
    able = capabilities(NginxSettings())
    assert (able.per_path_modes, able.filters_paths, able.mrsproxy_host) == (True, True, None)
    assert (able.ntlm_safe, able.ntlm_unused) == (frozenset(), False)
    assert all(words in able.ntlm_remedy for words in ('proxy = "stream"', 'ntlm = "unused"', 'ntlm = "plus"'))
    assert capabilities(HTTP).ntlm_unused is True
    assert capabilities(NginxSettings(ntlm="plus")).ntlm_safe == frozenset(Mode)


def test_stream_carries_ntlm_and_sees_no_path() -> None:
    """So what the servers publish is published, in one mode."""
    able = capabilities(STREAM)
    assert (able.per_path_modes, able.filters_paths, able.mrsproxy_host) == (False, False, "mrs.contoso.test")
    assert able.ntlm_safe == frozenset(Mode)


def test_only_a_certificate_by_variable_is_switched_without_a_reload() -> None:
    """Modes never are: so all that may go together goes in one step."""
    assert [capabilities(way).live_certificate_switch for way in (HTTP, VARIABLE, STREAM)] == [False, True, False]
    assert {capabilities(way).live_mode_switch for way in (HTTP, VARIABLE, STREAM)} == {False}
    assert {capabilities(way).switches_together for way in (HTTP, VARIABLE, STREAM)} == {True}


@pytest.mark.parametrize(
    ("settings", "version", "words", "absent"),
    [
        (HTTP, OLD, "NGINX 1.22.1 then closes idle keep-alive connections", "on_drain_timeout"),
        (HTTP, V1_26, 'certificate_form = "variable"', "10 s"),
        (VARIABLE, OLD, "closes idle keep-alive connections", 'certificate_form = "variable"'),
        (HTTP, V1_27_4, "none is lost", "closes idle"),
        (STREAM, OLD, 'limits.on_drain_timeout = "cut"', "idle"),
        (STREAM, V1_27_4, "old workers", "idle"),
    ],
)
def test_a_plan_is_told_what_a_reload_costs(settings: NginxSettings, version: Version, words: str, absent: str) -> None:
    """Each sentence true of the version and the settings at hand, and one that would not be left out."""
    (told,) = notes(settings, version)
    assert words in told
    assert absent not in told


def test_what_was_never_tried_is_told() -> None:
    """NGINX Plus."""
    *_, told = notes(NginxSettings(ntlm="plus"), V1_27_4)
    assert "never tried" in told


def test_sides_are_switched_in_every_way_and_sessions_resumed_as_set() -> None:
    """A resumed session would bring the leaf of before; how it is turned off is said."""
    for way in (HTTP, VARIABLE, STREAM):
        able = capabilities(way)
        assert (able.switches_sides, able.resumes_sessions) == (True, True)
        assert "resumption = false" in able.resumption_remedy
        assert not capabilities(way.model_copy(update={"resumption": False})).resumes_sessions
