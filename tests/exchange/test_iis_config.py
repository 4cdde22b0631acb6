"""applicationHost.config: own values, inheritance, and files no reader should trust."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lbsync.errors import Rejected
from lbsync.exchange.iis import IisConfig, normal_flags, read_config, same_flags
from lbsync.services import FRONT_END_SITE, SERVICES, Service

SSL = "Ssl, Ssl128"
CAPTURED = (
    "e15_applicationHost_EPoff_both",
    "e15_applicationHost_EPon_both",
    "e16_applicationHost_EPoff",
    "e19_applicationHost_EPoff",
    "e19_applicationHost_EPon",
    "e19_applicationHost1_EPon_RpcSsl",
)
WITHOUT_OWN = {Service.OWA, Service.ECP, Service.EWS, Service.AUTODISCOVER, Service.MRSPROXY}

Read = Callable[[str], IisConfig]


@pytest.fixture
def captured(exchange_data: Path) -> Read:
    """Read a captured file by its name."""
    return lambda name: read_config((exchange_data / f"{name}.config").read_bytes())


def config(body: str) -> IisConfig:
    """A configuration made of ``body``."""
    return read_config(f"<configuration>{body}</configuration>")


def access(flags: str) -> str:
    """The access section with these sslFlags."""
    return f'<system.webServer><security><access sslFlags="{flags}" /></security></system.webServer>'


def windows(inner: str, enabled: str = "true") -> str:
    """The windowsAuthentication section around ``inner``."""
    return (
        "<system.webServer><security><authentication>"
        f'<windowsAuthentication enabled="{enabled}">{inner}</windowsAuthentication>'
        "</authentication></security></system.webServer>"
    )


@pytest.mark.parametrize("name", CAPTURED)
def test_own_flags_out_of_the_box(captured: Read, name: str) -> None:
    """owa, ecp, EWS and Autodiscover have no own sslFlags in any captured version; OAB and mapi have."""
    read = captured(name)
    own = {service: read.own_flags(spec.location) for service, spec in SERVICES.items()}
    assert {service for service in WITHOUT_OWN if own[service] is not None} == set()
    assert own[Service.OAB] == own[Service.MAPI] == SSL
    assert read.own_flags(FRONT_END_SITE) == SSL


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("e15_applicationHost_EPoff_both", None),
        ("e15_applicationHost_EPon_both", None),
        ("e16_applicationHost_EPoff", SSL),
        ("e19_applicationHost_EPoff", SSL),
        ("e19_applicationHost_EPon", SSL),
        ("e19_applicationHost1_EPon_RpcSsl", None),
    ],
)
def test_activesync_inherits_on_2013(captured: Read, name: str, own: str | None) -> None:
    """ActiveSync has own flags on 2016 and 2019 and inherits them on 2013; both come to Require SSL."""
    location = SERVICES[Service.ACTIVESYNC].location
    assert captured(name).own_flags(location) == own
    assert captured(name).flags(location) == SSL


@pytest.mark.parametrize("name", CAPTURED)
def test_every_front_end_service_but_rpc_requires_ssl(captured: Read, name: str) -> None:
    """What is inherited and what is own come to the same: Require SSL, save for Rpc, which Outlook Anywhere owns."""
    read = captured(name)
    flags = {service: read.flags(spec.location) for service, spec in SERVICES.items()}
    rpc = flags.pop(Service.OUTLOOK_ANYWHERE)
    assert set(flags.values()) == {SSL}
    assert rpc == (SSL if "RpcSsl" in name else "None")


@pytest.mark.parametrize("name", CAPTURED)
def test_children_of_owa_keep_their_own_flags(captured: Read, name: str) -> None:
    """owa/Integrated and owa/oma require SSL by themselves, owa/Calendar does not, ActiveSync/Proxy inherits."""
    read = captured(name)
    assert read.own_flags("Default Web Site/owa/Integrated") == SSL
    assert read.own_flags("default web site/OWA/OMA") == SSL
    assert read.flags("Default Web Site/owa/Calendar") == "None"
    assert read.own_flags("Default Web Site/Microsoft-Server-ActiveSync/Proxy") is None
    assert read.flags("Default Web Site/Microsoft-Server-ActiveSync/Proxy") == SSL


@pytest.mark.parametrize("name", CAPTURED)
def test_extended_protection_is_read(captured: Read, name: str) -> None:
    """With EP on, owa, ecp, Rpc and mapi require it, EWS and ActiveSync allow it, Autodiscover has none; off, nothing has."""
    read = captured(name)
    seen = {service: read.token_checking(spec.location) for service, spec in SERVICES.items()}
    if "EPoff" in name:
        assert set(seen.values()) == {"None"}
        return
    required = {service for service, value in seen.items() if value == "Require"}
    assert {Service.OWA, Service.ECP, Service.OUTLOOK_ANYWHERE, Service.MAPI} <= required
    assert seen[Service.EWS] == seen[Service.MRSPROXY] == seen[Service.ACTIVESYNC] == "Allow"
    assert seen[Service.AUTODISCOVER] == "None"
    assert seen[Service.OAB] in {"Allow", "Require"}


@pytest.mark.parametrize("name", CAPTURED)
def test_pools_are_those_of_the_table(captured: Read, name: str) -> None:
    """Each service runs in the app pool that the table of services names."""
    read = captured(name)
    assert {service: read.pool(spec.location) for service, spec in SERVICES.items()} == {
        service: spec.pool for service, spec in SERVICES.items()
    }


@pytest.mark.parametrize("name", CAPTURED)
def test_methods_and_providers(captured: Read, name: str) -> None:
    """Authentication as set-up leaves it: OWA basic only, EWS anonymous and Windows by Negotiate, then NTLM."""
    read = captured(name)
    assert read.methods(SERVICES[Service.OWA].location) == ("basic",)
    assert read.methods(SERVICES[Service.EWS].location) == ("anonymous", "windows")
    assert read.providers(SERVICES[Service.EWS].location) == ("Negotiate", "NTLM")
    assert read.providers(SERVICES[Service.OWA].location) == ()


@pytest.mark.parametrize("name", CAPTURED)
def test_bindings_as_written(captured: Read, name: str) -> None:
    """Both sites' bindings are there, 127.0.0.1 too, and none carries a certificate: HTTP.SYS keeps those."""
    read = captured(name)
    written = {(b.site, b.protocol, b.information) for b in read.bindings}
    assert (FRONT_END_SITE, "https", ":443:") in written
    assert (FRONT_END_SITE, "https", "127.0.0.1:443:") in written
    assert ("Exchange Back End", "https", "*:444:") in written
    assert {b.thumbprint for b in read.bindings} == {None}


def test_a_broken_file_names_its_line(exchange_data: Path) -> None:
    """A file that is not well-formed is Rejected with its line, and says that nothing was changed."""
    with pytest.raises(Rejected, match="line 128") as caught:
        read_config((exchange_data / "e19_BadApplicationHost.config").read_bytes())
    assert caught.value.code == "bad_config"
    assert "nothing was changed" in caught.value.state


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE c [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><configuration>&b;</configuration>',
        '<!DOCTYPE c SYSTEM "file:///etc/passwd"><configuration/>',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_document_types_are_refused(text: str, encoding: str) -> None:
    """No entity is expanded and nothing external is read, in whatever encoding the file comes."""
    with pytest.raises(Rejected) as caught:
        read_config(text.encode(encoding))
    assert caught.value.code == "unsafe_config"


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\x80\x81", b"", b"<web/>"])
def test_what_is_no_configuration_is_rejected(data: bytes) -> None:
    """Bytes that are no text, nothing at all, or another document: Rejected, no traceback."""
    with pytest.raises(Rejected) as caught:
        read_config(data)
    assert caught.value.code == "bad_config"


def test_a_mark_before_the_text_is_no_obstacle() -> None:
    """A byte order mark is skipped, in bytes and in text that came through JSON."""
    assert read_config("\ufeff<configuration/>").flags("x") == "None"
    assert read_config("<configuration/>".encode("utf-8-sig")).flags("x") == "None"


def test_own_then_parent_then_site_then_server() -> None:
    """The nearest value above wins; without any it is None."""
    read = config(
        access("SslMapCert")
        + f'<location path="Site">{access("Ssl")}</location>'
        + f'<location path="Site/a">{access("Ssl, Ssl128")}</location>'
    )
    assert read.flags("Site/a/b") == "Ssl, Ssl128"
    assert read.flags("Site/c") == "Ssl"
    assert read.flags("Other") == "SslMapCert"
    assert config("").flags("Site") == "None"


def test_the_last_of_one_path_wins_in_any_case() -> None:
    """Two location elements of one path, spelled differently, are one location; the later one counts."""
    read = config(
        f'<location path="Site/OWA">{access("Ssl")}</location><location path="site/owa">{access("None")}</location>'
    )
    assert read.own_flags("Site/owa") == "None"
    assert read.flags("SITE/OWA") == "None"


def test_an_element_without_the_value_does_not_hide_it() -> None:
    """A later element of the same path that says nothing of sslFlags leaves the earlier value in force."""
    read = config(f'<location path="S/a">{access("Ssl")}</location><location path="S/a">{windows("")}</location>')
    assert read.own_flags("S/a") == "Ssl"
    assert read.own_flags("S/b") is None


def test_locations_within_locations() -> None:
    """A location inside another is below it; a path of one dot or none is the place itself."""
    read = config(
        f'<location path="Site"><location path="a">{access("Ssl")}</location></location>'
        f'<location path=".">{access("SslMapCert")}</location>'
    )
    assert read.own_flags("Site/a") == "Ssl"
    assert read.flags("Elsewhere") == "SslMapCert"


def test_providers_are_a_collection() -> None:
    """clear, add and remove build on what is inherited; a repeated add and an unknown element change nothing."""
    read = config(
        windows('<providers><add value="Negotiate" /><add value="NTLM" /></providers>')
        + '<location path="S">'
        + windows('<providers><remove value="Negotiate" /><x /></providers>')
        + "</location>"
        + '<location path="S/a">'
        + windows('<providers><add value="NTLM" /><add value="Negotiate" /></providers>')
        + "</location>"
        + '<location path="S/b">'
        + windows("<providers><clear /></providers>", "false")
        + "</location>"
    )
    assert read.providers("S") == ("NTLM",)
    assert read.providers("S/a") == ("NTLM", "Negotiate")
    assert read.providers("S/b") == ()
    assert read.methods("S/b") == ("anonymous",)
    assert read.methods("S/a") == ("anonymous", "windows")


def test_redirects_that_are_on() -> None:
    """An enabled httpRedirect is inherited, and can be switched off below."""
    on = '<system.webServer><httpRedirect enabled="true" destination="/owa" /></system.webServer>'
    off = '<system.webServer><httpRedirect enabled="false" /></system.webServer>'
    read = config(f'<location path="S">{on}</location><location path="S/a">{off}</location>')
    assert read.redirect("S/b") == "/owa"
    assert read.redirect("S/a") is None
    assert read.redirect("T") is None


def test_pools_default_and_unknown() -> None:
    """An application without a pool has the default one; a path belongs to the application above; else it is unknown."""
    read = config(
        '<system.applicationHost><sites><site name="S"><application path="/" /><application path="/a" '
        'applicationPool="P"/></site><applicationDefaults applicationPool="D" /></sites></system.applicationHost>'
    )
    assert (read.pool("S"), read.pool("S/a/b"), read.pool("S/c"), read.pool("T")) == ("D", "P", "D", "")


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("Ssl,Ssl128", "Ssl, Ssl128"),
        (" Ssl , Ssl128 ", "Ssl, Ssl128"),
        ("", "None"),
        ("None", "None"),
        ("0", "None"),
        ("264", "Ssl, Ssl128"),
        ("40", "Ssl, SslNegotiateCert"),
    ],
)
def test_flags_in_one_spelling(text: str, flags: str) -> None:
    """Names with or without spaces, the number IIS keeps, and nothing at all."""
    assert normal_flags(text) == flags


def test_flags_compare_without_order_and_case() -> None:
    """The same flags in another order or case are the same; None is no flag."""
    assert same_flags("Ssl128, ssl", "Ssl,Ssl128")
    assert same_flags("", "None")
    assert not same_flags("Ssl", "Ssl, Ssl128")
