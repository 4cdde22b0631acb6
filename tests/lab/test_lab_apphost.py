"""The rendered applicationHost.config says what captured ones say, location by location."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from lbsync.lab import apphost
from lbsync.lab.iis import Changes, Iis
from lbsync.lab.spec import Version

_SITE = "Default Web Site"


def _rendered(iis: Iis) -> ET.Element:
    return ET.fromstring(apphost.render(iis))  # noqa: S314  our own text


def _settings(location: ET.Element) -> dict[str, object]:
    """What a location says of Require SSL and authentication."""
    server = location.find("system.webServer")
    said: dict[str, object] = {}
    if server is None:
        return said
    access = server.find("security/access")
    if access is not None:
        said["sslFlags"] = access.get("sslFlags")
    for method in server.findall("security/authentication/*"):
        said[method.tag] = dict(method.attrib)
        for child in method.iter():
            if child is not method:
                said[f"{method.tag}/{child.tag}/{child.get('value', '')}"] = {
                    name: value for name, value in child.attrib.items() if name != "value"
                }
    return said


def _front_end(root: ET.Element) -> dict[str, dict[str, object]]:
    paths = {location.get("path", ""): location for location in root.findall("location")}
    return {path: _settings(at) for path, at in paths.items() if path == _SITE or path.startswith(f"{_SITE}/")}


def _bindings(root: ET.Element) -> set[tuple[str, str, str]]:
    return {
        (site.get("name", ""), binding.get("protocol", ""), binding.get("bindingInformation", ""))
        for site in root.findall("system.applicationHost/sites/site")
        for binding in site.findall("bindings/binding")
        if "msmq" not in binding.get("protocol", "")
    }


def _pools(root: ET.Element) -> dict[str, str | None]:
    site = root.find(f"system.applicationHost/sites/site[@name='{_SITE}']")
    assert site is not None
    return {app.get("path", ""): app.get("applicationPool") for app in site.findall("application")}


@pytest.mark.parametrize(
    ("file", "version", "protected"),
    [
        ("e15_applicationHost_EPoff_both.config", "2013", False),
        ("e15_applicationHost_EPon_both.config", "2013", True),
        ("e16_applicationHost_EPoff.config", "2016", False),
        ("e19_applicationHost_EPoff.config", "2019", False),
        ("e19_applicationHost_EPon.config", "2019", True),
    ],
)
def test_like_captured_files(exchange_data: Path, file: str, version: Version, protected: bool) -> None:
    """Locations, own sslFlags, authentication, tokenChecking, bindings and pools are those of a real server."""
    captured = ET.parse(exchange_data / file).getroot()  # noqa: S314  a file of our own
    iis = Iis.after_setup(version, Changes(), 0.1, extended_protection=protected)
    rendered = _rendered(iis)
    assert _front_end(rendered) == _front_end(captured)
    assert _bindings(rendered) == _bindings(captured)
    assert _pools(rendered) == _pools(captured)
    root = "system.webServer/security/access"
    assert rendered.find(root) is not None
    assert [e.attrib for e in rendered.findall(root)] == [e.attrib for e in captured.findall(root)]


def test_before_sp1_there_is_no_mapi() -> None:
    """Exchange 2013 without SP1 has neither MAPI over HTTP nor the REST API."""
    rendered = _rendered(Iis.after_setup("2013rtm", Changes(), 0.1, extended_protection=False))
    assert {f"{_SITE}/mapi", f"{_SITE}/API"}.isdisjoint(_front_end(rendered))
    assert {"/mapi", "/API"}.isdisjoint(_pools(rendered))


def test_a_redirect_is_rendered() -> None:
    """An enabled httpRedirect of a location is in the file."""
    iis = Iis.after_setup("2019", Changes(), 0.1, extended_protection=False)
    iis.locations[_SITE.lower()].redirect = "/owa"
    element = _rendered(iis).find("location/system.webServer/httpRedirect")
    assert element is not None
    assert (element.get("enabled"), element.get("destination")) == ("true", "/owa")


def test_inheritance() -> None:
    """Own, parent's, site's, root's: the nearest value counts, and a location nobody knows is accepted [u]."""
    iis = Iis.after_setup("2019", Changes(), 0.1, extended_protection=False)
    assert iis.ssl_flags(f"{_SITE}/OWA/x") == "Ssl, Ssl128"
    iis.write_ssl_flags(_SITE, None)
    assert iis.ssl_flags(f"{_SITE}/owa") == "None"
    assert iis.ssl_flags(f"{_SITE}/OAB") == "Ssl, Ssl128"
    iis.write_ssl_flags(f"{_SITE}/MSExchangeSyncAppPool", "None")
    assert iis.own_values()[f"{_SITE}/MSExchangeSyncAppPool"] == "None"
    iis.write_ssl_flags(f"{_SITE}/never", None)
    assert f"{_SITE}/never" not in iis.own_values()
    assert iis.methods("Elsewhere") == ("anonymous",)
