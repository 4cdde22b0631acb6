"""What one core of a host computes per second, by its own `openssl speed`.

Rule of this room: a fixed argument list, niced, one second a test, one test at a time; the private keys in it are OpenSSL's test
keys, never the farm's. The machine-readable output (-mr) is read as OpenSSL 1.1.1 to 3.x write it (apps/speed.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lbsync.costs import AGREE, AGREEMENT, BULK, CIPHER, SIGN, VERIFY, Entry, Unknown, number
from lbsync.errors import Rejected, TargetError
from lbsync.kit.host import Completed, Host

ROUNDS = 3
_BYTES = 16384
"""The largest TLS record."""
_WAIT_S = 30.0
_SPEED: Final = ("nice", "-n", "19", "openssl", "speed", "-mr", "-seconds", "1")
_RATES: Final = {"rsa": "+F2", "ecdsap": "+F4", "ecdhp": "+F5"}
_NAME = re.compile(r"(rsa|ecdsap|ecdhp)(\d+)\Z")
_NOT_FOUND, _ENOENT = 127, "ENOENT"
"""nice's exit code for a command that is not there, and the hosts' code for the same."""


@dataclass(frozen=True, slots=True)
class _Ran:
    """The rates of each round, else none and why; ``missing``: there is no such program."""

    rates: tuple[tuple[float, ...], ...] = ()
    why: str = ""
    missing: bool = False


def measure_speed(host: Host, published: str | None, servers: Sequence[str]) -> tuple[Entry, ...]:
    """Signing with the published kind of key, checking the servers' kinds, key agreement, bulk: rates, or why there is none.

    Kinds as ``costs.speed_name`` has them; ``published`` ``None`` where it has none.
    """
    found: list[Entry] = []
    if published is None:
        why = "the certificate to publish is not known, or openssl speed has no test for its kind of key"
        found.append(Unknown(id=SIGN, subject="published certificate", why=why))
    if not servers:
        why = "no server showed its certificate, or openssl speed has no test for its kind of key"
        found.append(Unknown(id=VERIFY, subject="servers", why=why))
    kinds = list(dict.fromkeys((*((published,) if published else ()), *servers)))
    missing = ""
    for name in [*kinds, AGREEMENT, CIPHER]:
        words = ("-bytes", str(_BYTES), "-evp", name) if name == CIPHER else (name,)
        ran = _Ran(why=missing) if missing else _run(host, words)
        missing = ran.why if ran.missing else missing
        found += [_entry(name, one, place, ran) for one, place in _ids(name, name == published, name in servers)]
    return tuple(found)


def rates(name: str, output: str) -> tuple[float, ...] | None:
    """What one run of -mr says: operations per second (sign and verify; agreement), or bytes per second. ``None``: nothing."""
    if (kind := _NAME.match(name)) is None:
        lines = [line.split(":") for line in output.splitlines() if line.startswith("+F:")]
        wanted = [float(line[-1]) for line in lines if len(line) > 3 and line[2].lower() == name]  # noqa: PLR2004
        return (wanted[0],) if wanted and wanted[0] > 0 else None
    mark, bits = _RATES[kind.group(1)], kind.group(2)
    for line in output.splitlines():
        match line.split(":"):
            case [start, _, width, *values] if start == mark and width == bits:
                # Agreement is told as a rate and its inverse; RSA from 3.2 on also has encrypting and decrypting behind.
                told = tuple(float(value) for value in values[: 1 if mark == "+F5" else 2])
                return told if told and all(value > 0 for value in told) else None
            case _:
                continue
    return None


def _ids(name: str, signs: bool, checks: bool) -> list[tuple[str, int]]:
    """Which entries a test gives, and where each stands among its rates."""
    if name == CIPHER:
        return [(BULK, 0)]
    if name == AGREEMENT:
        return [(AGREE, 0)]
    return [(SIGN, 0)] * signs + [(VERIFY, 1)] * checks


def _entry(name: str, id: str, place: int, ran: _Ran) -> Entry:  # noqa: A002 -- the field's name
    samples = [rate[place] for rate in ran.rates]
    if not samples:
        return Unknown(id=id, subject=name, why=ran.why)
    if id == BULK:
        return number(id, name, "MB/s", [sample / 1e6 for sample in samples], note=f"records of {_BYTES} bytes")
    return number(id, name, "op/s", samples)


def _run(host: Host, words: Iterable[str]) -> _Ran:
    argv = (*_SPEED, *words)
    found: list[tuple[float, ...]] = []
    for _ in range(ROUNDS):
        try:
            done = host.run(argv, timeout_s=_WAIT_S)
        except Rejected as error:  # over SSH 127 comes as this
            return _Ran(why=_absent(host) if error.code == _ENOENT else error.message, missing=error.code == _ENOENT)
        except TargetError as error:
            return _Ran(why=error.message)
        if done.rc == _NOT_FOUND:
            return _Ran(why=_absent(host), missing=True)
        said = rates(argv[-1], done.stdout.decode(errors="replace")) if done.rc == 0 else None
        if said is None:
            return _Ran(why=_refused(done))
        found.append(said)
    return _Ran(tuple(found))


def _absent(host: Host) -> str:
    return f"openssl (or nice) is not on {host.name}"


def _refused(done: Completed) -> str:
    words = (line.strip() for line in done.stderr.decode(errors="replace").splitlines())
    said = next((line for line in words if line and not line.startswith("+")), "nothing that can be read")
    return f"openssl speed ended with {done.rc} and said: {said}; it takes OpenSSL 1.1.1 or later"
