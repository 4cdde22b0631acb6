"""Going live: reload, and the proof that it took.

Rule of this room: nothing NGINX or systemd says counts as proof. A reload can fail with every exit code 0 (a port that somebody
else has); so the workers must be new, the error log silent, the status listener in the wanted state, and the certificate that
of ten full handshakes in a row.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from lbsync.errors import Rejected, TargetError, Unreachable
from lbsync.kit.handshake import handshake
from lbsync.kit.waiting import wait_for
from lbsync_certs import CertificateProblem, Fingerprint
from lbsync_nginx.device import Device
from lbsync_nginx.errorlog import errors_since
from lbsync_nginx.reloading import LogMark, reload_and_wait
from lbsync_nginx.state import NginxState

HANDSHAKES = 10
"""So many in a row, over ``proof_s``: an old worker was seen to serve for 146 ms after a reload had returned."""
BROKEN_S = 2.0
"""A listener on which no handshake came to an end for so long, and ten in a row, is broken."""
_HANDSHAKE_S = 10.0


@dataclass(frozen=True, slots=True)
class Proof:
    """What clients and the status listener must show; ``state`` ``None``: nothing of ours runs.

    ``only_leaf``: nothing but the certificate changes, which handshakes prove by themselves; new workers run nothing but what
    the master loaded.
    """

    state: NginxState | None
    leaf: Fingerprint | None
    only_leaf: bool = False


def reload_and_prove(device: Device, log: str | None, proof: Proof) -> None:
    """Reload NGINX and wait for the proof.

    ``log`` is the error log's path. Raises Rejected (``reload_failed``, ``not_live``), Unreachable where NGINX does not run,
    TargetError.
    """
    mark = reload_and_wait(device.host, device.settings, log)
    prove(device, mark, proof)


def prove(device: Device, mark: LogMark, proof: Proof) -> None:
    """Wait until everything shows ``proof``. Raises Rejected (``not_live``) when it does not in time."""
    if not proof.only_leaf and not wait_for(lambda: _runs(device) == proof.state, device.settings.reload_timeout_s):
        raise _not_live(device, mark, "the workers do not run what is on the disk")
    if proof.leaf is not None:
        problem = _handshakes(device, proof.leaf)
        if problem:
            raise _not_live(device, mark, problem)


def _runs(device: Device) -> NginxState | None:
    running = device.running()
    return running.state if running else None


def _handshakes(device: Device, leaf: Fingerprint) -> str:
    """Empty when enough full handshakes in a row served ``leaf`` within the time; else what the last one met.

    Where another certificate is served the time is waited for, since that harms nobody. Where no handshake comes to an end it is
    not: clients are turned away.
    """
    deadline = time.monotonic() + device.settings.reload_timeout_s
    row, began, said = 0, time.monotonic(), ""
    broken, broken_since = 0, time.monotonic()
    while True:
        met = _met(device, leaf)
        now = time.monotonic()
        if met.problem:
            row, began, said = 0, now, met.problem
        else:
            row += 1
        if met.tls:
            broken, broken_since = 0, now
        else:
            broken += 1
        if row >= HANDSHAKES and now - began >= device.settings.proof_s:
            return ""
        if now >= deadline or (broken >= HANDSHAKES and now - broken_since >= BROKEN_S):
            return said or "too few handshakes in the time"
        time.sleep(device.settings.proof_s / HANDSHAKES)


@dataclass(frozen=True, slots=True)
class _Met:
    """One full handshake: what was wrong with it (empty: nothing), and whether it came to an end."""

    problem: str
    tls: bool


def serves(device: Device, leaf: Fingerprint) -> str:
    """Empty when one full handshake served ``leaf``; else what it met."""
    return _met(device, leaf).problem


def _met(device: Device, leaf: Fingerprint) -> _Met:
    """Where the settings have NGINX listen, or else our files."""
    met = _met_at(device, leaf)
    if met.problem and (there := device.as_on_disk()) is not device:
        return _met_at(there, leaf)
    return met


def _met_at(device: Device, leaf: Fingerprint) -> _Met:
    settings, host = device.settings, device.spec.hosts[0]
    place = f"{settings.probe}:{settings.https_port}"
    try:
        served = handshake(settings.probe, settings.https_port, host, ca_pem=None, timeout_s=_HANDSHAKE_S)
    except CertificateProblem as error:
        return _Met(f"{place}: {error.message}", tls=True)
    except Unreachable as error:
        return _Met(f"{place}: {error.message}", tls=False)
    if served.fingerprint == leaf:
        return _Met("", tls=True)
    return _Met(f"{place} serves certificate {served.fingerprint[:12]}, not {leaf[:12]}", tls=True)


def _not_live(device: Device, mark: LogMark, reason: str) -> Rejected:
    log = errors_since(device.host, mark)
    words = f" NGINX's error log: {'; '.join(log[-3:])}" if log else ""
    return Rejected(
        f"the change is not live: {reason}.{words}",
        where=device.spec.name,
        state="the new configuration may be live in part",
        remedy="see NGINX's error log",
        code="not_live",
    )


def quietly_back(device: Device, log: str | None, proof: Proof) -> str:
    """Reload once more after files were put back; empty when the proof of before stands again, else why it does not."""
    try:
        reload_and_prove(device, log, proof)
    except TargetError as error:
        return error.message
    return ""
