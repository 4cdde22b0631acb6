"""From whatever goes wrong on the way to a BIG-IP to lbsync's errors.

Rule of this room: no error holds what was sent, and none keeps the SDK's own exception, which would.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import requests

from lbsync.errors import Denied, Rejected, TargetError, Unreachable
from lbsync_f5.wire import COORDINATION, error_of, is_busy

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT = 401, 403, 404, 409
_SERVER_ERROR = 500
_NO_RIGHT = "Authorization failed"
"""How a device answers 401, too, where the account may not do what it asks: no code tells it from a rejected login."""
_TOKEN_LIMIT = "maximum active login tokens"  # noqa: S105 -- words of the device
_REMEDIES = {
    "01070734": "plan again: an object that is referred to is not there any more",
    "01070277": "plan again: the certificate's objects are not there any more",
    "01070317": "install the certificate again: key and certificate on the device do not belong together",
    "01070265": "take the object out of use where the device says so, or choose another name",
    "01020066": "something of that name is there already: rename it, or choose another partition or folder",
}
_SDK = frozenset({"f5", "icontrol"})
UNKNOWN_FATE = "it is not known whether the device did what was asked; looking again tells"


@contextmanager
def told(where: str, *, reading: bool = False) -> Generator[None]:
    """Translate what is raised inside. Raises TargetError."""
    try:
        yield
    except TargetError:
        raise
    except Exception as error:
        known = _known(error, where, "" if reading else UNKNOWN_FATE)
        if known is None:
            raise
        found = known
    else:
        return
    try:
        raise found from None
    finally:
        found.__context__ = None  # "from None" hides the SDK's exception, and with it what was sent; this lets go of it


def _known(error: Exception, where: str, state: str) -> TargetError | None:  # noqa: PLR0911 -- a table of them
    """What an exception of requests or of the SDK means; ``None`` for any other."""
    match error:
        case requests.exceptions.SSLError():
            return untrusted(where, error)
        case requests.exceptions.ConnectTimeout():
            return Unreachable("no connection within the time allowed", where=where, code="no_connection")
        case requests.exceptions.Timeout():
            return Unreachable("no answer within the time allowed", where=where, state=state, code="silent")
        case requests.exceptions.HTTPError():
            return refused(where, error.response)
        case ValueError():  # before the next: requests' own error for what is no JSON is a RequestException, too
            words = "the answer is not JSON: perhaps the device is restarting"
            return Unreachable(words, where=where, state=state, code="not_json")
        case requests.exceptions.RequestException() | OSError():
            return Unreachable(f"the connection failed ({_root(error)})", where=where, state=state, code="broken")
        case _ if type(error).__module__.partition(".")[0] in _SDK:
            words = f"the answer is not what a BIG-IP would say ({type(error).__name__})"
            return Unreachable(words, where=where, state=state, code="not_understood")
        case _:
            return None


def refused(where: str, response: requests.Response) -> TargetError:
    """The error for an answer that is no success."""
    status, text = response.status_code, response.text
    code, words = error_of(status, text, _json(response))
    if status == _UNAUTHORIZED and not words.startswith(_NO_RIGHT):
        return Denied(
            f"the account was rejected: {words}",
            where=where,
            state="nothing was changed",
            remedy="correct user, password or login_provider in balancers.settings",
            code="unauthorized",
        )
    if status in {_UNAUTHORIZED, _FORBIDDEN}:
        return Denied(
            f"the account may not do this: {words}",
            where=where,
            remedy="give it the role administrator",
            code="forbidden",
        )
    if _TOKEN_LIMIT in words:
        return Rejected(
            f"no login: {words}",
            where=where,
            state="nothing was changed",
            remedy="another program of this account leaves its tokens behind: delete them (DELETE "
            "/mgmt/shared/authz/tokens/<token>), wait 20 minutes until they expire, or give lbsync an account of its own",
            code="token_limit",
        )
    if status >= _SERVER_ERROR or is_busy(status, text):
        how = "is busy or restarting" if is_busy(status, text) else f"could not answer ({status})"
        return Unreachable(f"the device {how}: {words}", where=where, state=UNKNOWN_FATE, code="busy")
    if status == _NOT_FOUND and code == str(_NOT_FOUND) and _in_transaction(response):
        return _transaction_over(where, words)
    known = {_NOT_FOUND: "not_found", _CONFLICT: "exists"}.get(status, code)
    return Rejected(words, where=where, remedy=_REMEDIES.get(code, ""), code=known)


def _transaction_over(where: str, words: str) -> Rejected:
    return Rejected(
        f"the transaction is over before its time: {words}",
        where=where,
        state="nothing of it was done: a transaction is carried out whole or not at all",
        remedy="run it again; where that does not help, the device is too slow to take the changes within its time-out "
        "(120 s): see what keeps it busy",
        code="transaction_expired",
    )


def _in_transaction(response: requests.Response) -> bool:
    """Whether what was asked belongs to a transaction: what is queued is not looked up yet, so only that can be missing."""
    asked: Any = response.request
    return asked is not None and (COORDINATION in asked.headers or "/tm/transaction/" in str(asked.url))


def untrusted(where: str, error: Exception) -> Rejected:
    """The error for a device whose certificate does not verify: nothing was sent to it."""
    return Rejected(
        f"the device's certificate is not trusted: {_root(error)}",
        where=where,
        state="nothing was sent: no password, no key",
        remedy="name its CA in balancers.settings.ca_file, or the name it carries in server_name; "
        "where it has only its self-signed certificate, put one of your CA onto it",
        code="untrusted",
    )


def _json(response: requests.Response) -> object:
    try:
        found: Any = response.json()
    except ValueError:
        return None
    return found


def _root(error: BaseException) -> str:
    """What is at the bottom of requests' nested reasons, in one line."""
    seen: set[int] = set()
    current: Any = error
    while id(current) not in seen:
        seen.add(id(current))
        current = getattr(current, "reason", None) or next(
            (one for one in getattr(current, "args", ()) if isinstance(one, BaseException)), current
        )
    verify = getattr(current, "verify_message", "")
    return str(verify or getattr(current, "strerror", "") or type(current).__name__)
