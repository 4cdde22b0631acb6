"""What goes wrong below, in the errors of the house.

Rule of this room: branch on classes and codes, never on text; carry no request, no response and no original exception on,
since their headers hold tokens. The closed list of codes stands in ``Code``.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from enum import IntEnum, StrEnum

from lbsync.errors import ConfigError, Denied, LbsyncError, Rejected, Unreachable
from lbsync.exchange.session.settings import SessionSettings


class Code(StrEnum):
    """The codes of this room; a fault of WS-Management has its number as code, a script's error its own id."""

    DEADLINE = "deadline"
    CONNECTION = "connection"
    LOGIN_TORN = "login_torn"
    LOGIN_REJECTED = "login_rejected"
    NOT_OFFERED = "authentication_not_offered"
    TLS = "tls_untrusted"
    GARBLED = "garbled"
    EMPTY = "empty_answer"
    NOTHING_YET = "operation_timeout"
    HTTP = "http"


class Fault(IntEnum):
    """Fault numbers of WS-Management with a meaning of their own here."""

    ACCESS_DENIED = 5
    QUOTA = 2150859174
    UNKNOWN_SHELL = 2150858843


_UNAVAILABLE = frozenset({429, 502, 503, 504})
_NOTHING_DONE = "nothing was done there"


def login_rejected(settings: SessionSettings) -> Denied:
    """The password (ticket, certificate) was judged and found wrong."""
    who = settings.user or f"the certificate {settings.certificate_file}"
    return Denied(
        f"the login of {who} by {settings.transport} was rejected",
        where=settings.name,
        state=_NOTHING_DONE,
        remedy="check farm.winrm.user and farm.winrm.password, and that the account is neither locked nor expired",
        code=Code.LOGIN_REJECTED,
    )


def login_torn(settings: SessionSettings) -> Unreachable:
    """The connection broke in the middle of a login, twice: that says nothing of the password."""
    return Unreachable(
        "the connection was closed in the middle of the login",
        where=settings.name,
        state=_NOTHING_DONE,
        remedy="look for a device between here and the server that spreads or closes its connections",
        code=Code.LOGIN_TORN,
    )


def not_offered(settings: SessionSettings, offered: str) -> Rejected:
    """The server wants another kind of authentication."""
    return Rejected(
        f"the server does not offer {settings.transport} (it offers: {offered or 'nothing'})",
        where=settings.name,
        state=_NOTHING_DONE,
        remedy="set farm.winrm.transport to one it offers, or allow it with winrm set winrm/config/service/auth",
        code=Code.NOT_OFFERED,
    )


def missing_extra(settings: SessionSettings) -> ConfigError:
    """The package for this kind of authentication is not installed."""
    return ConfigError(
        f"the transport {settings.transport} needs a package that is not installed",
        where=settings.name,
        remedy=f"pip install 'lbsync[{settings.transport}]'",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all it was made from; requests and urllib3 keep theirs in arguments and in ``reason``."""
    todo, seen = [error], set[int]()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        todo += [part for part in inner if isinstance(part, BaseException)]


def connection_failed(settings: SessionSettings, error: BaseException) -> LbsyncError:
    """No connection, a broken one, or no answer in time; a certificate that does not verify is no question of time."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Rejected(
                f"the TLS certificate of {settings.tls_name} is not trusted: {cause.verify_message}",
                where=settings.name,
                state=_NOTHING_DONE,
                remedy="set farm.winrm.ca_file to the CA that issued it, and servers.fqdn to a name it carries",
                code=Code.TLS,
            )
    return Unreachable(
        f"no WinRM answer from {settings.address} port {settings.port} ({type(error).__name__})",
        where=settings.name,
        remedy="check address, port and firewall, and that WinRM runs: winrm enumerate winrm/config/listener",
        code=Code.CONNECTION,
    )


def deadline_passed(settings: SessionSettings, what: str, deadline_s: float) -> Unreachable:
    """Our own deadline."""
    return Unreachable(
        f"{what} did not end within {deadline_s:g} s",
        where=settings.name,
        state="its shell was closed, which ends the script there",
        remedy="look at the server's load; what the script began may be half done, and is read again before the next step",
        code=Code.DEADLINE,
    )


def garbled(settings: SessionSettings, error: BaseException) -> Unreachable:
    """An answer that is not WS-Management."""
    return Unreachable(
        f"the answer is not one of WinRM ({type(error).__name__})",
        where=settings.name,
        remedy=f"check that port {settings.port} of {settings.address} is WinRM and no proxy stands between",
        code=Code.GARBLED,
    )


def http_status(settings: SessionSettings, status: int) -> LbsyncError:
    """An HTTP error without a fault inside."""
    if status in _UNAVAILABLE:
        return Unreachable(f"HTTP {status}: not available now", where=settings.name, code=f"{Code.HTTP}_{status}")
    remedy = "check that the port is WinRM's and the listener serves /wsman"
    if status == 500 and settings.scheme == "http":  # noqa: PLR2004  HTTP.SYS' answer to an unsealed message
        remedy = "the server may not allow unencrypted messages; use https"
    return Rejected(f"WinRM answered HTTP {status}", where=settings.name, remedy=remedy, code=f"{Code.HTTP}_{status}")


def fault(settings: SessionSettings, code: int | None, soap_code: str | None, reason: str) -> LbsyncError:
    """A fault of WS-Management: the sender's kind is Rejected, the receiver's Unreachable, some numbers say more."""
    said = " ".join(reason.split())[:300]
    match code:
        case Fault.ACCESS_DENIED:
            return Denied(
                f"{settings.user or 'the client certificate'} may not use WinRM there: {said}",
                where=settings.name,
                state=_NOTHING_DONE,
                remedy="make the account a local administrator of the server",
                code=str(code),
            )
        case Fault.QUOTA:
            return Unreachable(
                "too many shells are open for this user",
                where=settings.name,
                state="none was opened",
                remedy="wait for other sessions to end, or raise MaxShellsPerUser (winrm/config/winrs)",
                code=str(code),
            )
        case Fault.UNKNOWN_SHELL:
            return Unreachable(
                "the remote shell is gone: WinRM or the server was restarted",
                where=settings.name,
                code=str(code),
            )
        case _:
            kind = Rejected if (soap_code or "").endswith("Sender") else Unreachable
            return kind(f"WinRM fault: {said}", where=settings.name, code=str(code or ""))
