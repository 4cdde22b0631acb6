"""What IIS decides before Exchange is asked, over real HTTP and HTTPS."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.client import RemoteDisconnected
from typing import Any

import pytest

from lbsync.lab.farm import LabFarm
from lbsync.services import FRONT_END_SITE, SERVICES

Lab = Callable[..., LabFarm]
Browse = Callable[..., Any]

BALANCED = [spec for spec in SERVICES.values() if spec.offloadable]


@pytest.mark.parametrize("spec", BALANCED, ids=lambda spec: spec.service.value)
def test_require_ssl(lab: Lab, browse: Browse, spec: Any) -> None:
    """A service that requires SSL answers 403 on http and is healthy on https; without it both are healthy."""
    farm = lab()
    server = farm.servers["EX01"]
    plain, secure = browse(farm, server), browse(farm, server, "https")
    assert plain.ask(spec.health_path)[0] == 403
    assert secure.ask(spec.health_path)[::2] == (200, b"200 OK<br/>EX01.CONTOSO.TEST")
    server.state.iis.locations[spec.location.lower()].ssl_flags = "None"
    assert plain.ask(spec.health_path)[0] == 200
    assert secure.ask(spec.health_path)[0] == 200
    assert server.state.web.requests[spec.service.value, "http", 403] == 1


def test_the_root_redirects_over_tls_only(lab: Lab, browse: Browse) -> None:
    """``/`` keeps Require SSL and redirects to OWA."""
    farm = lab()
    server = farm.servers["EX01"]
    assert browse(farm, server).ask("/")[0] == 403
    status, headers, _ = browse(farm, server, "https").ask("/", headers={"Host": "mail.contoso.test"})
    assert (status, headers["location"]) == (302, "https://mail.contoso.test/owa/")


def test_children_keep_their_own_flags(lab: Lab, browse: Browse) -> None:
    """owa/Integrated and owa/oma still require SSL when owa does not; owa/Calendar never did."""
    farm = lab()
    server = farm.servers["EX01"]
    plain = browse(farm, server)
    assert plain.ask("/owa/Calendar/lab-echo")[0] == 200
    server.state.iis.write_ssl_flags("Default Web Site/owa", "None")
    assert plain.ask("/owa/lab-echo")[0] == 200
    assert plain.ask("/owa/oma/lab-echo")[0] == 403
    assert plain.ask("/owa/Integrated/x")[0] == 403


def test_an_inactive_component_fails_its_health_page(lab: Lab, browse: Browse) -> None:
    """Only the page of the inactive component's service is not 200; ServerWideOffline fails all."""
    farm = lab()
    server = farm.servers["EX01"]
    secure = browse(farm, server, "https")
    server.state.components["OwaProxy"] = "Inactive"
    assert secure.ask("/owa/healthcheck.htm")[0] == 503
    assert secure.ask("/ecp/healthcheck.htm")[0] == 200
    server.state.components["ServerWideOffline"] = "Inactive"
    assert secure.ask("/ecp/healthcheck.htm")[0] == 503


def test_the_health_page_may_ignore_ssl(lab: Lab, browse: Browse) -> None:
    """Whether healthcheck.htm obeys sslFlags is a knob, for no page says so."""
    farm = lab(health_obeys_ssl=False)
    assert browse(farm, farm.servers["EX01"]).ask("/owa/healthcheck.htm")[0] == 200


def test_unknown_paths_and_other_applications(lab: Lab, browse: Browse) -> None:
    """Unknown is 404, PowerShell and API ask for a logon and are counted apart, a bad path is 400."""
    farm = lab()
    server = farm.servers["EX01"]
    secure = browse(farm, server, "https")
    assert secure.ask("/nothing")[0] == 404
    assert secure.ask("/api/v1")[0] == 401
    assert secure.ask("/PowerShell/")[0] == 401
    assert secure.ask("/owa/%00")[0] == 400
    assert {name for name, _scheme, _status in server.state.web.requests} == {"unknown", "api", "powershell"}


def test_a_recycle_with_a_gap(lab: Lab, browse: Browse) -> None:
    """A pool without overlapping rotation answers 503 while it is recycled, and works again after."""
    farm = lab(gap_s=60.0)
    server = farm.servers["EX01"]
    assert browse(farm, server, "https").ask("/mapi/healthcheck.htm")[0] == 200
    server.state.iis.recycle("MSExchangeMapiFrontEndAppPool")
    assert server.state.iis.pool_state("MSExchangeMapiFrontEndAppPool") == "Stopping"
    assert browse(farm, server, "https").ask("/mapi/healthcheck.htm")[0] == 503
    assert browse(farm, server, "https").ask("/owa/healthcheck.htm")[0] == 200
    server.state.iis.pools["msexchangemapifrontendapppool"].gap_until = 0.0
    assert browse(farm, server, "https").ask("/mapi/healthcheck.htm")[0] == 200


def test_a_recycle_cuts_what_a_gap_pool_works_on(lab: Lab, browse: Browse) -> None:
    """A request running in such a pool dies with it."""
    farm = lab(gap_s=0.1)
    server = farm.servers["EX01"]
    ended: list[object] = []

    def poll() -> None:
        try:
            ended.append(browse(farm, server, "https").ask("/mapi/lab-echo?wait=20"))
        except (RemoteDisconnected, OSError) as cut:
            ended.append(cut)

    thread = threading.Thread(target=poll)
    thread.start()
    front = server.front_end
    assert front is not None
    deadline = threading.Event()
    while not front.running("MSExchangeMapiFrontEndAppPool"):
        deadline.wait(0.01)
    server.state.iis.recycle("MSExchangeMapiFrontEndAppPool")
    thread.join(10)
    assert isinstance(ended[0], Exception)
    assert server.state.web.cut == 1


def test_an_overlapping_recycle_loses_nothing(lab: Lab, browse: Browse) -> None:
    """The first request after it is slow, and that is all."""
    farm = lab()
    server = farm.servers["EX01"]
    server.state.iis.recycle("MSExchangeOWAAppPool")
    assert server.state.iis.pools["msexchangeowaapppool"].cold
    assert browse(farm, server, "https").ask("/owa/healthcheck.htm")[0] == 200
    assert not server.state.iis.pools["msexchangeowaapppool"].cold


def test_a_stopped_pool_is_unavailable(lab: Lab, browse: Browse) -> None:
    """A pool that somebody stopped answers 503 and closes."""
    farm = lab()
    server = farm.servers["EX01"]
    server.state.iis.pools["msexchangeowaapppool"].state = "Stopped"
    status, headers, _ = browse(farm, server, "https").ask("/owa/healthcheck.htm")
    assert (status, headers["connection"]) == (503, "close")


def test_without_a_port_80_binding_nothing_answers(lab: Lab, browse: Browse) -> None:
    """A server whose port-80 binding was removed drops plain connections."""
    farm = lab()
    server = farm.servers["EX01"]
    server.state.iis.bindings = [b for b in server.state.iis.bindings if b.information != "*:80:"]
    with pytest.raises(http.client.RemoteDisconnected):
        browse(farm, server).ask("/owa/healthcheck.htm")


def test_a_refused_body_does_not_break_the_connection(lab: Lab, browse: Browse) -> None:
    """A 401 to a request with a body keeps the connection usable."""
    farm = lab()
    secure = browse(farm, farm.servers["EX01"], "https")
    assert secure.ask("/ews/exchange.asmx", "POST", body=b"x" * 300_000)[0] == 401
    assert secure.ask("/ews/lab-echo")[0] == 200


def test_many_clients(lab: Lab, browse: Browse) -> None:
    """Eight clients at once are all answered."""
    farm = lab()
    server = farm.servers["EX01"]
    counts: list[int] = []

    def visit() -> None:
        secure = browse(farm, server, "https")
        counts.append(sum(secure.ask("/owa/healthcheck.htm")[0] == 200 for _ in range(25)))

    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [25] * 8
    assert server.state.web.requests["owa", "https", 200] == 200


def test_vdirs_of_the_table_exist(lab: Lab) -> None:
    """Every service of the table has its location on a simulated server."""
    farm = lab(data_plane=False)
    iis = farm.servers["EX01"].state.iis
    assert all(spec.location.lower() in iis.locations for spec in SERVICES.values())
    assert iis.ssl_flags(f"{FRONT_END_SITE}/owa/deeper/still") == "Ssl, Ssl128"
