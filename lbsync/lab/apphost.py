"""applicationHost.config of a simulated server, pruned the way ``server-facts`` prunes it.

Rule of this room: it only writes, element by element and in the order captured files show; it shares no code with anything
that reads such a file.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from lbsync.lab import templates
from lbsync.lab.iis import Iis, Location
from lbsync.services import BACK_END_SITE, FRONT_END_SITE

_V15 = r"C:\Program Files\Microsoft\Exchange Server\V15"


def render(iis: Iis) -> str:
    """The document as one line of text, as ``XmlDocument.OuterXml`` has it."""
    root = ET.Element("configuration")
    host = ET.SubElement(root, "system.applicationHost")
    _sites(ET.SubElement(host, "sites"), iis)
    security = ET.SubElement(ET.SubElement(root, "system.webServer"), "security")
    ET.SubElement(security, "access", sslFlags=iis.root_ssl_flags)
    _root_authentication(ET.SubElement(security, "authentication"))
    with iis.changes.lock:
        for location in iis.locations.values():
            _location(root, location)
    return ET.tostring(root, encoding="unicode")


def _sites(sites: ET.Element, iis: Iis) -> None:
    front = ET.SubElement(sites, "site", name=FRONT_END_SITE, id="1")
    known = {path.split("/", 1)[1] for path in iis.locations if "/" in path}
    for path, pool, folder in templates.APPLICATIONS:
        if path != "/" and path.strip("/").lower() not in known:
            continue
        physical = folder if "%" in folder else rf"{_V15}\FrontEnd\HttpProxy\{folder}"
        application = ET.SubElement(front, "application", path=path, applicationPool=pool)
        ET.SubElement(application, "virtualDirectory", path="/", physicalPath=physical)
    _bindings(front, iis, FRONT_END_SITE)
    back = ET.SubElement(sites, "site", name=BACK_END_SITE, id="2", serverAutoStart="true")
    base = ET.SubElement(back, "application", path="/")
    ET.SubElement(base, "virtualDirectory", path="/", physicalPath=rf"{_V15}\ClientAccess")
    for path, pool, folder in templates.BACK_END_APPLICATIONS:
        application = ET.SubElement(back, "application", path=path, applicationPool=pool)
        ET.SubElement(application, "virtualDirectory", path="/", physicalPath=rf"{_V15}\ClientAccess\{folder}")
    _bindings(back, iis, BACK_END_SITE)
    defaults = ET.SubElement(sites, "siteDefaults")
    ET.SubElement(defaults, "logFile", logFormat="W3C", directory=r"%SystemDrive%\inetpub\logs\LogFiles")
    ET.SubElement(sites, "applicationDefaults", applicationPool="DefaultAppPool")
    ET.SubElement(sites, "virtualDirectoryDefaults", allowSubDirConfig="true")


def _bindings(site: ET.Element, iis: Iis, name: str) -> None:
    bindings = ET.SubElement(site, "bindings")
    for entry in iis.bindings:
        if entry.site == name:
            ET.SubElement(bindings, "binding", protocol=entry.protocol, bindingInformation=entry.information)


def _root_authentication(parent: ET.Element) -> None:
    ET.SubElement(parent, "anonymousAuthentication", enabled="true", userName="IUSR")
    ET.SubElement(parent, "basicAuthentication", enabled="false")
    ET.SubElement(parent, "clientCertificateMappingAuthentication", enabled="false")
    ET.SubElement(parent, "digestAuthentication", enabled="false")
    ET.SubElement(parent, "iisClientCertificateMappingAuthentication")
    windows = ET.SubElement(
        parent, "windowsAuthentication", enabled="false", authPersistNonNTLM="true", useKernelMode="false"
    )
    providers = ET.SubElement(windows, "providers")
    for value in templates.NEGOTIATE_NTLM:
        ET.SubElement(providers, "add", value=value)


def _location(root: ET.Element, location: Location) -> None:
    server = ET.SubElement(ET.SubElement(root, "location", path=location.path), "system.webServer")
    security = ET.SubElement(server, "security")
    if location.ssl_flags is not None:
        ET.SubElement(security, "access", sslFlags=location.ssl_flags)
    authentication = ET.SubElement(security, "authentication")
    if location.methods is not None:
        _windows(authentication, location)
        for name in ("anonymous", "digest", "basic"):
            element = ET.SubElement(authentication, f"{name}Authentication", enabled=_flag(name in location.methods))
            if location.logon_method and name != "digest":
                element.set("logonMethod", "ClearText")
    if location.mappings:
        ET.SubElement(authentication, "clientCertificateMappingAuthentication", enabled="false")
        ET.SubElement(authentication, "iisClientCertificateMappingAuthentication", enabled="false")
    if location.redirect is not None:
        ET.SubElement(
            server,
            "httpRedirect",
            enabled="true",
            destination=location.redirect,
            exactDestination="false",
            childOnly="false",
            httpResponseStatus="Found",
        )


def _windows(authentication: ET.Element, location: Location) -> None:
    windows = ET.SubElement(
        authentication, "windowsAuthentication", enabled=_flag("windows" in (location.methods or ()))
    )
    if location.kernel_mode is not None:
        windows.set("useKernelMode", _flag(location.kernel_mode))
    if location.providers is not None:
        providers = ET.SubElement(windows, "providers")
        ET.SubElement(providers, "clear")
        for value in location.providers:
            ET.SubElement(providers, "add", value=value)
    if location.token_checking is not None:
        protection = ET.SubElement(windows, "extendedProtection", tokenChecking=location.token_checking)
        if location.spns:
            protection.set("flags", "None")
            ET.SubElement(protection, "clearSpns")


def _flag(value: bool) -> str:
    return "true" if value else "false"
