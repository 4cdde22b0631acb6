"""The BIG-IP provider's settings and abilities: what a configuration may say, and what a plan is told before it begins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from lbsync.errors import ConfigError
from lbsync.model import Mode
from lbsync_f5 import F5Settings, plugin
from lbsync_f5.abilities import capabilities
from lbsync_f5.addresses import addresses
from lbsync_f5.session.adapter import Patience
from tests.f5.samples import APART, ATTACHED, CONNECTIONS, LOGIN, PASSWORD, REQUESTS, SPEC, settings

MRS: dict[str, object] = {"mrsproxy_host": "mrs.contoso.test", "mrsproxy_address": "192.0.2.11"}
ATTACH: dict[str, object] = {"attach": "/Common/exchange", "probe_address": "192.0.2.10"}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"hosts": ()}, "at least 1 item"),
        ({"hosts": ("https://bigip",)}, "without a scheme or a port"),
        ({"hosts": ("bigip:443",)}, "without a scheme or a port"),
        ({"hosts": ("bigip/",)}, "without a scheme or a port"),
        ({"hosts": ("big ip",)}, "without a scheme or a port"),
        ({"hosts": ("-bigip",)}, "without a scheme or a port"),
        ({"hosts": ("bigip.contoso.test\n",)}, "without a scheme or a port"),
        ({"hosts": ("user@bigip",)}, "without a scheme or a port"),
        ({"hosts": ("",)}, "without a scheme or a port"),
        ({"port": 0}, "greater than"),
        ({"port": 65536}, "less than"),
        ({"user": ""}, "at least 1 character"),
        ({"login_provider": ""}, "at least 1 character"),
        ({"server_name": "bigip"}, "one DNS name"),
        ({"server_name": "*.contoso.test"}, "one DNS name"),
        ({"partition": ""}, "pattern"),
        ({"partition": "a/b"}, "pattern"),
        ({"partition": "a~b"}, "pattern"),
        ({"partition": "-a"}, "pattern"),
        ({"partition": "a" * 64}, "pattern"),
        ({"folder": "a/b"}, "pattern"),
        ({"folder": "a b"}, "pattern"),
        ({"device_group": "exchange"}, "pattern"),
        ({"device_group": "/Common/a b"}, "pattern"),
        ({"device_group": "/Common/a; reboot"}, "pattern"),
        ({"device_group": "/Common/a/b/c"}, "pattern"),
        ({"bind_address": "mail.contoso.test"}, "IPv4 or IPv6"),
        ({"bind_address": "0.0.0.0"}, "must be one address"),  # noqa: S104 -- to be refused
        ({"bind_address": "::"}, "must be one address"),
        ({"bind_address": "192.0.2.10:443"}, "IPv4 or IPv6"),
        ({"bind_address": None}, "bind_address is needed, or attach"),
        ({**ATTACH}, "does not go with attach"),
        ({"bind_address": None, "attach": "/Common/exchange"}, "attach needs probe_address"),
        ({**ATTACH, "bind_address": None, "attach": "exchange"}, "pattern"),
        ({"https_port": 0}, "greater than"),
        ({"http_port": -1}, "greater than"),
        ({"https_port": 80}, "same address and port"),
        ({"mrsproxy_port": 443, **MRS, "mrsproxy_address": "192.0.2.10"}, "same address and port"),
        ({**MRS, "mrsproxy_address": "192.0.2.10", "mrsproxy_port": 80}, "same address and port"),
        ({"snat": "auto"}, "snat"),
        ({"snat": "snatpool"}, "snat"),
        ({"vlans": ("external",)}, "pattern"),
        ({"ntlm": "yes"}, "ntlm"),
        ({"mrsproxy_host": "mrs.contoso.test"}, "go together"),
        ({"mrsproxy_address": "192.0.2.11"}, "go together"),
        ({**MRS, "mrsproxy_host": "mrs"}, "one DNS name"),
        ({**MRS, "mrsproxy_host": "*.contoso.test"}, "one DNS name"),
        ({**MRS, "ntlm": "unused"}, "goes with ntlm = used only"),
        ({"tls_min": "TLSv1.1"}, "tls_min"),
        ({"monitor_interval_s": 0}, "greater than"),
        ({"monitor_timeout_s": 10}, "must be longer than monitor_interval_s"),
        ({"long_request_s": 59}, "greater than"),
        ({"connect_timeout_s": 0}, "greater than"),
        ({"request_timeout_s": 0}, "greater than"),
        ({"busy_timeout_s": -1}, "greater than"),
        ({"sync_timeout_s": 0}, "greater than"),
        ({"no_such": 1}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_are_refused(raw: dict[str, object], message: str) -> None:
    """With pydantic's place and reason, and never with the password."""
    with pytest.raises(ValidationError, match=message) as caught:
        F5Settings.model_validate({**LOGIN, "bind_address": "192.0.2.10", **raw})
    assert "input_value" not in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        {"hosts": ("BigIP01.contoso.test", "192.0.2.2", "[fd00::1]", "fd00::2", "bigip")},
        {"http_port": 0, "https_port": 80},
        {"bind_address": "fd00:0:0::10"},
        {"partition": "Exchange_2019", "folder": "mail-1.x"},
        {"device_group": "/Common/exchange-ha", "snat": "/Common/folder/pool", "vlans": ("/Common/external",)},
        {"snat": "none", "resumption": False, "busy_timeout_s": 0},
        {**MRS, "mrsproxy_port": 8443},
        {**MRS, "mrsproxy_address": "192.0.2.10", "mrsproxy_port": 8443},
        {**ATTACH, "bind_address": None},
        {**ATTACH, **MRS, "bind_address": None},
        {"monitor_interval_s": 30},
    ],
)
def test_settings_that_can_be_are_taken(raw: dict[str, object]) -> None:
    """Names in lower case and addresses in their shortest form, since they are compared."""
    made = F5Settings.model_validate({**LOGIN, "bind_address": "192.0.2.10", **raw})
    assert set(made.hosts) <= {"bigip01.contoso.test", "192.0.2.2", "fd00::1", "fd00::2", "bigip", "bigip.contoso.test"}
    assert made.bind_address in {"192.0.2.10", "fd00::10", None}


def test_every_setting_is_described() -> None:
    """`lbsync providers bigip` prints these."""
    assert (plugin.name, plugin.settings) == ("bigip", F5Settings)
    assert [name for name, field in F5Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("way", [CONNECTIONS, ATTACHED])
def test_a_password_is_shown_nowhere(way: F5Settings) -> None:
    """Neither in a representation nor in JSON, of the settings and of the addresses made from them."""
    shown = [repr(way), str(way), way.model_dump_json(), repr(addresses(way)), str(way.model_dump())]
    assert [one for one in shown if PASSWORD in one] == []
    assert way.password.get_secret_value() == PASSWORD


@pytest.mark.parametrize(
    ("way", "probe"),
    [
        (CONNECTIONS, "192.0.2.10"),
        (settings(probe_address="198.51.100.1"), "198.51.100.1"),
        (ATTACHED, "192.0.2.10"),
        (settings(bind_address="fd00::1"), "fd00::1"),
    ],
)
def test_the_listener_is_looked_at_where_it_can_be_reached(way: F5Settings, probe: str) -> None:
    """By setting, else by its own address."""
    assert way.probe == probe


def test_each_host_is_an_address_with_the_same_account() -> None:
    """CA, name and time-outs as they are set; without a CA that of the system; a URL has brackets around IPv6."""
    way = settings(
        hosts=("b1.contoso.test", "fd00::2"), port=8443, login_provider="ldap", ca_file="/etc/lbsync/ca.pem",
        server_name="bigip.contoso.test", connect_timeout_s=1, request_timeout_s=2, busy_timeout_s=3,
    )  # fmt: skip
    first, second = addresses(way)
    assert [one.url for one in (first, second)] == ["https://b1.contoso.test:8443", "https://[fd00::2]:8443"]
    for one in (first, second):
        assert (one.user, one.password, one.provider) == ("lbsync", SecretStr(PASSWORD), "ldap")
        assert (one.ca, one.server_name, one.patience) == (
            str(Path("/etc/lbsync/ca.pem")), "bigip.contoso.test", Patience(1.0, 2.0, 3.0),
        )  # fmt: skip
    (plain,) = addresses(CONNECTIONS)
    assert (plain.ca, plain.server_name, plain.patience) == (True, None, Patience(10.0, 60.0, 180.0))


def test_without_the_sdk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a balancer is opened, not when lbsync starts."""
    monkeypatch.setitem(sys.modules, "lbsync_f5.addresses", None)
    with pytest.raises(ConfigError) as caught, plugin.open(SPEC, CONNECTIONS.model_dump()):
        pass
    assert "f5-sdk" in caught.value.message
    assert caught.value.remedy == "pip install 'lbsync[f5]'"


def test_the_sdk_is_looked_for_where_addresses_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing that room fails where either of its two packages is missing."""
    from importlib import import_module, util

    real = util.find_spec
    monkeypatch.delitem(sys.modules, "lbsync_f5.addresses")

    def without(name: str) -> object:
        return None if name == "icontrol" else real(name)

    monkeypatch.setattr(util, "find_spec", without)
    with pytest.raises(ImportError, match="f5-sdk"):
        import_module("lbsync_f5.addresses")


def test_with_ntlm_a_virtual_server_has_one_mode() -> None:
    """NTLM works in either; MRSProxy has a name of its own, served by the device itself."""
    able = capabilities(CONNECTIONS)
    assert (able.per_path_modes, able.filters_paths, able.ntlm_safe, able.ntlm_unused) == (
        False, True, frozenset(Mode), False,
    )  # fmt: skip
    assert "With NTLM a client keeps its connection" in able.one_mode_reason
    assert (able.mrsproxy_host, able.mrsproxy_address, able.mrsproxy_port) == (None, None, None)
    apart = capabilities(APART)
    assert (apart.mrsproxy_host, apart.mrsproxy_address, apart.mrsproxy_port, apart.mrsproxy_ends_here) == (
        "mrs.contoso.test", "192.0.2.11", 443, True,
    )  # fmt: skip


def test_without_ntlm_each_path_has_its_mode() -> None:
    """NTLM is refused then, and the way out is told."""
    able = capabilities(REQUESTS)
    assert (able.per_path_modes, able.ntlm_safe, able.ntlm_unused) == (True, frozenset(), True)
    assert 'ntlm = "used"' in able.ntlm_remedy


def test_sides_change_where_connections_belong_to_clients() -> None:
    """Requests of one client go to several servers else; sessions are resumed unless the settings turn that off."""
    assert (capabilities(CONNECTIONS).switches_sides, capabilities(REQUESTS).switches_sides) == (True, False)
    for way in (CONNECTIONS, REQUESTS):
        able, without = capabilities(way), capabilities(way.model_copy(update={"resumption": False}))
        assert (able.resumes_sessions, without.resumes_sessions) == (True, False)
        assert "resumption = false" in able.resumption_remedy


@pytest.mark.parametrize("way", [CONNECTIONS, REQUESTS])
def test_what_is_not_published_is_reset(way: F5Settings) -> None:
    """A policy has no answer 404. Modes and certificates change live; several hosts are a pair."""
    able = capabilities(way)
    assert (able.answers_unknown, able.live_mode_switch, able.live_certificate_switch, able.drain) == (
        False, True, True, True,
    )  # fmt: skip
    assert able.high_availability is False
    assert capabilities(way.model_copy(update={"hosts": ("a", "b")})).high_availability is True
