"""One thread's connection to one server: pywinrm's Protocol, with time limits, one careful re-login and our errors.

Rule of this room: pywinrm is imported here alone, and here alone its exceptions are seen. A message the server answered
with 401 was not carried out, so it may be sent once more after a new login; a message whose answer was lost may not.

Source: pywinrm 0.5.0 and requests_ntlm 1.3.0, read; a keep-alive connection that was dropped shows under NTLM as
InvalidCredentialsError.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import TypeVar

import requests
from spnego.exceptions import SpnegoError
from urllib3.exceptions import HTTPError
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)
from winrm.protocol import Protocol

from lbsync.errors import ConfigError, Denied, LbsyncError, Unreachable
from lbsync.exchange.session import envelopes, failures
from lbsync.exchange.session.envelopes import Output
from lbsync.exchange.session.gate import LoginGate
from lbsync.exchange.session.lean import LeanTransport, LoginGone
from lbsync.exchange.session.settings import SessionSettings

T = TypeVar("T")

_LONGER_THAN_OPERATION_S = 10.0
"""The read time-out exceeds the server's own by this, so that its "nothing yet" arrives."""

_GARBLED = (
    AssertionError,
    AttributeError,
    LookupError,
    StopIteration,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pywinrm raises where an answer lacks what it looks for (SyntaxError: XML)."""


class _Torn(Exception):
    """A login or an authenticated connection broke; whether the password is good is unknown."""


class _NothingYet(Unreachable):
    """Fault 2150858793: to a Receive it only means to ask again."""


class Wire:
    """Messages to one server from one thread. Not for use by two threads at once."""

    def __init__(self, settings: SessionSettings, gate: LoginGate) -> None:
        self._settings = settings
        self._gate = gate
        self._protocol: Protocol | None = None
        self._transport: LeanTransport | None = None
        self._authenticated = False

    def open_shell(self, ends: float) -> str:
        """A new shell's id. ``ends`` is a time of ``time.monotonic``, here and below. Raises TargetError."""
        return self._ask(envelopes.create, envelopes.shell_of, ends)

    def run(self, shell: str, program: str, arguments: tuple[str, ...], ends: float) -> str:
        """Start a command without cmd.exe, its stdin a pipe; answers its id. Raises TargetError."""
        return self._ask(
            lambda time_s: envelopes.command(shell, program, arguments, time_s), envelopes.command_of, ends
        )

    def send(self, shell: str, command: str, data: bytes, ends: float, *, last: bool) -> None:
        """One piece of stdin. Raises TargetError."""
        self._ask(lambda time_s: envelopes.send(shell, command, data, time_s, last=last), len, ends)

    def receive(self, shell: str, command: str, ends: float) -> Output | None:
        """Output since the last time; ``None`` when there is nothing yet. Raises TargetError."""
        try:
            return self._ask(lambda time_s: envelopes.receive(shell, command, time_s), envelopes.output_of, ends)
        except _NothingYet:
            return None

    def end_command(self, shell: str, command: str, ends: float) -> None:
        """Let go of a command before another is run in the same shell. Raises TargetError."""
        self._ask(lambda time_s: envelopes.signal(shell, command, time_s), len, ends)

    def close_shell(self, shell: str, ends: float) -> None:
        """Close a shell, which ends what runs in it; the connection stays for the next. Raises TargetError."""
        self._ask(lambda time_s: envelopes.delete(shell, time_s), len, ends)

    def drop(self) -> None:
        """Close the connection and forget the login."""
        transport, self._transport, self._protocol, self._authenticated = self._transport, None, None, False
        if transport is not None:
            transport.close_session()

    def _ask(self, write: Callable[[int], str], read: Callable[[bytes], T], ends: float) -> T:
        """Carry out one message, with a login before it where there is none."""
        for _ in range(2):
            try:
                if self._authenticated:
                    return self._carry(write, read, ends)
                return self._logged_in(write, read, ends)
            except _Torn:
                self.drop()
            except Unreachable as error:
                if error.code in {failures.Code.CONNECTION, failures.Code.GARBLED}:
                    self.drop()
                raise
            except Denied:
                self.drop()
                raise
        raise failures.login_torn(self._settings)

    def _logged_in(self, write: Callable[[int], str], read: Callable[[bytes], T], ends: float) -> T:
        if not self._gate.proven:
            self._knock(ends)
        with self._gate.login():
            try:
                answer = self._carry(write, read, ends)
            except Denied as error:
                # Inside the gate: whoever waits behind it must find it shut.
                if error.code == failures.Code.LOGIN_REJECTED:
                    self._gate.shut(error)
                raise
            self._authenticated = True
            self._gate.prove()
            return answer

    def _knock(self, ends: float) -> None:
        """See that somebody listens, before standing in line for the first login: a dead server must not hold up the line."""
        settings = self._settings
        wait_s = min(settings.connect_timeout_s, max(ends - time.monotonic(), 1.0))
        failure: LbsyncError
        try:
            socket.create_connection((settings.address, settings.port), timeout=wait_s).close()
        except OSError as error:
            failure = failures.connection_failed(settings, error)
        else:
            return
        raise failure

    def _carry(self, write: Callable[[int], str], read: Callable[[bytes], T], ends: float) -> T:
        # The error is raised outside the handler, so that no request or response (their headers hold tokens) hangs on it.
        failure: Exception
        try:
            protocol = self._open(ends)
            return read(protocol.send_message(write(protocol.operation_timeout_sec)))
        except (
            WinRMError,
            WinRMTransportError,
            WinRMOperationTimeoutError,
            SpnegoError,
            LoginGone,
            HTTPError,
            OSError,
            *_GARBLED,
        ) as error:
            failure = self._translated(error)
        raise failure

    def _open(self, ends: float) -> Protocol:
        settings = self._settings
        left = max(ends - time.monotonic(), 1.0)
        operation_s = int(min(settings.operation_timeout_s, left)) or 1
        timeouts = (min(settings.connect_timeout_s, left), min(operation_s + _LONGER_THAN_OPERATION_S, left + 1.0))
        if self._protocol is None or self._transport is None:
            # The protocol reads faults; logging in and sending is the transport's, which alone is given the password.
            self._protocol = Protocol(settings.endpoint, username="-", password="", proxy=None)
            self._protocol.transport = self._transport = LeanTransport(settings)
            self._transport.limit(*timeouts)
            session = self._transport.build_session()
            if settings.seals:
                self._transport.setup_encryption(session)
        self._protocol.operation_timeout_sec = operation_s
        self._transport.limit(*timeouts)
        return self._protocol

    def _opened(self) -> int | None:
        """How many connections this session has opened; ``None`` before there is a session."""
        adapter = None if self._transport is None else self._transport.adapter
        return None if adapter is None else adapter.opened

    def _translated(self, error: Exception) -> LbsyncError | _Torn:
        settings = self._settings
        match error:
            case InvalidCredentialsError():
                return self._unauthorised(error)
            case WSManFaultError():
                return failures.fault(settings, error.wsman_fault_code, error.fault_code, error.reason)
            case WinRMTransportError():
                return failures.http_status(settings, error.code)
            case WinRMOperationTimeoutError():
                return _NothingYet("WinRM had no answer in time", where=settings.name, code=failures.Code.NOTHING_YET)
            case _:
                return self._broken(error)

    def _broken(self, error: Exception) -> LbsyncError | _Torn:
        if isinstance(error, LoginGone | PermissionError):
            return _Torn()  # 401 to a message, or no challenge where one was due: the message was not carried out
        if isinstance(error, KeyError | SpnegoError) and not self._authenticated:
            return _Torn()  # the same, met by requests_ntlm; once logged in it may be the answer that cannot be read
        if isinstance(error, OSError | HTTPError):  # requests' exceptions are OSErrors, urllib3's are HTTPErrors
            return failures.connection_failed(self._settings, error)
        if isinstance(error, WinRMError) and self._opened() is None:
            return failures.missing_extra(self._settings)
        return failures.garbled(self._settings, error)

    def _unauthorised(self, error: InvalidCredentialsError) -> LbsyncError | _Torn:
        """401: a wrong password, only where the whole login went over one connection."""
        response = getattr(error.__context__, "response", None)
        if not isinstance(response, requests.Response):
            return ConfigError(str(error), where=self._settings.name)  # pywinrm found user or password missing
        if self._settings.transport in {"basic", "certificate"}:
            return failures.login_rejected(self._settings)
        if self._authenticated or (self._opened() or 0) > 1:
            return _Torn()
        if "Authorization" not in response.request.headers:
            return failures.not_offered(self._settings, response.headers.get("WWW-Authenticate", ""))
        return failures.login_rejected(self._settings)
