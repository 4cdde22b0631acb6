"""NGINX beside what it finds: others' directives, an upgrade under way, servers' own ideas, and a disk that must always do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence

import pytest

from lbsync.changes import InstallCertificate, Publish, Undrain
from lbsync.errors import Rejected
from lbsync.kit.host import Completed
from lbsync.kit.host_local import LocalHost
from lbsync.services import ALL_SERVICES
from lbsync_nginx.device import Device
from lbsync_nginx.dump import Dump, tree_of
from lbsync_nginx.effects import install_certificate
from lbsync_nginx.inherited import changing, refusing
from lbsync_nginx.layout import TEXT_FILES
from lbsync_nginx.publish import Basis, write_files
from lbsync_nginx.render import render
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import NginxState
from lbsync_nginx.version import Version
from tests.balancers.bench import BRIDGED
from tests.nginx.conftest import HTTP, STREAM, NginxBench


def test_what_others_set_for_a_whole_block_is_told() -> None:
    """What turns clients away is in the way, what changes answers is told; what a server sets for itself is its own."""
    text = "http { deny all; add_header X 1; gzip on; server { deny all; } } "
    text += "stream { limit_conn a 1; proxy_bind 10.0.0.1; } events;"
    tree, _ = tree_of(Dump({"/n.conf": text}, "/n.conf"))
    (denied,) = refusing(tree, ("http",))
    assert denied.startswith("/n.conf line 1 sets deny for the whole http block")
    (added,) = changing(tree, ("http",))
    assert "sets add_header" in added
    assert [next(iter(told(tree, ("stream",)))).split()[4] for told in (refusing, changing)] == [
        "limit_conn",
        "proxy_bind",
    ]


@pytest.mark.parametrize("directive", ["deny all;", "limit_req_zone $uri zone=z:1m rate=1r/s; limit_req zone=z;"])
def test_what_would_turn_clients_away_is_in_the_way(make_bench: Callable[..., NginxBench], directive: str) -> None:
    """The proof of a reload asks for no page, so it is looked for before."""
    assert "for the whole http block" in make_bench(HTTP, extra_http=directive).blockers()


@pytest.mark.parametrize(
    "directive",
    [
        "ssl_verify_client optional_no_ca;", "auth_basic closed; auth_basic_user_file /nowhere;", "expires max;",
        "proxy_intercept_errors on; error_page 401 /x;", "proxy_method POST;", "merge_slashes off;", "mirror /x;",
    ],
)  # fmt: skip
def test_what_others_set_does_not_hold_for_exchange(make_bench: Callable[..., NginxBench], directive: str) -> None:
    """A client is answered by a server, as it would be without."""
    bench = make_bench(HTTP, extra_http=directive)
    bench.publish()
    answer = bench.request("/owa/ntlm")
    assert (answer.status, answer.headers.get("www-authenticate"), answer.headers.get("expires")) == (401, "NTLM", None)
    assert bench.request("/owa//../powershell").status == 404
    assert [(one.method, one.path) for one in bench.arrived] == [("GET", "/owa/ntlm")]


def test_a_server_decides_nothing_about_nginx(offloaded: NginxBench) -> None:
    """X-Accel-Redirect would have NGINX fetch any path of any server over port 80, and show it."""
    for server in offloaded.servers.values():
        server.answers["/owa/redirect"] = [("X-Accel-Redirect", "/ews/mrsproxy.svc")]
    assert offloaded.request("/owa/redirect").status == 200
    assert offloaded.plain() == ["/owa/redirect"]


def test_an_upgrade_under_way_is_in_the_way(published: NginxBench) -> None:
    """Two masters serve side by side, and only one hears of a reload."""
    old = published.nginx.directory / "nginx.pid.oldbin"
    old.write_text(f"{os.getpid()}\n")
    assert "two masters serve side by side" in published.blockers()
    with published.open() as provider:
        published.settings["long_request_s"] = 1900
        with published.open() as changed, pytest.raises(Rejected, match="two masters"):
            published.apply(changed, Publish(leaf=published.first.fingerprint, modes=BRIDGED))
        old.write_text("")
        assert provider.observe(ALL_SERVICES).kind == "balancer"
    assert published.blockers() == ""


def test_a_server_that_left_the_configuration_can_be_taken_back(published: NginxBench) -> None:
    """A rollback days later goes by the text that is there, and not by what is configured by then."""
    with published.open() as provider:
        change = Undrain(server="EX02", timeout_s=5, on_timeout="stop")
        (step,) = provider.lower(change, provider.observe(ALL_SERVICES))
    published.spec = published.spec.model_copy(update={"members": published.spec.members[:1]})
    with published.open() as provider:
        assert step.undo is not None
        provider.perform(step.undo, published.materials)
        assert provider.read(step.undo) == {"disk": "drain", "running": "drain"}


class Watched(LocalHost):
    """A host on which NGINX is asked after every single change whether it would start."""

    def __init__(self, test: Sequence[str]) -> None:
        self._test = list(test)
        self.said: list[str] = []

    def _ask(self) -> None:
        done = subprocess.run(self._test, capture_output=True, text=True, check=False)
        self.said += [done.stderr] if done.returncode else []

    def write_file(self, path: str, data: bytes, **more: object) -> None:
        """As ever, and asked."""
        super().write_file(path, data, **more)  # type: ignore[arg-type]  # handed on as they came
        self._ask()

    def remove(self, path: str) -> None:
        """As ever, and asked."""
        super().remove(path)
        self._ask()

    def run(self, argv: Sequence[str], *, input: bytes | None = None, timeout_s: float = 60.0) -> Completed:  # noqa: A002
        """As ever."""
        return super().run(argv, input=input, timeout_s=timeout_s)


def test_nginx_would_start_at_every_moment_of_a_change_of_ways(make_bench: Callable[..., NginxBench]) -> None:
    """From http to stream, back, and to nothing: a machine may go down between any two files."""
    bench = make_bench(HTTP)
    host = Watched([bench.nginx.program, "-t", "-q", "-c", str(bench.nginx.main)])
    version = Version((bench.nginx.version[0], bench.nginx.version[1], bench.nginx.version[2]))
    leaf = bench.first.fingerprint
    for way in (HTTP, STREAM, HTTP):
        settings = NginxSettings.model_validate(bench.settings | {"ntlm": "refuse"} | way)
        device = Device(bench.spec, settings, host)
        install_certificate(device, leaf, bench.materials)
        state = NginxState(structure="", leaf=leaf, modes=BRIDGED)
        write_files(device, render(bench.spec, settings, version, state), None, Basis(None))
    write_files(device, dict.fromkeys(TEXT_FILES), None, Basis(None))
    assert host.said == []


def test_the_order_of_installing_is_not_asked_of_a_change(bench: NginxBench) -> None:
    """A publish of a certificate that is not there is refused before anything is written."""
    with bench.open() as provider, pytest.raises(Rejected) as caught:
        bench.apply(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
    assert caught.value.code == "not_installed"
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        bench.apply(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
