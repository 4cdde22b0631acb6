"""How long somebody who guesses has to wait.

Rule of this file: pure but for the table it keeps; a wait grows and ends. Nothing is locked for good, since then anybody could
lock out anybody: a name waits a minute at most, an address a quarter of an hour.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_FREE: Final = 5
"""Failures before the first wait: people mistype."""
_NAME_S: Final = 60.0
_ADDRESS_S: Final = 900.0
_FORGET_S: Final = 3600.0
"""Failures older than this count no more."""
_MOST: Final = 20_000


@dataclass(frozen=True, slots=True)
class Attempts:
    """Failures in a row, when the last was, and when the next try is heard (seconds of the monotonic clock)."""

    failures: int = 0
    last: float = 0.0
    until: float = 0.0


def after_failure(before: Attempts, now: float, longest_s: float) -> Attempts:
    """One failure more: 1, 2, 4 ... seconds from the sixth on, never more than ``longest_s``."""
    failures = 1 if now - before.last > _FORGET_S else before.failures + 1
    over = failures - _FREE
    wait = 0.0 if over <= 0 else min(longest_s, 2.0 ** min(over - 1, 20))
    return Attempts(failures=failures, last=now, until=now + wait)


def wait_s(attempts: Attempts, now: float) -> float:
    """Seconds until the next try is heard; 0 for at once."""
    return max(0.0, attempts.until - now)


class Lockout:
    """Failures by name and by address; bounded, the oldest are forgotten first. Names that do not exist count like others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], Attempts] = OrderedDict()
        self._at_home: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait_s(self, name: str, address: str) -> float:
        """Seconds this name from this address has to wait; 0 for none.

        Where somebody logged in by this name before, only the address's own failures count: others cannot keep them out.
        """
        now, at_home = self._clock(), (_folded(name), _block(address)) in self._at_home
        keys = [key for key, _ in _keys(name, address) if not (at_home and key[0] == "name")]
        return max(wait_s(self._kept.get(key, Attempts()), now) for key in keys)

    def failed(self, name: str, address: str) -> None:
        """Note a wrong password or token; the name is empty where there is none."""
        now = self._clock()
        for key, longest in _keys(name, address):
            self._kept[key] = after_failure(self._kept.get(key, Attempts()), now, longest)
            self._kept.move_to_end(key)
        _shrink(self._kept)

    def succeeded(self, name: str, address: str) -> None:
        """Take back the failure noted for this try, and forget the name's.

        The address's others stay: who knows one password may be guessing another's.
        """
        self._kept.pop(("name", _folded(name)), None)
        key = ("address", _block(address))
        before = self._kept.pop(key, Attempts())
        if before.failures > 1:
            self._kept[key] = Attempts(failures=before.failures - 1, last=before.last)
        self._at_home[_folded(name), _block(address)] = None
        _shrink(self._at_home)

    def __len__(self) -> int:
        return len(self._kept)


def _shrink(kept: OrderedDict[tuple[str, str], Attempts] | OrderedDict[tuple[str, str], None]) -> None:
    while len(kept) > _MOST:
        kept.popitem(last=False)


def _keys(name: str, address: str) -> tuple[tuple[tuple[str, str], float], ...]:
    by_address = (("address", _block(address)), _ADDRESS_S)
    return (by_address, (("name", _folded(name)), _NAME_S)) if name else (by_address,)


def _folded(name: str) -> str:
    return name.casefold()[:128]


def _block(address: str) -> str:
    """An IPv6 host has a /64 to itself: it is one address here."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
