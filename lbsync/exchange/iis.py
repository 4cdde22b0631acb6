"""applicationHost.config, read: own values of a location, and what it inherits.

Rule of this room: pure, and IIS' own rules only: a location's own value, else its parent's, else the site's, else the
server's; names of locations compare without case; the last of several elements of one path wins. It never knows Exchange.

Source: captured applicationHost.config files of Exchange 2013, 2016 and 2019; IIS_schema.xml for the default values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError, XMLParser

from lbsync.errors import Rejected

_ACCESS = "system.webServer/security/access"
_AUTHENTICATION = "system.webServer/security/authentication"
_REDIRECT = "system.webServer/httpRedirect"
_METHODS = ("anonymous", "basic", "windows", "digest")

# IIS_schema.xml: the flags enumeration of sslFlags, in its order.
_FLAG_BITS = (("Ssl", 8), ("SslNegotiateCert", 32), ("SslRequireCert", 64), ("SslMapCert", 128), ("Ssl128", 256))
NO_FLAGS = "None"


class Binding(NamedTuple):
    """One binding of a site, as written; ``thumbprint`` only where the text carries a certificate hash."""

    site: str
    protocol: str
    information: str
    thumbprint: str | None


@dataclass(frozen=True, slots=True)
class Section:
    """What one location element says itself; ``None`` for what it does not say."""

    ssl_flags: str | None
    methods: Mapping[str, bool]
    token_checking: str | None
    providers: Element | None
    redirect: Element | None


@dataclass(frozen=True, slots=True)
class IisConfig:
    """One server's IIS. ``pools`` maps an application's location to its pool, ``spelling`` a lower-case location to its own."""

    sections: Mapping[str, tuple[Section, ...]]
    pools: Mapping[str, str]
    spelling: Mapping[str, str]
    bindings: tuple[Binding, ...]

    def own_flags(self, location: str) -> str | None:
        """The location's own sslFlags, or ``None`` when it inherits."""
        return _last(section.ssl_flags for section in self.sections.get(location.lower(), ()))

    def flags(self, location: str) -> str:
        """The sslFlags that hold for a location; ``None`` (the word) by default."""
        return _last(section.ssl_flags for section in self._down(location)) or NO_FLAGS

    def token_checking(self, location: str) -> str:
        """Extended Protection's tokenChecking that holds for a location; ``None`` (the word) by default."""
        return _last(section.token_checking for section in self._down(location)) or "None"

    def methods(self, location: str) -> tuple[str, ...]:
        """The authentication methods that are on at a location; only anonymous is by default."""
        enabled = {"anonymous": True}
        for section in self._down(location):
            enabled.update(section.methods)
        return tuple(method for method in _METHODS if enabled.get(method))

    def providers(self, location: str) -> tuple[str, ...]:
        """The providers of Windows authentication that hold for a location, in order."""
        names: list[str] = []
        for section in self._down(location):
            for item in section.providers if section.providers is not None else ():
                value = item.get("value", "")
                match item.tag:
                    case "clear":
                        names.clear()
                    case "add" if value not in names:
                        names.append(value)
                    case "remove" if value in names:
                        names.remove(value)
                    case _:
                        pass  # a comment, or an entry that changes nothing
        return tuple(names)

    def redirect(self, location: str) -> str | None:
        """Where an enabled httpRedirect sends a location, or ``None``. Own to this file: a web.config may say otherwise."""
        enabled, destination = False, ""
        for section in self._down(location):
            if section.redirect is not None:
                enabled = _truth(section.redirect.get("enabled"), fallback=enabled)
                destination = section.redirect.get("destination", destination)
        return destination if enabled else None

    def pool(self, location: str) -> str:
        """The app pool that runs a location: its application's, else that of the application above; empty when unknown."""
        key = location.lower()
        while key:
            if key in self.pools:
                return self.pools[key]
            key = key.rpartition("/")[0]
        return ""

    def _down(self, location: str) -> Iterator[Section]:
        """Every section that bears on a location, from the server's down to its own."""
        yield from self.sections.get("", ())
        path = ""
        for part in location.lower().split("/"):
            path = f"{path}/{part}" if path else part
            yield from self.sections.get(path, ())


@lru_cache(maxsize=4)
def read_config(text: str | bytes) -> IisConfig:
    """Read a whole or a pruned applicationHost.config (bytes: UTF-8 or UTF-16 with its mark).

    Raises Rejected ``bad_config`` where it is not well-formed, naming the line; ``unsafe_config`` where it declares a
    document type, which IIS never writes and which could make the reader expand without end. The last few are remembered:
    members of a farm are alike, and this is most of what reading a server costs.
    """
    root = _parse(text)
    if root.tag != "configuration":
        raise Rejected(f"applicationHost.config begins with <{root.tag}>, not <configuration>.", code="bad_config")
    sections: dict[str, list[Section]] = {"": [_section(root)]}
    spelling: dict[str, str] = {}
    _locations(root, "", sections, spelling)
    pools: dict[str, str] = {}
    bindings: list[Binding] = []
    sites = root.find("system.applicationHost/sites")
    if sites is not None:
        _sites(sites, pools, bindings, spelling)
    return IisConfig(
        sections=MappingProxyType({path: tuple(found) for path, found in sections.items()}),
        pools=MappingProxyType(pools),
        spelling=MappingProxyType(spelling),
        bindings=tuple(bindings),
    )


def normal_flags(text: str) -> str:
    """SslFlags in one spelling: ``Ssl, Ssl128`` from ``Ssl,Ssl128`` or from the number IIS keeps; empty is ``None``."""
    text = text.strip()
    if text.isdigit():
        return ", ".join(name for name, bit in _FLAG_BITS if int(text) & bit) or NO_FLAGS
    return ", ".join(part.strip() for part in text.split(",") if part.strip()) or NO_FLAGS


def same_flags(one: str, other: str) -> bool:
    """True when two sslFlags mean the same, whatever their order, spaces and case."""
    return _flag_set(one) == _flag_set(other)


def _flag_set(text: str) -> frozenset[str]:
    return frozenset(part.strip().lower() for part in normal_flags(text).split(",")) - {"none"}


def _parse(text: str | bytes) -> Element:
    if isinstance(text, bytes):
        encoding = "utf-16" if text[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
        try:
            text = text.decode(encoding)
        except UnicodeDecodeError as error:
            raise Rejected(f"applicationHost.config is not {encoding} text.", code="bad_config") from error
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Rejected(
            "applicationHost.config declares a document type or an entity. IIS never writes that, so it is not read.",
            code="unsafe_config",
            remedy="look at the file on that server: somebody else may have written it",
        )
    # No document type means no entity of its own, so nothing external is read and nothing expands.
    parser = XMLParser()  # noqa: S314
    try:
        parser.feed(text.lstrip("\ufeff"))
        return parser.close()
    except ParseError as error:
        line, column = error.position
        raise Rejected(
            f"applicationHost.config is not well-formed at line {line}, column {column + 1}: {error.msg.partition(':')[0]}.",
            code="bad_config",
            state="nothing was changed",
            remedy="IIS keeps copies of the file in C:\\inetpub\\history; repair it before anything else",
        ) from error


def _locations(parent: Element, below: str, sections: dict[str, list[Section]], spelling: dict[str, str]) -> None:
    for element in parent.findall("location"):
        path = "/".join(part for part in (below, element.get("path", "").strip("/")) if part and part != ".")
        spelling.setdefault(path.lower(), path)
        sections.setdefault(path.lower(), []).append(_section(element))
        _locations(element, path, sections, spelling)


def _section(element: Element) -> Section:
    access = element.find(_ACCESS)
    flags = None if access is None else access.get("sslFlags")
    methods: dict[str, bool] = {}
    token = providers = None
    authentication = element.find(_AUTHENTICATION)
    for method in _METHODS if authentication is not None else ():
        found = authentication.find(f"{method}Authentication") if authentication is not None else None
        if found is None:
            continue
        if "enabled" in found.attrib:
            methods[method] = _truth(found.get("enabled"), fallback=False)
        if method == "windows":
            providers = found.find("providers")
            protection = found.find("extendedProtection")
            token = None if protection is None else protection.get("tokenChecking")
    return Section(
        ssl_flags=None if flags is None else normal_flags(flags),
        methods=methods,
        token_checking=token,
        providers=providers,
        redirect=element.find(_REDIRECT),
    )


def _sites(sites: Element, pools: dict[str, str], bindings: list[Binding], spelling: dict[str, str]) -> None:
    defaults = sites.find("applicationDefaults")
    fallback = "" if defaults is None else defaults.get("applicationPool", "")
    for site in sites.findall("site"):
        name = site.get("name", "")
        for application in site.findall("application"):
            location = f"{name}{application.get('path', '/')}".rstrip("/")
            pools[location.lower()] = application.get("applicationPool", fallback)
            spelling[location.lower()] = location
        for binding in site.findall("bindings/binding"):
            thumbprint = binding.get("certificateHash", "").upper() or None
            information = binding.get("bindingInformation", "")
            bindings.append(Binding(name, binding.get("protocol", ""), information, thumbprint))


def _truth(text: str | None, *, fallback: bool) -> bool:
    return fallback if text is None else text.strip().lower() == "true"


def _last(values: Iterator[str | None]) -> str | None:
    found = None
    for value in values:
        found = value if value is not None else found
    return found
