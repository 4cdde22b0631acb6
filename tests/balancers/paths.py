"""Request targets, and where each must end on a balancer that has every offloadable service in clear.

Rule of this file: data, and the two readings of a target that judge any other: the strict one that port 80 asks for, and every
one that Windows may take. Neither knows how a balancer tells them apart.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

CANONICAL = [
    ("/owa", "http"),
    ("/owa/", "http"),
    ("/OWA/auth/logon.aspx?url=https%3a%2f%2fmail%2fowa", "http"),
    ("/owa/user@contoso.test/?path=/mail", "http"),
    ("/owa/.well-known/a..b/-/_", "http"),
    ("/owa/?a=/../powershell&b=%2e%2e/ews/mrsproxy.svc", "http"),
    ("/owa??", "http"),
    ("/owa/" + "a" * 6000, "http"),
    ("/owa" * 50, "http"),
    ("/ecp/15.1.2507.9/scripts/js.axd", "http"),
    ("/rpc/rpcproxy.dll?ex01.contoso.test:6001", "http"),
    ("/OAB/0e0f7f6e-3d5c-4a3a-9a2f-0c8f5d1c2b3a/oab.xml", "http"),
    ("/Microsoft-Server-ActiveSync?Cmd=Ping", "http"),
    ("/EWS/Exchange.asmx", "http"),
    ("/ews?/mrsproxy.svc", "http"),
    ("/ews/mrsproxy.svcx", "404"),
    ("/ews/mrsproxy", "http"),
    ("/ews/x/mrsproxy.svc", "http"),
    ("/Autodiscover/Autodiscover.xml", "http"),
    ("/autodiscover/autodiscover.json/v1.0/user@contoso.test?Protocol=EWS", "http"),
    ("/mapi/emsmdb/?MailboxId=1@contoso.test", "http"),
]
"""Known prefixes at the end of a segment, in any case."""

MRSPROXY = [
    "/ews/mrsproxy.svc",
    "/EWS/MRSProxy.svc",
    "/EWS/MRSProxy.svc/",
    "/ews/mrsproxy.svc/x",
    "/ews/mrsproxy.svc?x=1",
    "/ews/mrsproxy.svc/?x",
    "/ews/mrsproxy.svc?/owa/",
    "/ews/mrsproxy.svc/powershell",
    "/ews//mrsproxy.svc",
    "//ews/mrsproxy.svc",
    "/ews" + "/" * 2000 + "mrsproxy.svc",
    "/EWS/%6Drsproxy.svc",
    "/%65ws/mrsproxy.svc",
    "/ews/%4d%52%53%50%72%6f%78%79%2e%73%76%63",
    "/%45%57%53/mrsproxy%2esvc",
    "/ews%2fmrsproxy.svc",
    "/ews%2F%2fmrsproxy.svc",
    "/ews%5cmrsproxy.svc",
    "/ews%5Cmrsproxy.svc%5cx",
    "/ews\\mrsproxy.svc",
    "/ews\\/mrsproxy.svc",
    "/ews/\\mrsproxy.svc",
    "/ews/mrsproxy.svc\\",
    "/ews/./mrsproxy.svc",
    "/ews/%2e/mrsproxy.svc",
    "/ews/.//mrsproxy.svc",
    "/./ews/mrsproxy.svc",
    "/%2e/ews/mrsproxy.svc",
    "/../ews/mrsproxy.svc",
    "/x/../ews/mrsproxy.svc",
    "/ews/../ews/mrsproxy.svc",
    "/ews/x/../mrsproxy.svc",
    "/ews/x/%2e%2e/mrsproxy.svc",
    "/ews/x%2f..%2fmrsproxy.svc",
    "/ews/x%5c..%5cmrsproxy.svc",
    "/ews/" + "x/../" * 500 + "mrsproxy.svc",
    "/ews/" + "%78/%2e%2e/" * 500 + "mrsproxy.svc",
    "/ews/mrsproxy.svc/../mrsproxy.svc",
    "/owa/../ews/mrsproxy.svc",
    "/owa/a/b/../../../ews/mrsproxy.svc",
    "/owa/%2e%2e/ews/mrsproxy.svc",
    "/owa%5c..%5cews%5cmrsproxy.svc",
    "/owa\\..\\ews\\mrsproxy.svc",
    "/rpc/%2e%2e%5cews%2fmrsproxy.svc",
    "/ews/mrsproxy.svc;x=1",
    "/ews/mrsproxy.svc;",
    "/ews/mrsproxy.svc;a=b;c=d/x",
    "/ews;x=1/mrsproxy.svc",
    "/ews;/mrsproxy.svc",
    "/ews/mrsproxy.svc.",
    "/ews/mrsproxy.svc...",
    "/ews/mrsproxy.svc%2e",
    "/ews/mrsproxy.svc.%20.",
    "/ews./mrsproxy.svc",
    "/ews%20/mrsproxy.svc",
    "/ews/mrsproxy.svc%20",
    "/ews/mrsproxy.svc%2f",
]
"""MRSProxy, and what Windows or some server in between may take for it: published over TLS only."""

ODD = [
    "/ews/%256Drsproxy.svc",
    "/ews/mrspro~1.svc",
    "/ews/mrsproxy.svc::$DATA",
    "/ews/mrsproxy.svc#x",
    "/ews/mrsproxy.svc%23x",
    "/ews/mrsproxy.svc%3fx=1",
    "/ews/mrsproxy.svc%00",
    "/ews/mrsproxy.svc%2500",
    "/ews/mrsproxy%00.svc",
    "/ews/mrsproxy.svc%01",
    "/ews/mrsproxy\x01.svc",
    "/ews/mrsproxy.svc%09",
    "/ews/mrsproxy.svc%0a",
    "/ews/mrsproxy.svc\x0b",
    "/ews/mrsproxy.svc%c2%a0",
    "/ews/mrsproxy.svc%e3%80%80",
    "/ews/mrsproxy%e3%80%82svc",
    "/ews/mrs%e2%80%8bproxy.svc",
    "/ews/%ef%bd%8drsproxy.svc",
    "/ews/\xef\xbd\x8drsproxy.svc",
    "/ews/%u006drsproxy.svc",
    "/ews%c0%afmrsproxy.svc",
    "/ews%ef%bc%8fmrsproxy.svc",
    "/ews%e2%81%84mrsproxy.svc",
    "/owa/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/ews/mrsproxy.svc",
    "/owa/%2e%2e%5cews%5cmrsproxy.svc",
    "/owa/..%255cews%255cmrsproxy.svc",
    "/owa/%c0%ae%c0%ae/ews/mrsproxy.svc",
    "/owa/%c0%ae%c0%ae%c0%afews%c0%afmrsproxy.svc",
    "/owa/%u002e%u002e/ews/mrsproxy.svc",
    "/owa/..;/ews/mrsproxy.svc",
    "/owa/#/../ews/mrsproxy.svc",
    "/owa#/ews/mrsproxy.svc",
    "/owa//",
    "//owa",
    "/%6fwa",
    "/owa/" + "%61" * 4000,
    "/owa;jsessionid=1",
    "/owa/x;y/z",
    "/ecp/./x",
    "/owa/a/../b",
    "/owa/.",
    "/owa/..",
    "/owa/...",
    "/owa/%2e",
    "/owa/x.",
    "/owa/x../y",
    "/OWA/%2E%2E/ecp/",
    "/owa/%2F..%2Fx",
    "/owa/x%20y",
    "/owa/x:y",
    "/owa/x~y",
    "/owa/x'y",
    "/owa/x*y!(z)$&",
    '/owa/"<x>|{y}^`',
    "/owa/x\\y",
    "/owa/%5c",
    "/owa/%7e",
    "/owa/%c3%a4",
    "/owa/%e4%ff",
    "/owa/\xe4",
    "/owa/\x7f",
    "/owa/%",
    "/owa/%4",
    "/owa/%u0041",
    "/owa/x%3f",
    "/owa/x%0d%0aX-Forwarded-Proto:%20http",
    "/ews/exchange.asmx#fragment",
]
"""Neither canonical nor plainly MRSProxy: over TLS or nowhere."""

HARMLESS = ["/%6fwa", "/owa;jsessionid=1", "//owa", "/owa/x%20y", "/owa/x:y", "/owa/x~y", "/owa/%c3%a4", "/owa/x%2Fy"]
"""Odd spellings that real clients send."""

ABSENT = [
    "/owafoo",
    "/ow",
    "/powershell",
    "/PowerShell/",
    "/powershell?serializationLevel=Full",
    "/powershell-proxy",
    "/powershell;x=1",
    "/powershell.",
    "/powershell%20",
    "/powershell%2f",
    "/%70owershell",
    "/%u0070owershell",
    "//powershell",
    "/" * 2000 + "powershell",
    "/%2fpowershell",
    "/\\powershell",
    "\\powershell",
    "powershell",
    "/./powershell",
    "/owa/../powershell",
    "/owa/%2e%2e/powershell",
    "/owa/.%2e/powershell",
    "/owa/%u002e%u002e/powershell",
    "/owa/x/../../powershell",
    "/owa/" + "x/../" * 500 + "../powershell",
    "/owa\\..\\powershell",
    "/owa/..%2fpowershell",
    "/OWA/..%5CPOWERSHELL",
    "/owa/..%255cpowershell",
    "/owa/..%c0%afpowershell",
    "/owa/#/../../powershell",
    "/powershell\\x/../owa/",
    "/%70owershell%5cx/../owa/",
    "/owa#\\..\\powershell",
    "/owa/..%ef%bc%8fpowershell",
    "/owa/..%5c" + "x/" * 3000 + "powershell",
    "/owa/..;/powershell",
    "/owa/..;x/%70owershell",
    "/owa/..%0a/powershell",
    "/owa/%0a/..;/powershell",
    "/ews/mrsproxy.svc%0a/..%5c..%5c..%5cpowershell",
    "/owa/%00/../powershell",
    "/owa/..%5cpower%73hell?x",
    "/mapi/%2e%2e%2f%70%6f%77%65%72%73%68%65%6c%6c",
    "/autodiscover/%2e%2e/%50owershell/",
    "/api",
    "/API/v2.0/me",
    "/%61pi",
    "/x",
    "/owa/../",
    "//",
    "/..%2f",
    "/aspnet_client/x",
    "/%zz",
    "*",
]
"""Not published: no server sees it, however it is spelled."""

CLIMBING = [
    "/ecp",
    "/ECP/",
    "/%65cp",
    "//ecp",
    "/ecp;x/",
    "/ecp.",
    "/./ecp",
    "/owa/../ecp",
    "/owa/%2e%2e/ecp/",
    "/owa%2f..%2fecp",
    "/owa\\..\\ecp",
    "/owa%5c..%5cecp/x",
    "/owa/..\\ecp",
    "/owa/..%5Cecp",
    "/owa/x/..\\..\\ecp",
    "/owa/x%5c..%5c..%5cecp",
    "/owa/.%2e%5cecp",
    "/owa/..%5c..%5c..%5cecp",
    "/owa/x/../..%5cecp",
    "/owa/#/../../ecp",
    "/owa#/../ecp",
    "/owa/..;/ecp",
    "/owa/..%20%5cecp",
]
"""ECP, and what Windows may take for it, where it is not published while OWA is."""

AMBIGUOUS = [
    "/powershell/..;/owa/",
    "/powershell/.%2e;x/owa/",
    "/powershell/;/../owa/",
    "/powershell/.;/../owa/",
    "/%70owershell/%2e%2e%20/owa/",
    "/powershell/x%2f..%2f..%2fowa/",
    "/powershell/%2e%2e%2Fowa/",
]
"""PowerShell for whoever takes ``..`` with something beside it for a name, OWA for whoever takes it for a step up."""

EVERY = [target for target, _ in CANONICAL] + MRSPROXY + ODD + HARMLESS + ABSENT + CLIMBING + AMBIGUOUS
"""All of them."""

_CLEAR = frozenset(string.ascii_letters + string.digits + "_@.,=+-")
_U = re.compile(r"%u([0-9A-Fa-f]{4})")
_HEX = re.compile(r"%([0-9A-Fa-f]{2})")


def named(target: str) -> str:
    """A test's name for a target, short where the target is long."""
    return target if len(target) < 60 else f"{target[:40]}... ({len(target)})"


def may_be_in_clear(target: str) -> bool:
    """Whether a target may reach port 80: segments of harmless characters, none empty, none that ends in a dot, no MRSProxy."""
    path = target.partition("?")[0]
    segments = path.removeprefix("/").removesuffix("/").split("/")
    if not path.startswith("/") or not all(one and set(one) <= _CLEAR and not one.endswith(".") for one in segments):
        return False
    return not may_lead_to(target, "ews", "mrsproxy.svc")


def may_lead_to(target: str, *segments: str) -> bool:
    """Whether any reading of a target begins with these segments, in lower case."""
    return any(found[: len(segments)] == segments for found in readings(target))


def readings(target: str) -> Iterator[tuple[str, ...]]:
    """The segments of a target, as whatever decodes it may see them: lower case, resolved, without what Windows drops."""
    for path in {target.partition("?")[0], re.split("[?#]", target, maxsplit=1)[0]}:
        once = _HEX.sub(_character, _U.sub(_character, path))
        for text in {once, once.split("\0")[0]}:
            for parameters in (False, True):
                yield _resolved(text, parameters=parameters)


def _character(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def _resolved(text: str, *, parameters: bool) -> tuple[str, ...]:
    """``parameters``: as IIS has it, a semicolon and what follows are no part of a segment."""
    found: list[str] = []
    for segment in text.replace("\\", "/").lower().split("/"):
        name = segment.partition(";")[0] if parameters else segment
        if name == "..":
            found[-1:] = []
        elif name := name.rstrip(". \t\r\n"):
            found.append(name)
    return tuple(found)
