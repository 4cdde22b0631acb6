"""Compare what was seen from outside with what was wanted: a traffic light and its reason for each question.

Rule of this room: pure; observations in, judgements out. Red: no TLS, or no answer at all. Yellow: an answer, but another
certificate or anything else than expected. Green: as wanted. It opens no connection: ``probe`` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from urllib.parse import urlsplit

from pydantic import Field, JsonValue

from lbsync.kit.handshake import Served
from lbsync.model import Mode, Value
from lbsync.services import HTTP_PORT, HTTPS_PORT, Service
from lbsync_certs import Fingerprint
from lbsync_certs.names import ascii_name

_OK = 200
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_BAD_REQUEST = 400
_SERVER_ERRORS = 500
_REDIRECTS = frozenset({301, 302, 307, 308})


class Light(StrEnum):
    """Green: ours. Yellow: something else answers. Red: nothing does, or not over TLS."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


class Listener(Value):
    """Where clients reach a balancer. ``http_port`` ``None``: nothing is promised on plain http.

    The rest is what its provider's capabilities say of them; ``mrsproxy`` is where MRSProxy's own name is served, if elsewhere.
    """

    balancer: str
    address: str
    https_port: int = Field(default=HTTPS_PORT, ge=1, le=65535)
    http_port: int | None = Field(default=HTTP_PORT, ge=1, le=65535)
    filters_paths: bool = True
    per_path_modes: bool = True
    answers_unknown: bool = True
    mrsproxy_host: str | None = None
    mrsproxy: tuple[str, int] | None = None


class Expected(Value):
    """What a finished rollout shows. ``leaf`` ``None``: any trusted certificate of the right name will do."""

    leaf: Fingerprint | None
    modes: dict[Service, Mode]
    mrsproxy_enabled: bool | None = None
    """``None`` where nobody knows; then a 403 counts as "disabled"."""

    def asks_mrsproxy(self, *, per_path_modes: bool, mrsproxy_host: str | None) -> bool:
        """Whether MRSProxy can be asked of a balancer with these capabilities.

        It cannot where all services share a mode, everything is offloaded and nothing carries MRSProxy apart, which is allowed
        only where it is disabled: its path would meet port 80, and whatever answered there would prove nothing.
        """
        offloaded = any(mode is Mode.OFFLOAD for mode in self.modes.values())
        return per_path_modes or mrsproxy_host is not None or self.mrsproxy_enabled is not False or not offloaded


class Greeting(Value):
    """Several full handshakes with one listener for one name: what each served, and why the others failed."""

    balancer: str
    host: str
    served: tuple[Served, ...] = ()
    failures: tuple[str, ...] = ()


class Answer(Value):
    """One HTTP answer, or why there was none.

    ``status`` is ``None`` without an answer; ``refused`` is true when TLS was there and its certificate did not verify,
    ``broke_off`` when the request was sent and the other side ended the connection before any answer.
    ``authenticate`` holds the schemes of WWW-Authenticate, lower case; ``member`` the server that a health page names.
    """

    balancer: str
    host: str
    path: str
    status: int | None = None
    location: str | None = None
    authenticate: tuple[str, ...] = ()
    member: str | None = None
    failure: str = ""
    refused: bool = False
    broke_off: bool = False


class Judgement(Value):
    """One question, its light, and one line of reason for a person."""

    balancer: str
    subject: str
    light: Light
    reason: str
    evidence: dict[str, JsonValue] = Field(default_factory=dict)


class Evidence(Value):
    """Every question asked, in order."""

    judgements: tuple[Judgement, ...]

    @property
    def light(self) -> Light:
        """The worst of all; red where nothing was asked, since nothing is proven then."""
        return worst(judgement.light for judgement in self.judgements)

    @property
    def passed(self) -> bool:
        """True when everything is as wanted."""
        return self.light is Light.GREEN


def worst(lights: Iterable[Light]) -> Light:
    """The worst of several lights; red of none."""
    found = set(lights)
    return next((light for light in (Light.RED, Light.YELLOW) if light in found), Light.GREEN if found else Light.RED)


def judge_greeting(greeting: Greeting, leaf: Fingerprint | None) -> Judgement:
    """Every handshake must serve ``leaf``, with a chain that is trusted and for the name that was asked."""
    total = len(greeting.served) + len(greeting.failures)
    light, reason = _greeting(greeting, leaf, total)
    counts = Counter(served.fingerprint for served in greeting.served)
    evidence: dict[str, JsonValue] = {
        "handshakes": total,
        "leaves": {str(fingerprint): count for fingerprint, count in sorted(counts.items())},
        "tls": _distinct(served.tls_version for served in greeting.served),
        "trust_errors": _distinct(served.trust_error for served in greeting.served if served.trust_error),
        "failures": _distinct(greeting.failures),
    }
    return Judgement(
        balancer=greeting.balancer,
        subject=f"certificate for {greeting.host}",
        light=light,
        reason=reason,
        evidence=evidence,
    )


def judge_service(
    service: Service, mode: Mode, health: Answer, door: Answer, *, unrewritten: int | None = None
) -> Judgement:
    """The health page answers 200, and the service's own path answers without 5xx and without a redirect to http.

    ``unrewritten`` is the port for plain http of a balancer that passes answers on as they are. A server that is offloaded
    behind it builds redirects from the scheme it sees; they come back to https through that port, which is judged by itself.
    """
    light, reason = _service(mode, health, door, unrewritten if mode is Mode.OFFLOAD else None)
    return _judged(f"{service} ({mode})", light, reason, (health, door))


def judge_mrsproxy(
    answer: Answer, spellings: Sequence[Answer] = (), *, enabled: bool | None = None, resets: bool = False
) -> Judgement:
    """MRSProxy asks for Negotiate or NTLM, or says 403 where it is disabled; it never fails, whatever its spelling.

    A 5xx is how it answers over plain http. Other ``spellings`` of its path may also be refused with 400 or 404, or have their
    connection reset by a balancer that ``resets``.
    """
    light, reason = _mrsproxy(answer, enabled)
    for other in spellings:
        if light is Light.GREEN and other.status not in _REFUSALS and not (resets and _was_reset(other)):
            light, reason = Light.YELLOW, f"{other.path} answers {_said(other)}, as if it went another way"
    return _judged(Service.MRSPROXY.value, light, reason, (answer, *spellings))


def judge_redirect(answer: Answer, https_port: int) -> Judgement:
    """Port 80 sends to https on the same host (and, where a port is named, to ours)."""
    light, reason = _redirect(answer, https_port)
    return _judged("http to https", light, reason, (answer,))


def judge_absent(answers: Sequence[Answer], *, resets: bool = False) -> Judgement:
    """PowerShell and unknown paths answer 404, or have their connection reset by a balancer that ``resets``."""
    wrong = [answer for answer in answers if answer.status != _NOT_FOUND and not (resets and _was_reset(answer))]
    if not wrong:
        how = "have their connection reset" if resets else "answer 404"
        return _judged("not published", Light.GREEN, f"PowerShell and unknown paths {how}", answers)
    light = worst(_unanswered(answer) or Light.YELLOW for answer in wrong)
    reason = "; ".join(f"{answer.path} answers {_said(answer)} instead of 404" for answer in wrong)
    return _judged("not published", light, reason, answers)


_REFUSALS = frozenset({_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND})


def _greeting(greeting: Greeting, leaf: Fingerprint | None, total: int) -> tuple[Light, str]:
    if greeting.failures:
        return Light.RED, f"{len(greeting.failures)} of {total} handshakes failed: {greeting.failures[0]}"
    if not greeting.served:
        return Light.RED, "no handshake was tried"
    other = [served for served in greeting.served if leaf is not None and served.fingerprint != leaf]
    if other:
        info = other[0].info
        until = f"{info.not_after:%Y-%m-%d}"
        return (
            Light.YELLOW,
            f"{len(other)} of {total} handshakes served another certificate: {info.subject}, until {until}",
        )
    problem = _unfit(greeting)
    if problem:
        return Light.YELLOW, problem
    return Light.GREEN, f"all {total} handshakes served {greeting.served[0].info.thumbprint}, chain trusted"


def _unfit(greeting: Greeting) -> str:
    """Why clients would refuse what every handshake served, or nothing."""
    untrusted = next((served for served in greeting.served if not served.trusted), None)
    if untrusted is not None:
        return f"the chain is not trusted: {untrusted.trust_error}"
    if not all(served.name_ok for served in greeting.served):
        names = ", ".join(greeting.served[0].info.names) or "none"
        return f"the certificate is not for {greeting.host}; its names are: {names}"
    if len({served.fingerprint for served in greeting.served}) > 1:
        return "several certificates are served in turn"
    return ""


def _service(mode: Mode, health: Answer, door: Answer, unrewritten: int | None) -> tuple[Light, str]:
    for answer in (health, door):
        light = _unanswered(answer)
        if light is not None:
            return light, f"{answer.path}: {answer.failure}"
        if answer.status == _FORBIDDEN:
            hint = "; Require SSL is probably on at the server" if mode is Mode.OFFLOAD else ""
            return Light.YELLOW, f"{answer.path} answers 403{hint}"
        if _plain(answer) and (unrewritten is None or not _same_host(answer, "http", unrewritten)):
            return Light.YELLOW, f"{answer.path} sends clients to plain http: {answer.location}"
        if (answer.status or 0) >= _SERVER_ERRORS:
            return Light.YELLOW, f"{answer.path} answers {answer.status}: no server is up for it, or it fails"
    if health.status != _OK:
        return Light.YELLOW, f"{health.path} answers {health.status} instead of 200"
    way = " to plain http, which is sent back to https" if _plain(door) else ""
    return Light.GREEN, f"healthy at {health.member or 'a server'}, {door.path} answers {door.status}{way}"


def _plain(answer: Answer) -> bool:
    return (answer.location or "").lower().startswith("http://")


def _mrsproxy(answer: Answer, enabled: bool | None) -> tuple[Light, str]:
    light = _unanswered(answer)
    if light is not None:
        return light, f"{answer.path}: {answer.failure}"
    if answer.status == _UNAUTHORIZED and {"negotiate", "ntlm"} & set(answer.authenticate):
        return Light.GREEN, f"asks for {' or '.join(answer.authenticate)}"
    if answer.status == _FORBIDDEN and not enabled:
        return Light.GREEN, "answers 403: MRSProxy is disabled at the server"
    return Light.YELLOW, f"{answer.path} answers {answer.status}; 401 with Negotiate or NTLM was expected"


def _redirect(answer: Answer, https_port: int) -> tuple[Light, str]:
    light = _unanswered(answer)
    if light is not None:
        return light, f"no answer over http: {answer.failure}"
    if answer.status not in _REDIRECTS:
        return Light.YELLOW, f"answers {answer.status} over http instead of a redirect to https"
    if not _same_host(answer, "https", https_port):
        return Light.YELLOW, f"sends clients to {answer.location or 'nowhere'}"
    return Light.GREEN, f"{answer.status} to {answer.location}"


def _same_host(answer: Answer, scheme: str, ours: int) -> bool:
    """True when a redirect stays on the host, by this scheme, on our port where it names one."""
    try:
        target = urlsplit(answer.location or "")
        port = target.port
    except ValueError:
        return False
    same = target.hostname is not None and target.hostname == ascii_name(answer.host)
    return target.scheme.lower() == scheme and same and port in {None, ours}


def _was_reset(answer: Answer) -> bool:
    """True where TLS was there and the connection ended instead of an answer."""
    return answer.status is None and answer.broke_off


def _unanswered(answer: Answer) -> Light | None:
    """The light of an answer that never came, or ``None`` where one did."""
    if answer.status is not None:
        return None
    return Light.YELLOW if answer.refused else Light.RED


def _said(answer: Answer) -> str:
    return str(answer.status) if answer.status is not None else f"nothing ({answer.failure})"


def _distinct(texts: Iterable[str]) -> list[JsonValue]:
    return [*sorted(set(texts))]


def _judged(subject: str, light: Light, reason: str, answers: Iterable[Answer]) -> Judgement:
    asked = tuple(answers)
    seen: list[JsonValue] = [
        answer.model_dump(mode="json", exclude={"balancer"}, exclude_defaults=True) for answer in asked
    ]
    return Judgement(
        balancer=asked[0].balancer, subject=subject, light=light, reason=reason, evidence={"answers": seen}
    )
