"""Decisions as data: what was seen, and the light it gets."""

from __future__ import annotations

import pytest

from lbsync.kit.handshake import Served
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.testing.ca import TestCA
from lbsync.verdict import (
    Answer,
    Evidence,
    Expected,
    Greeting,
    Judgement,
    Light,
    judge_absent,
    judge_greeting,
    judge_mrsproxy,
    judge_redirect,
    judge_service,
    worst,
)
from lbsync_certs import CertificateInfo, Fingerprint

HOST = "mail.contoso.test"
OURS = Fingerprint("f" * 64)
# A fixed fingerprint, since it ends in the names of tests, which every worker must find alike.
INFO = TestCA.self_signed([HOST], key="ec256").info.model_copy(update={"fingerprint": OURS})
OLD = INFO.model_copy(update={"fingerprint": Fingerprint("0" * 64), "subject": "CN=old"})


def served(info: CertificateInfo = INFO, *, error: str | None = None, name_ok: bool = True) -> Served:
    """One handshake."""
    return Served(
        fingerprint=info.fingerprint,
        info=info,
        tls_version="TLSv1.3",
        trusted=error is None,
        trust_error=error,
        name_ok=name_ok,
    )


def greeting(*seen: Served, failures: tuple[str, ...] = ()) -> Greeting:
    """Several."""
    return Greeting(balancer="lb1", host=HOST, served=seen, failures=failures)


def answer(
    status: int | None = 200,
    path: str = "/owa/",
    *,
    location: str | None = None,
    authenticate: tuple[str, ...] = (),
    failure: str = "",
    refused: bool = False,
    member: str | None = None,
) -> Answer:
    """One answer."""
    return Answer(
        balancer="lb1",
        host=HOST,
        path=path,
        status=status,
        location=location,
        authenticate=authenticate,
        failure=failure,
        refused=refused,
        member=member,
    )


SILENCE = answer(None, failure="No connection: refused")
STRANGER = answer(None, failure="self-signed certificate", refused=True)


@pytest.mark.parametrize(
    ("seen", "leaf", "light", "words"),
    [
        (greeting(served(), served()), OURS, Light.GREEN, "all 2 handshakes served"),
        (greeting(served()), None, Light.GREEN, "all 1 handshakes"),
        (greeting(), OURS, Light.RED, "no handshake"),
        (greeting(failures=("No TLS: x", "y")), OURS, Light.RED, "2 of 2 handshakes failed: No TLS: x"),
        (greeting(served(), failures=("late",)), OURS, Light.RED, "1 of 2 handshakes failed: late"),
        (greeting(served(), served(OLD)), OURS, Light.YELLOW, "1 of 2 handshakes served another certificate: CN=old"),
        (greeting(served(OLD, error="expired")), OURS, Light.YELLOW, "another certificate"),
        (greeting(served(error="expired")), OURS, Light.YELLOW, "not trusted: expired"),
        (greeting(served(name_ok=False)), OURS, Light.YELLOW, f"not for {HOST}; its names are: {HOST}"),
        (
            greeting(served(INFO.model_copy(update={"names": ()}), name_ok=False)),
            OURS,
            Light.YELLOW,
            "its names are: none",
        ),
        (greeting(served(), served(OLD)), None, Light.YELLOW, "several certificates"),
    ],
)
def test_certificates(seen: Greeting, leaf: Fingerprint | None, light: Light, words: str) -> None:
    """Red: a handshake failed. Yellow: another, untrusted or misnamed certificate. Green: ours every time."""
    judgement = judge_greeting(seen, leaf)
    assert judgement.light is light
    assert words in judgement.reason
    assert judgement.subject == f"certificate for {HOST}"
    assert judgement.evidence["handshakes"] == len(seen.served) + len(seen.failures)


def test_the_evidence_counts_leaves() -> None:
    """How often which certificate was served, and every reason."""
    judgement = judge_greeting(greeting(served(), served(OLD, error="expired"), served(), failures=("late",)), OURS)
    assert judgement.evidence == {
        "handshakes": 4,
        "leaves": {OLD.fingerprint: 1, OURS: 2},
        "tls": ["TLSv1.3"],
        "trust_errors": ["expired"],
        "failures": ["late"],
    }


HEALTHY = answer(200, "/owa/healthcheck.htm", member="EX01.CONTOSO.TEST")


@pytest.mark.parametrize(
    ("mode", "health", "door", "light", "words"),
    [
        (Mode.OFFLOAD, HEALTHY, answer(302, location="/owa/auth"), Light.GREEN, "healthy at EX01.CONTOSO.TEST"),
        (Mode.BRIDGE, answer(200), answer(401), Light.GREEN, "healthy at a server, /owa/ answers 401"),
        (Mode.BRIDGE, HEALTHY, answer(302, location="https://x/"), Light.GREEN, "302"),
        (Mode.BRIDGE, SILENCE, answer(401), Light.RED, "No connection"),
        (Mode.BRIDGE, HEALTHY, SILENCE, Light.RED, "No connection"),
        (Mode.BRIDGE, STRANGER, STRANGER, Light.YELLOW, "self-signed"),
        (Mode.OFFLOAD, answer(403), answer(403), Light.YELLOW, "Require SSL is probably on"),
        (Mode.BRIDGE, answer(403), answer(403), Light.YELLOW, "/owa/ answers 403"),
        (Mode.OFFLOAD, HEALTHY, answer(302, location="HTTP://mail/owa"), Light.YELLOW, "plain http: HTTP://mail"),
        (Mode.OFFLOAD, answer(503), answer(401), Light.YELLOW, "no server is up"),
        (Mode.OFFLOAD, HEALTHY, answer(500), Light.YELLOW, "answers 500"),
        (Mode.OFFLOAD, answer(404), answer(401), Light.YELLOW, "404 instead of 200"),
    ],
)
def test_services(mode: Mode, health: Answer, door: Answer, light: Light, words: str) -> None:
    """Healthy, no 403, no 5xx, and no redirect to http leaks."""
    judgement = judge_service(Service.OWA, mode, health, door)
    assert judgement.light is light
    assert words in judgement.reason
    assert judgement.subject == f"owa ({mode})"
    assert ("Require SSL" in judgement.reason) is (mode is Mode.OFFLOAD and health.status == 403)


NEGOTIATE = answer(401, "/ews/mrsproxy.svc", authenticate=("negotiate", "ntlm"))


@pytest.mark.parametrize(
    ("seen", "spellings", "enabled", "light", "words"),
    [
        (NEGOTIATE, (), None, Light.GREEN, "asks for negotiate or ntlm"),
        (
            answer(401, authenticate=("ntlm",)),
            (NEGOTIATE, answer(404), answer(400)),
            True,
            Light.GREEN,
            "asks for ntlm",
        ),
        (answer(403), (answer(403),), None, Light.GREEN, "disabled"),
        (answer(403), (), False, Light.GREEN, "disabled"),
        (answer(403), (), True, Light.YELLOW, "answers 403; 401"),
        (answer(401, authenticate=("basic",)), (), None, Light.YELLOW, "was expected"),
        (answer(500), (), None, Light.YELLOW, "answers 500"),
        (answer(200), (), None, Light.YELLOW, "answers 200"),
        (SILENCE, (NEGOTIATE,), None, Light.RED, "No connection"),
        (STRANGER, (), None, Light.YELLOW, "self-signed"),
        (
            NEGOTIATE,
            (NEGOTIATE, answer(500, "/ews//mrsproxy.svc")),
            None,
            Light.YELLOW,
            "/ews//mrsproxy.svc answers 500",
        ),
        (NEGOTIATE, (SILENCE,), None, Light.YELLOW, "answers nothing (No connection"),
    ],
)
def test_mrsproxy(seen: Answer, spellings: tuple[Answer, ...], enabled: bool | None, light: Light, words: str) -> None:
    """Negotiate or NTLM, or 403 where it is disabled; no spelling takes another way."""
    judgement = judge_mrsproxy(seen, spellings, enabled=enabled)
    assert judgement.light is light
    assert words in judgement.reason


@pytest.mark.parametrize(
    ("seen", "light"),
    [
        (answer(301, location=f"https://{HOST}/owa/"), Light.GREEN),
        (answer(308, location=f"HTTPS://{HOST.upper()}:443/owa/"), Light.GREEN),
        (answer(302, location=f"https://{HOST}:8443/owa/"), Light.YELLOW),
        (answer(302, location=f"http://{HOST}/owa/"), Light.YELLOW),
        (answer(302, location="https://evil.test/"), Light.YELLOW),
        (answer(302, location="https://[broken"), Light.YELLOW),
        (answer(302, location="/owa/auth"), Light.YELLOW),
        (answer(302), Light.YELLOW),
        (answer(200), Light.YELLOW),
        (SILENCE, Light.RED),
    ],
)
def test_redirects(seen: Answer, light: Light) -> None:
    """Only to https, the same host, and no other port than ours."""
    assert judge_redirect(seen, 443).light is light


@pytest.mark.parametrize(
    ("seen", "light", "words"),
    [
        ((answer(404), answer(404)), Light.GREEN, "answer 404"),
        ((answer(404), answer(401, "/powershell")), Light.YELLOW, "/powershell answers 401 instead of 404"),
        ((SILENCE, answer(200)), Light.RED, "nothing (No connection"),
        ((STRANGER, answer(404)), Light.YELLOW, "self-signed"),
    ],
)
def test_what_is_not_published(seen: tuple[Answer, ...], light: Light, words: str) -> None:
    """Everything must answer 404; silence is red."""
    judgement = judge_absent(seen)
    assert judgement.light is light
    assert words in judgement.reason


def test_the_worst_light_counts_and_nothing_asked_is_red() -> None:
    """Evidence is as good as its worst judgement."""
    assert worst([]) is Light.RED
    assert worst([Light.GREEN, Light.YELLOW]) is Light.YELLOW
    assert worst([Light.YELLOW, Light.RED, Light.GREEN]) is Light.RED
    green = Judgement(balancer="lb1", subject="x", light=Light.GREEN, reason="y")
    assert Evidence(judgements=(green,)).passed
    assert not Evidence(judgements=(green, green.model_copy(update={"light": Light.YELLOW}))).passed
    assert not Evidence(judgements=()).passed


OFFLOADED = {Service.OWA: Mode.OFFLOAD, Service.MRSPROXY: Mode.BRIDGE}
BRIDGED = {Service.OWA: Mode.BRIDGE, Service.MRSPROXY: Mode.BRIDGE}


@pytest.mark.parametrize(
    ("modes", "enabled", "filters_paths", "host", "asked"),
    [
        (OFFLOADED, False, False, None, False),
        (OFFLOADED, None, False, None, True),
        (OFFLOADED, True, False, None, True),
        (OFFLOADED, False, True, None, True),
        (OFFLOADED, False, False, "mrs.contoso.test", True),
        (BRIDGED, False, False, None, True),
    ],
)
def test_when_mrsproxy_is_asked(
    modes: dict[Service, Mode], enabled: bool | None, filters_paths: bool, host: str | None, asked: bool
) -> None:
    """Always, save where it is off and its path would go to port 80 with everything else."""
    expected = Expected(leaf=None, modes=modes, mrsproxy_enabled=enabled)
    assert expected.asks_mrsproxy(per_path_modes=filters_paths, mrsproxy_host=host) is asked


PLAIN = answer(302, location="http://mail.contoso.test/owa/auth/logon.aspx")
OVER_TLS = answer(302, location="https://mail.contoso.test/owa/auth/logon.aspx")


@pytest.mark.parametrize(
    ("mode", "door", "port", "light"),
    [
        (Mode.OFFLOAD, PLAIN, 80, Light.GREEN),
        (Mode.OFFLOAD, answer(302, location="HTTP://MAIL.contoso.test:80/owa/auth"), 80, Light.GREEN),
        (Mode.OFFLOAD, PLAIN, None, Light.YELLOW),
        (Mode.BRIDGE, PLAIN, 80, Light.YELLOW),
        (Mode.OFFLOAD, answer(302, location="http://mail.contoso.test:8080/owa/auth"), 80, Light.YELLOW),
        (Mode.OFFLOAD, answer(302, location="http://ex01.contoso.test/owa/auth"), 80, Light.YELLOW),
        (Mode.OFFLOAD, OVER_TLS, 80, Light.GREEN),
    ],
)
def test_redirects_that_nobody_rewrites(mode: Mode, door: Answer, port: int | None, light: Light) -> None:
    """Behind a balancer that passes answers on, an offloaded server names http; port 80 of the same host sends that back."""
    judgement = judge_service(Service.OWA, mode, answer(), door, unrewritten=port)
    assert judgement.light is light
    assert ("sent back to https" in judgement.reason) is (light is Light.GREEN and door != OVER_TLS)
