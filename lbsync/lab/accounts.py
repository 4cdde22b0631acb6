"""The accounts of the simulated domain: passwords, lock-out, and the NTLM acceptor that checks them.

Rule of this room: passwords are random, live in memory, and reach disk only as NT hashes in a private file, which
pyspnego's acceptor reads through ``NTLM_USER_FILE``. That variable is process-wide, so every farm of a process shares one
file and one set of passwords; the lock-out count is each farm's own.
"""

from __future__ import annotations

import hmac
import os
import secrets
import struct
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from hashlib import md5
from pathlib import Path

import spnego
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from lbsync.facts import TokenChecking

DOMAIN = "CONTOSO"
DNS_DOMAIN = "contoso.test"
ADMIN = "lbsync"
READER = "auditor"
"""Logs on, but is no administrator and has no Exchange role."""
MAILBOX = "anna"

_VARIABLE = "NTLM_USER_FILE"
_SIGNATURE = b"NTLMSSP\x00"
_AV_CHANNEL_BINDINGS = 10
_RESPONSE_HEADER = 44
"""Bytes of an NTLMv2 response before its attribute-value pairs: 16 of proof, 28 of client challenge header."""


class LogonFailed(Exception):
    """The credentials were not accepted; the reason is for the lab's counters, never for the client."""


class _UserFile:
    """The one users file of this process, there while at least one farm runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._farms = 0
        self._path: Path | None = None
        self._before: str | None = None
        self.passwords = {name: secrets.token_urlsafe(18) for name in (ADMIN, READER, MAILBOX)}

    def password(self, name: str) -> str:
        return self.passwords[name]

    def acquire(self) -> None:
        with self._lock:
            self._farms += 1
            if self._farms > 1:
                return
            descriptor, name = tempfile.mkstemp(prefix="lbsync-lab-users-")
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.writelines(_line(name, password) for name, password in self.passwords.items())
            self._path = Path(name)
            self._before = os.environ.get(_VARIABLE)
            os.environ[_VARIABLE] = name

    def release(self) -> None:
        with self._lock:
            self._farms -= 1
            if self._farms or self._path is None:
                return
            self._path.unlink(missing_ok=True)
            self._path = None
            if self._before is None:
                os.environ.pop(_VARIABLE, None)
            else:
                os.environ[_VARIABLE] = self._before


_FILE = _UserFile()


def _line(name: str, password: str) -> str:
    """One account, both ways to write its name, in smbpasswd form: only its NT hash is stored."""
    from spnego._ntlm_raw.crypto import ntowfv1

    tail = f":1000:{'0' * 32}:{ntowfv1(password).hex().upper()}:[U]:LCT-00000000\n"
    return f"{DOMAIN}\\{name}{tail}{name}@{DNS_DOMAIN}{tail}"


@dataclass(slots=True)
class Accounts:
    """The accounts as one farm sees them. ``lockout_after`` wrong passwords lock an account for good."""

    lockout_after: int = 5
    wrong: Counter[str] = field(default_factory=Counter[str])
    logons: Counter[str] = field(default_factory=Counter[str])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def acquire() -> None:
        """Make the accounts known to the acceptor; pair with ``release``."""
        _FILE.acquire()

    @staticmethod
    def release() -> None:
        """Forget them with the last farm."""
        _FILE.release()

    @staticmethod
    def password(name: str) -> str:
        """The password of ``lbsync``, ``auditor`` or ``anna``."""
        return _FILE.password(name)

    @staticmethod
    def full_name(user: str) -> str:
        """A user with its domain, however it was written."""
        return f"{DOMAIN}\\{_short(user)}"

    def locked(self, user: str) -> bool:
        """True when too many wrong passwords were tried for ``user`` (with or without domain)."""
        with self._lock:
            return self.wrong[_short(user)] >= self.lockout_after

    def unlock(self) -> None:
        """Forget the wrong passwords of every account."""
        with self._lock:
            self.wrong.clear()

    def check(self, user: str, password: str) -> str:
        """A plain user name and password, as Basic brings them. Returns the user with domain; raises LogonFailed."""
        name = _short(user)
        known = _FILE.passwords.get(name)
        good = known is not None and hmac.compare_digest(known.encode(), password.encode())
        self.judge(name, good=good)
        return f"{DOMAIN}\\{name}"

    def judge(self, name: str, *, good: bool) -> None:
        """Count a logon. Raises LogonFailed for a wrong one, and for any once the account is locked."""
        with self._lock:
            if self.wrong[name] >= self.lockout_after:
                raise LogonFailed("locked")
            if not good:
                self.wrong[name] += 1
                raise LogonFailed("password")
            self.wrong.pop(name, None)
            self.logons[name] += 1

    def accept(self) -> Acceptor:
        """An NTLM acceptor for one connection."""
        return Acceptor(self)


class Acceptor:
    """One NTLM handshake: challenge, then verdict; afterwards it seals and opens WinRM messages."""

    name = "SPNEGO"
    trailer = 16
    """Bytes of signature before a sealed message."""

    def __init__(self, accounts: Accounts) -> None:
        """``accounts`` keeps the lock-out count."""
        self._accounts = accounts
        self._context = spnego.server(protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm)
        self.user = ""

    @property
    def complete(self) -> bool:
        """True once the client has proven who it is."""
        return bool(self.user)

    def step(self, token: bytes, binding: bytes | None, checking: TokenChecking) -> bytes | None:
        """Take a token, return the challenge or ``None`` when done. Raises LogonFailed.

        ``binding`` is the channel's tls-server-end-point data, ``None`` over plain HTTP. ``checking`` is the location's
        Extended Protection: Allow checks a binding where the client sends one, Require wants one.
        """
        start = token.find(_SIGNATURE)
        if start < 0:
            raise LogonFailed("not NTLM")
        token = token[start:]
        name = ""
        try:
            if token[8:12] == b"\x03\x00\x00\x00":
                name = _short(_user_of(token))
                if self._accounts.locked(name):
                    raise LogonFailed("locked")
                _check_binding(token, binding, checking)
            out = self._context.step(token)
        except (SpnegoError, struct.error, ValueError, UnicodeDecodeError) as problem:
            if name:
                self._accounts.judge(name, good=False)
            raise LogonFailed("token") from problem
        if self._context.complete:
            self._accounts.judge(name, good=True)
            self.user = f"{DOMAIN}\\{name}"
            return None
        return out

    def seal(self, message: bytes) -> bytes:
        """16 bytes of signature, then the sealed message."""
        return bytes(self._context.wrap(message, encrypt=True).data)

    def open(self, blob: bytes) -> bytes:
        """The message of ``seal`` at the other end. Raises LogonFailed when it was not sealed by this client."""
        try:
            return bytes(self._context.unwrap(blob).data)
        except SpnegoError as problem:
            raise LogonFailed("seal") from problem


def _check_binding(token: bytes, binding: bytes | None, checking: TokenChecking) -> None:
    if checking is TokenChecking.NONE:
        return
    sent = _binding_of(token)
    if sent is None:
        if checking is TokenChecking.REQUIRE:
            raise LogonFailed("binding missing")
        return
    if binding is None or sent != md5(GssChannelBindings(application_data=binding).pack()).digest():  # noqa: S324
        raise LogonFailed("binding differs")


def _field(token: bytes, offset: int) -> bytes:
    length, _room, start = struct.unpack_from("<HHI", token, offset)
    return token[start : start + length]


def _user_of(token: bytes) -> str:
    """The user name of an AUTHENTICATE message ([MS-NLMP] 2.2.1.3)."""
    (flags,) = struct.unpack_from("<I", token, 60)
    return _field(token, 36).decode("utf-16-le" if flags & 1 else "latin-1")


def _binding_of(token: bytes) -> bytes | None:
    """The channel-binding hash a client sent, ``None`` when it sent none (absent or all zero)."""
    response = _field(token, 20)
    at = _RESPONSE_HEADER
    while at + 4 <= len(response):
        kind, length = struct.unpack_from("<HH", response, at)
        if kind == _AV_CHANNEL_BINDINGS:
            value = response[at + 4 : at + 4 + length]
            return value if any(value) else None
        if kind == 0:
            return None
        at += 4 + length
    return None


def _short(user: str) -> str:
    return user.rsplit("\\", 1)[-1].split("@", 1)[0].lower()
