"""The view from outside: connect to the balancers as clients do, and say what answered.

Rule of this room: it reads only, over connections that are verified like a client's (what is served is looked at by
``kit.handshake``), and leaves every judgement to ``verdict``. Secrets and credentials never pass here: all requests are
anonymous. To plans it is the target ``outside``, which has checks and nothing else.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pydantic import JsonValue

from lbsync.errors import Rejected, Unreachable
from lbsync.kit.handshake import Served, connect, handshake, open_tls
from lbsync.model import Check, CheckResult, Mode
from lbsync.services import SERVICES, Service
from lbsync.verdict import (
    Answer,
    Evidence,
    Expected,
    Greeting,
    Judgement,
    Light,
    Listener,
    judge_absent,
    judge_greeting,
    judge_mrsproxy,
    judge_redirect,
    judge_service,
    worst,
)
from lbsync_certs import CertificateProblem, Fingerprint
from lbsync_certs.names import ascii_name

__all__ = ["OUTSIDE", "Listener", "Prober"]

OUTSIDE = "outside"

_AT_ONCE = 8
_MOST_BODY = 65536
_MRSPROXY_SPELLINGS = ("/ews//mrsproxy.svc", "/EWS/%6Drsproxy.svc", "/ews/x/../mrsproxy.svc")
_POWERSHELL = ("/powershell", "/PowerShell/")
# The body of healthcheck.htm: "200 OK<br/>EX01.CONTOSO.COM".
_HEALTH = re.compile(rb"200 OK<br/>([A-Za-z0-9._-]+)")


class Prober:
    """Asks every listener for every host. Safe to use from several threads; it keeps no connection."""

    name = OUTSIDE

    def __init__(
        self,
        listeners: Sequence[Listener],
        hosts: Sequence[str],
        ca_pem: str | None,
        services: Iterable[Service],
        *,
        handshakes: int = 6,
        timeout_s: float = 10.0,
    ) -> None:
        """``ca_pem`` is the text of the CAs clients trust (``None``: the system's); ``handshakes`` are per host and listener.

        More than one handshake, since a balancer between two states may serve two certificates in turn.
        """
        self.listeners = tuple(listeners)
        self.hosts = tuple(hosts)
        self.services = tuple(sorted(services, key=list(SERVICES).index))
        self._ca_pem = ca_pem
        self._handshakes = handshakes
        self._timeout_s = timeout_s

    def check(self, check: Check) -> CheckResult:
        """Answer one check. A listener that does not answer is an answer (red). Raises Rejected for an unknown check.

        Verbs: ``serving`` (leaf), ``service`` (service, mode), ``mrsproxy`` (enabled, host), ``redirect``, ``absent``; with
        ``balancer`` each asks that one alone. ``host`` is MRSProxy's own name, where a listener passes that on by itself.
        """
        judgements = [
            judgement
            for listener in self._listeners(check.args.get("balancer"))
            for judgement in self._ask(check, listener)
        ]
        light = worst(judgement.light for judgement in judgements)
        telling = [judgement for judgement in judgements if judgement.light is light]
        detail = "; ".join(dict.fromkeys(f"{each.balancer}: {each.subject}: {each.reason}" for each in telling))
        return CheckResult(
            passed=light is Light.GREEN,
            detail=detail or "no listener is configured for it",
            evidence={"judgements": [judgement.model_dump(mode="json") for judgement in judgements]},
        )

    def probe_all(self, expected: Expected) -> Evidence:
        """Everything that ``lbsync verify`` proves, listener by listener.

        Where no path is seen nothing is said to be unpublished: the servers answer there for whatever they have.
        """
        judgements = list[Judgement]()
        for listener in self.listeners:
            judgements += self._serving(listener, expected.leaf)
            for service in self.services:
                if service is not Service.MRSPROXY:
                    mode = expected.modes.get(service, Mode.BRIDGE)
                    judgements.append(self._service(listener, service, mode))
                elif expected.asks_mrsproxy(
                    per_path_modes=listener.per_path_modes, mrsproxy_host=listener.mrsproxy_host
                ):
                    judgements.append(self._mrsproxy(listener, expected.mrsproxy_enabled, listener.mrsproxy_host))
            if listener.filters_paths:
                judgements.append(self._absent(listener))
            if listener.http_port is not None:
                judgements += self._redirect(listener)
        return Evidence(judgements=tuple(judgements))

    def _listeners(self, balancer: JsonValue) -> tuple[Listener, ...]:
        if balancer is None:
            return self.listeners
        return tuple(listener for listener in self.listeners if listener.balancer == balancer)

    def _ask(self, check: Check, listener: Listener) -> Sequence[Judgement]:
        match check.verb:
            case "serving":
                leaf = check.args.get("leaf")
                return self._serving(listener, None if leaf is None else Fingerprint(str(leaf)))
            case "service":
                service, mode = self._arguments(check)
                return (self._service(listener, service, mode),)
            case "mrsproxy":
                enabled, host = check.args.get("enabled"), check.args.get("host")
                own = host if isinstance(host, str) else listener.mrsproxy_host
                return (self._mrsproxy(listener, enabled if isinstance(enabled, bool) else None, own),)
            case "redirect":
                return self._redirect(listener)
            case "absent":
                return (self._absent(listener),)
            case _:
                raise self._unknown(check)

    def _arguments(self, check: Check) -> tuple[Service, Mode]:
        try:
            return Service(str(check.args.get("service"))), Mode(str(check.args.get("mode")))
        except ValueError as error:
            raise self._unknown(check) from error

    @staticmethod
    def _unknown(check: Check) -> Rejected:
        return Rejected(
            f"The view from outside has no check {check.verb!r} with {check.args}.",
            where=OUTSIDE,
            state="Nothing was asked.",
            remedy="Make the plan again with this version of lbsync.",
            code="unknown_check",
        )

    def _serving(self, listener: Listener, leaf: Fingerprint | None) -> list[Judgement]:
        return [judge_greeting(self.greet(listener, host), leaf) for host in self.hosts]

    def _service(self, listener: Listener, service: Service, mode: Mode) -> Judgement:
        spec = SERVICES[service]
        health, door = self._each(listener, self.hosts[0], (spec.health_path, f"{spec.prefix}/"))
        unrewritten = None if listener.filters_paths else listener.http_port
        return judge_service(service, mode, health, door, unrewritten=unrewritten)

    def _mrsproxy(self, listener: Listener, enabled: bool | None, own_host: str | None) -> Judgement:
        # Other spellings show whether a balancer that routes by path is led astray. One that sees none sends them the way of
        # everything else on the shared names, which is nobody's mistake; MRSProxy's own name has one way only.
        spellings = _MRSPROXY_SPELLINGS if listener.filters_paths or own_host is not None else ()
        host = self.hosts[0] if own_host is None else own_host
        there = listener
        if own_host is not None and listener.mrsproxy is not None:
            address, port = listener.mrsproxy
            there = listener.model_copy(update={"address": address, "https_port": port})
        canonical, *others = self._each(there, host, (SERVICES[Service.MRSPROXY].prefix, *spellings))
        return judge_mrsproxy(canonical, others, enabled=enabled, resets=not listener.answers_unknown)

    def _absent(self, listener: Listener) -> Judgement:
        paths = (*_POWERSHELL, f"/no-such-path-{uuid.uuid4().hex[:8]}")
        return judge_absent(self._each(listener, self.hosts[0], paths), resets=not listener.answers_unknown)

    def _redirect(self, listener: Listener) -> list[Judgement]:
        return [judge_redirect(self.ask_plain(listener, host, "/owa/"), listener.https_port) for host in self.hosts]

    def _each(self, listener: Listener, host: str, paths: Sequence[str]) -> list[Answer]:
        return _together(lambda path: self.ask(listener, host, path), paths)

    def greet(self, listener: Listener, host: str) -> Greeting:
        """Several full handshakes at once for one host."""
        seen = _together(lambda _: self._greet(listener, host), range(self._handshakes))
        return Greeting(
            balancer=listener.balancer,
            host=host,
            served=tuple(each for each in seen if isinstance(each, Served)),
            failures=tuple(each for each in seen if isinstance(each, str)),
        )

    def _greet(self, listener: Listener, host: str) -> Served | str:
        try:
            return handshake(
                listener.address, listener.https_port, host, ca_pem=self._ca_pem, timeout_s=self._timeout_s
            )
        except (Unreachable, CertificateProblem) as error:
            return error.message

    def ask(self, listener: Listener, host: str, path: str) -> Answer:
        """``GET path`` over verified TLS; SNI and Host are ``host``."""
        unanswered = Answer(balancer=listener.balancer, host=host, path=path)
        try:
            with open_tls(
                listener.address, listener.https_port, host, ca_pem=self._ca_pem, timeout_s=self._timeout_s
            ) as tls:
                return _get(tls, unanswered)
        except Unreachable as error:
            return unanswered.model_copy(update={"failure": error.message})
        except ssl.SSLCertVerificationError as error:
            return unanswered.model_copy(update={"failure": error.verify_message, "refused": True})

    def ask_plain(self, listener: Listener, host: str, path: str) -> Answer:
        """``GET path`` over plain http, where only a redirect is expected. A listener without plain http gives no answer."""
        unanswered = Answer(balancer=listener.balancer, host=host, path=path, failure="no port for plain http is known")
        if listener.http_port is None:
            return unanswered
        try:
            with connect(listener.address, listener.http_port, timeout_s=self._timeout_s) as plain:
                return _get(plain, unanswered.model_copy(update={"failure": ""}))
        except Unreachable as error:
            return unanswered.model_copy(update={"failure": error.message})


def _get(connection: socket.socket, unanswered: Answer) -> Answer:
    """One anonymous GET on an open connection; what breaks on the way is an answer too."""
    client = http.client.HTTPConnection(_host_header(unanswered.host))
    client.sock = connection
    response: http.client.HTTPResponse | None = None
    try:
        client.request("GET", unanswered.path, headers={"Accept": "*/*", "Connection": "close", "User-Agent": "lbsync"})
        response = client.getresponse()
        body = response.read(_MOST_BODY)
        if len(body) < _MOST_BODY and response.length:  # read() with a size does not say that the body broke off
            raise http.client.IncompleteRead(body, response.length)
    except (OSError, http.client.HTTPException) as error:
        # Somebody closed it instead of an answer: silence, half an answer, and what is no HTTP are something else.
        closed = response is None and isinstance(error, (ConnectionResetError, ssl.SSLEOFError))
        failure = f"the answer broke off: {type(error).__name__}"
        return unanswered.model_copy(update={"failure": failure, "broke_off": closed})
    finally:
        client.close()
    named = _HEALTH.match(body)
    return unanswered.model_copy(
        update={
            "status": response.status,
            "location": response.getheader("Location"),
            "authenticate": _schemes(response.headers.get_all("WWW-Authenticate") or ()),
            "member": named[1].decode() if named else None,
        }
    )


def _host_header(host: str) -> str:
    name = ascii_name(host)
    return f"[{name}]" if ":" in name else name


def _schemes(headers: Iterable[str]) -> tuple[str, ...]:
    """The first word of each WWW-Authenticate header; IIS sends one header per scheme."""
    return tuple(dict.fromkeys(word[0].lower() for word in map(str.split, headers) if word))


Q = TypeVar("Q")
A = TypeVar("A")


def _together(ask: Callable[[Q], A], questions: Sequence[Q]) -> list[A]:
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return list(pool.map(ask, questions))
