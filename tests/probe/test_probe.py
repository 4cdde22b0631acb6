"""The prober against a small real front end over TLS and plain HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from lbsync.errors import Rejected
from lbsync.lab.farm import LabFarm
from lbsync.lab.spec import LabSpec
from lbsync.model import Check, CheckResult, Mode
from lbsync.probe import OUTSIDE, Listener, Prober
from lbsync.services import ALL_SERVICES, SERVICES, Service
from lbsync.testing.ca import TestCA
from lbsync.testing.front import DROP, Asked, Front, Reply, Respond
from lbsync.verdict import Answer, Evidence, Expected, Light
from lbsync_certs import Bundle

HOSTS = ("mail.contoso.test", "autodiscover.contoso.test")
HEALTH = frozenset(spec.health_path for spec in SERVICES.values())
MODES = dict.fromkeys(ALL_SERVICES, Mode.OFFLOAD)


@dataclass(slots=True)
class Farm:
    """A published farm as clients see it; ``special`` overrides the answer of a path."""

    special: dict[str, Reply] = field(default_factory=dict[str, Reply])

    def __call__(self, asked: Asked) -> Reply:
        """As a balancer in front of Exchange answers."""
        if not asked.secure:
            return Reply(302, (("Location", f"https://{asked.host}{asked.path}"),))
        if asked.path in self.special:
            return self.special[asked.path]
        if asked.path in HEALTH:
            return Reply(200, body=b"200 OK<br/>EX01.CONTOSO.TEST")
        if "mrsproxy" in asked.path.replace("%6D", "m"):
            return Reply(401, (("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", 'NTLM realm="x"')))
        if any(asked.path == f"{spec.prefix}/" for spec in SERVICES.values()):
            return Reply(401, (("WWW-Authenticate", "Basic"),))
        return Reply(404)


def always(reply: Reply) -> Respond:
    """One answer to everything."""
    return lambda _asked: reply


@dataclass(frozen=True, slots=True)
class Scene:
    """A farm behind two ports, and a prober in front of it."""

    farm: Farm
    secure: Front
    plain: Front
    prober: Prober
    ours: Bundle

    def ask(self, verb: str, **args: JsonValue) -> CheckResult:
        """One check."""
        return self.prober.check(Check(target=OUTSIDE, verb=verb, args=args, summary="?"))

    def all(self) -> Evidence:
        """Everything."""
        return self.prober.probe_all(self.expected())

    def expected(self, mode: Mode = Mode.OFFLOAD, *, mrsproxy: bool | None = None) -> Expected:
        """What a finished rollout shows with all services in a mode."""
        modes = dict.fromkeys(ALL_SERVICES, mode) | {Service.MRSPROXY: Mode.BRIDGE}
        return Expected(leaf=self.ours.fingerprint, modes=modes, mrsproxy_enabled=mrsproxy)

    def blind(self, ca: TestCA, host: str | None = None) -> Prober:
        """A prober of the same farm behind a balancer that sees no path, MRSProxy on a name of its own or not."""
        blind = {"filters_paths": False, "per_path_modes": False, "mrsproxy_host": host}
        listener = self.prober.listeners[0].model_copy(update=blind)
        return Prober([listener], HOSTS, ca.root_pem.decode(), ALL_SERVICES, handshakes=2, timeout_s=5)

    def lights(self) -> dict[str, Light]:
        """Each subject that is not green."""
        return {each.subject: each.light for each in self.all().judgements if each.light is not Light.GREEN}


@pytest.fixture
def scene(request: pytest.FixtureRequest, ca: TestCA, ours: Bundle) -> Generator[Scene]:
    """On IPv4, unless a test asks for another address."""
    farm, address = Farm(), str(getattr(request, "param", "127.0.0.1"))
    with Front(farm, ours, address=address.strip("[]")) as secure, Front(farm, address=address.strip("[]")) as plain:
        listener = Listener(balancer="lb1", address=address, https_port=secure.port, http_port=plain.port)
        prober = Prober([listener], HOSTS, ca.root_pem.decode(), ALL_SERVICES, handshakes=3, timeout_s=5)
        yield Scene(farm, secure, plain, prober, ours)


@pytest.mark.parametrize("scene", ["127.0.0.1", "::1"], indirect=True)
def test_a_finished_rollout_is_green(scene: Scene) -> None:
    """Every check of every service, on every host, with the evidence in JSON."""
    evidence = scene.all()
    assert {each.subject: each.reason for each in evidence.judgements if each.light is not Light.GREEN} == {}
    assert evidence.passed
    subjects = [each.subject for each in evidence.judgements]
    assert subjects[:2] == [f"certificate for {host}" for host in HOSTS]
    assert subjects[2:5] == ["owa (offload)", "ecp (offload)", "outlook_anywhere (offload)"]
    assert {"mrsproxy", "not published", "http to https"} < set(subjects)
    assert "EX01.CONTOSO.TEST" in json.dumps(evidence.model_dump(mode="json"))
    assert scene.secure.seen.hosts.keys() == {HOSTS[0]}, "Host is the published name, whatever the address"
    assert scene.secure.seen.paths.keys() >= HEALTH | {"/ews//mrsproxy.svc", "/EWS/%6Drsproxy.svc", "/PowerShell/"}


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("service", {"service": "owa", "mode": "offload"}),
        ("service", {"service": "mapi", "mode": "bridge"}),
        ("mrsproxy", {"service": "mrsproxy", "mode": "bridge"}),
        ("mrsproxy", {"enabled": True}),
        ("redirect", {}),
        ("absent", {}),
    ],
)
def test_single_checks_pass(scene: Scene, verb: str, args: dict[str, JsonValue]) -> None:
    """Each verb of a plan, asked of one balancer."""
    result = scene.ask(verb, balancer="lb1", **args)
    assert result.passed, result.detail
    json.dumps(result.evidence)


def test_serving_asks_every_host_several_times(scene: Scene) -> None:
    """Three full handshakes for each of two hosts, and the fingerprint must be ours."""
    result = scene.ask("serving", leaf=scene.ours.fingerprint)
    assert result.passed
    assert result.detail.count("all 3 handshakes") == 2
    pause, deadline = threading.Event(), time.monotonic() + 20
    while scene.secure.seen.connections < 6 and time.monotonic() < deadline:
        pause.wait(0.02)  # a client has its greeting before the server has counted it
    assert scene.secure.seen.connections == 6
    assert scene.ask("serving", leaf=None).passed


def test_another_certificate_is_yellow(scene: Scene, ca: TestCA) -> None:
    """A trusted one of the same names that is not ours; the rest still answers."""
    scene.secure.serve(ca.issue(HOSTS, key="ec256"))
    assert scene.lights() == {f"certificate for {host}": Light.YELLOW for host in HOSTS}
    result = scene.ask("serving", leaf=scene.ours.fingerprint)
    assert not result.passed
    assert "another certificate" in result.detail


def test_an_untrusted_certificate_is_yellow_everywhere(scene: Scene) -> None:
    """Nothing is asked over a connection that does not verify; TLS is there, so it is not red."""
    before = scene.secure.seen.paths.total()
    scene.secure.serve(TestCA.self_signed(HOSTS, key="ec256"))
    lights = scene.lights()
    assert set(lights.values()) == {Light.YELLOW}
    assert len(lights) == len(HOSTS) + len(ALL_SERVICES) + 1
    assert scene.secure.seen.paths.total() == before
    assert not scene.ask("service", service="owa", mode="offload").passed


def test_no_listener_is_red_and_no_exception(scene: Scene) -> None:
    """A closed port is an answer: the check may come true later."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gone = Listener(balancer="lb2", address="127.0.0.1", https_port=port, http_port=port)
    prober = Prober([gone], HOSTS, None, ALL_SERVICES, timeout_s=5)
    evidence = prober.probe_all(Expected(leaf=scene.ours.fingerprint, modes=MODES))
    assert {each.light for each in evidence.judgements} == {Light.RED}
    assert not prober.check(Check(target=OUTSIDE, verb="redirect", summary="?")).passed


def test_plain_text_on_the_tls_port_is_red(scene: Scene, ca: TestCA) -> None:
    """A port that answers without TLS has no TLS."""
    wrong = Listener(balancer="lb1", address="127.0.0.1", https_port=scene.plain.port, http_port=None)
    prober = Prober([wrong], HOSTS, ca.root_pem.decode(), [Service.OWA], handshakes=2, timeout_s=5)
    evidence = prober.probe_all(Expected(leaf=None, modes={}))
    assert {each.light for each in evidence.judgements} == {Light.RED}
    assert "No TLS" in evidence.judgements[0].reason
    assert "http to https" not in {each.subject for each in evidence.judgements}
    answer = prober.ask_plain(wrong, HOSTS[0], "/owa/")
    assert (answer.status, answer.failure) == (None, "no port for plain http is known")


@pytest.mark.parametrize(
    ("path", "reply", "subject", "light"),
    [
        ("/owa/healthcheck.htm", Reply(503), "owa (offload)", Light.YELLOW),
        ("/owa/healthcheck.htm", Reply(403), "owa (offload)", Light.YELLOW),
        ("/owa/", Reply(302, (("Location", "http://mail.contoso.test/owa/auth"),)), "owa (offload)", Light.YELLOW),
        ("/owa/healthcheck.htm", DROP, "owa (offload)", Light.RED),
        ("/oab/", Reply(raw=b"SSH-2.0-OpenSSH\r\n"), "oab (offload)", Light.RED),
        ("/mapi/", Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"), "mapi (offload)", Light.RED),
        ("/ews/mrsproxy.svc", Reply(500), "mrsproxy", Light.YELLOW),
        ("/EWS/%6Drsproxy.svc", Reply(500), "mrsproxy", Light.YELLOW),
        ("/PowerShell/", Reply(401), "not published", Light.YELLOW),
    ],
)
def test_one_thing_wrong_is_one_light(scene: Scene, path: str, reply: Reply, subject: str, light: Light) -> None:
    """What is wrong is found, and nothing else."""
    scene.farm.special[path] = reply
    assert scene.lights() == {subject: light}


@pytest.mark.parametrize(
    ("reply", "lights"),
    [
        (DROP, {}),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"), {"not published": Light.RED}),
        (Reply(raw=b"SSH-2.0-OpenSSH\r\n"), {"not published": Light.RED}),
        (Reply(gate=threading.Event()), {"not published": Light.RED}),
    ],
    ids=["closed", "half an answer", "no HTTP", "silence"],
)
def test_only_a_connection_that_is_closed_is_a_refusal(
    scene: Scene, ca: TestCA, reply: Reply, lights: dict[str, Light]
) -> None:
    """Where a balancer resets what it does not publish: anything else may be a server, or nobody."""
    listener = scene.prober.listeners[0].model_copy(update={"answers_unknown": False})
    prober = Prober([listener], HOSTS, ca.root_pem.decode(), ALL_SERVICES, handshakes=2, timeout_s=1)
    scene.farm.special["/PowerShell/"] = reply
    try:
        assert replace(scene, prober=prober).lights() == lights
    finally:
        if reply.gate is not None:
            reply.gate.set()


def test_plain_http_that_serves_pages_is_found(scene: Scene) -> None:
    """Port 80 must send away, not serve."""
    scene.plain.respond = always(Reply(200))
    assert scene.lights() == {"http to https": Light.YELLOW}
    scene.plain.respond = always(DROP)
    assert scene.lights() == {"http to https": Light.RED}


def test_a_check_asks_the_balancer_it_names(scene: Scene) -> None:
    """Another balancer's name asks nobody, which proves nothing."""
    result = scene.ask("absent", balancer="lb9")
    assert not result.passed
    assert "no listener is configured" in result.detail
    assert scene.secure.seen.connections == 0


@pytest.mark.parametrize(
    ("verb", "args"), [("dance", {}), ("service", {}), ("service", {"service": "owa", "mode": "half"})]
)
def test_unknown_checks_are_rejected(scene: Scene, verb: str, args: dict[str, JsonValue]) -> None:
    """A plan of another version is told so; nothing is asked."""
    with pytest.raises(Rejected) as caught:
        scene.ask(verb, **args)
    assert caught.value.code == "unknown_check"


@pytest.mark.parametrize(
    ("mode", "mrsproxy", "asked"),
    [
        (Mode.BRIDGE, True, True),
        (Mode.BRIDGE, False, True),
        (Mode.OFFLOAD, False, False),
        (Mode.OFFLOAD, None, True),
    ],
)
def test_where_no_path_is_seen_only_what_is_carried_is_asked(
    scene: Scene, ca: TestCA, mode: Mode, mrsproxy: bool | None, asked: bool
) -> None:
    """Not PowerShell, no other spelling, and MRSProxy only where it is not disabled in front of port 80."""
    scene.farm.special["/PowerShell/"] = Reply(401)
    scene.farm.special["/EWS/%6Drsproxy.svc"] = Reply(500)
    if mode is Mode.OFFLOAD:  # the servers build it from the scheme they see, and nobody rewrites it
        scene.farm.special["/owa/"] = Reply(302, (("Location", f"http://{HOSTS[0]}/owa/auth/logon.aspx"),))
    if mrsproxy is False:
        scene.farm.special["/ews/mrsproxy.svc"] = Reply(403)
    evidence = scene.blind(ca).probe_all(scene.expected(mode, mrsproxy=mrsproxy))
    assert evidence.passed
    assert ("mrsproxy" in {each.subject for each in evidence.judgements}) is asked
    assert "not published" not in {each.subject for each in evidence.judgements}
    assert ("/ews/mrsproxy.svc" in scene.secure.seen.paths) is asked
    assert not scene.secure.seen.paths.keys() & {"/PowerShell/", "/powershell", "/EWS/%6Drsproxy.svc"}


def test_mrsproxy_is_asked_on_its_own_name(scene: Scene, ca: TestCA) -> None:
    """With the certificate that answers there, which is the servers'; in every spelling, and nowhere else."""
    scene.secure.serve(ca.issue((*HOSTS, "mrs.contoso.test"), key="ec256"))
    arrived = list[Asked]()

    def respond(asked: Asked) -> Reply:
        arrived.append(asked)
        return scene.farm(asked)

    scene.secure.respond = respond
    prober = scene.blind(ca, "mrs.contoso.test")
    evidence = prober.probe_all(scene.expected(mrsproxy=True).model_copy(update={"leaf": None}))
    assert {each.subject: each.reason for each in evidence.judgements if each.light is not Light.GREEN} == {}
    hosts = {asked.host for asked in arrived if "mrsproxy" in asked.path.replace("%6D", "m")}
    assert hosts == {"mrs.contoso.test"}
    paths = {asked.path for asked in arrived if asked.host == "mrs.contoso.test"}
    assert paths == {"/ews/mrsproxy.svc", "/ews//mrsproxy.svc", "/EWS/%6Drsproxy.svc", "/ews/x/../mrsproxy.svc"}


def test_a_plan_names_the_host_that_mrsproxy_is_asked_on(scene: Scene, ca: TestCA) -> None:
    """Its certificate is verified like any other: without the name it is yellow; without a word the listener knows it."""
    assert not scene.ask("mrsproxy", balancer="lb1", host="mrs.contoso.test").passed
    scene.secure.serve(ca.issue((*HOSTS, "mrs.contoso.test"), key="ec256"))
    assert scene.ask("mrsproxy", balancer="lb1", host="mrs.contoso.test").passed
    scene.secure.seen.hosts.clear()
    asked = Check(target=OUTSIDE, verb="mrsproxy", args={"balancer": "lb1"}, summary="?")
    assert scene.blind(ca, "mrs.contoso.test").check(asked).passed
    assert set(scene.secure.seen.hosts) == {"mrs.contoso.test"}


@pytest.mark.parametrize("scene", ["[::1]"], indirect=True)
def test_addresses_can_be_published_too(scene: Scene, ca: TestCA) -> None:
    """A host that is an address is verified as one and goes into Host in its right form."""
    prober = Prober(scene.prober.listeners, ["::1"], ca.root_pem.decode(), [Service.OWA], timeout_s=5)
    answer = prober.ask(prober.listeners[0], "::1", "/owa/")
    assert isinstance(answer, Answer)
    assert answer.status == 401
    assert "[::1]" in scene.secure.seen.hosts


def test_a_simulated_server_answers_like_a_published_one(tmp_path: Path) -> None:
    """Straight at one server of the lab: all services healthy; PowerShell and port 80 are the balancer's to fix."""
    with LabFarm(LabSpec(servers=1, faults=0), tmp_path) as farm:
        (server,) = farm.servers.values()
        listener = Listener(
            balancer="EX01", address=server.address, https_port=server.https_port, http_port=server.http_port
        )
        prober = Prober([listener], farm.spec.hosts, farm.ca_pem, ALL_SERVICES, handshakes=2)
        evidence = prober.probe_all(Expected(leaf=farm.leaf.fingerprint, modes={}))
    assert {each.subject for each in evidence.judgements if each.light is not Light.GREEN} == {
        "not published",
        "http to https",
    }
