"""Every spelling of a path leads where IIS would lead it."""

from __future__ import annotations

import pytest

from lbsync.lab.paths import canonical, place
from lbsync.services import Service

SPELLINGS = (
    "/ews/mrsproxy.svc",
    "/EWS/mrsproxy.svc",
    "/EWS/%6Drsproxy.svc",
    "/EWS/%6drsproxy%2Esvc",
    "/ews//mrsproxy.svc",
    "/ews/../ews/mrsproxy.svc",
    "/owa/../ews/./mrsproxy.svc",
    "/ews/mrsproxy.svc/",
    "/ews/mrsproxy.svc/x",
    "/ews/mrsproxy.svc;x=1",
    "/ews;x=1/mrsproxy.svc",
    "/ews\\mrsproxy.svc",
    "/ews%5Cmrsproxy.svc",
    "/ews%2fmrsproxy.svc",
    "/%65ws/mrsproxy.svc?x=/owa",
    "/ews/%u006Drsproxy.svc",
    "/ews/mrsproxy.svc.",
    "/ews/mrsproxy.svc%20",
    "http://mail.contoso.test/ews/mrsproxy.svc",
)
"""What a client may write and MRSProxy answers to."""


@pytest.mark.parametrize("target", SPELLINGS)
def test_spellings_of_mrsproxy(target: str) -> None:
    """All of these are MRSProxy to the server."""
    path = canonical(target)
    assert path is not None
    assert place(path).service == Service.MRSPROXY.value


@pytest.mark.parametrize(
    ("target", "service"),
    [
        ("/", "root"),
        ("", "root"),
        ("/owa", "owa"),
        ("/OWA/", "owa"),
        ("/owa/Calendar/x", "owa"),
        ("/ecp/?x=1", "ecp"),
        ("/EWS/Exchange.asmx", "ews"),
        ("/ews/mrsproxy.svcx", "ews"),
        ("/ews/mrs", "ews"),
        ("/rpc/rpcproxy.dll?ex01:6001", "outlook_anywhere"),
        ("/mapi/emsmdb/", "mapi"),
        ("/Microsoft-Server-ActiveSync?Cmd=Ping", "activesync"),
        ("/oab/x/oab.xml", "oab"),
        ("/Autodiscover/Autodiscover.xml", "autodiscover"),
        ("/PowerShell/", "powershell"),
        ("/api/v2.0/me", "api"),
        ("/owax", "unknown"),
        ("/iisstart.htm", "unknown"),
        ("/../../", "root"),
    ],
)
def test_paths_lead_to_services(target: str, service: str) -> None:
    """A path belongs to the application it lies in, whatever its case."""
    path = canonical(target)
    assert path is not None
    assert place(path).service == service


@pytest.mark.parametrize("target", ["/ews/%256Drsproxy.svc", "/owa/%00", "/owa/%FF"])
def test_refused_paths(target: str) -> None:
    """Double escapes, zero bytes and bytes that are no UTF-8 get 400."""
    assert canonical(target) is None


def test_a_pool_of_its_own() -> None:
    """The published calendar runs in another pool than the rest of OWA."""
    assert place("/owa/calendar").pool == "MSExchangeOWACalendarAppPool"
    assert place("/owa/x").pool == "MSExchangeOWAAppPool"
