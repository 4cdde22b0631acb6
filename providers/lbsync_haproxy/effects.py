"""Effects: one action, carried out once or more with the same result.

Rule of this room: the disk is changed in an order that leaves HAProxy able to start at every moment, and a failure leaves what
was there.
"""

from __future__ import annotations

from lbsync.errors import Rejected, TargetError
from lbsync.kit.marker import leave_marker, remove_marker
from lbsync.kit.pem_files import PemFolder, install_pem, leaf_of, pem_name, remove_pem
from lbsync.kit.seal import body_of, seal, seal_of
from lbsync.kit.waiting import wait_for
from lbsync.model import Mode, Receipt
from lbsync.services import Service
from lbsync.target import MaterialSource
from lbsync_certs import Fingerprint
from lbsync_haproxy import layout
from lbsync_haproxy.device import Device
from lbsync_haproxy.disk import installed_pem, read_text
from lbsync_haproxy.host_view import buffer_size
from lbsync_haproxy.pools import map_key, parse_map_body, pool_name
from lbsync_haproxy.tidy import tidy

_COMMAND_ROOM = 512
"""Bytes of a Runtime API command besides its payload: the name of the certificate, separators, HAProxy's own reserve."""
_CHECK_ROUNDS = 3
"""Health checks a pool is given to come up: a reload starts them anew."""


def install_certificate(device: Device, leaf: Fingerprint, materials: MaterialSource) -> Receipt:
    """Write the immutable PEM file of ``leaf``, 0600. Raises CertificateError, TargetError."""
    return install_pem(device.host, _folder(device), leaf, materials)


def remove_certificate(device: Device, leaf: Fingerprint, *, keep_directory: bool) -> Receipt:
    """Remove a PEM file that nothing serves; one that is served stays. Raises TargetError."""
    served = leaf_of(device.host.read_link(device.home.live)) == leaf
    return remove_pem(device.host, _folder(device), leaf, served=served, keep_directory=keep_directory)


def _folder(device: Device) -> PemFolder:
    return PemFolder(device.home.certs, device.settings.owner, device.settings.group)


def switch_certificate(device: Device, leaf: Fingerprint) -> Receipt:
    """Serve an installed certificate: memory first, since HAProxy judges it there, then the live link. Raises TargetError."""
    name = device.home.live
    pem, thumbprint = installed_pem(device.host, device.home, leaf)
    device.runtime.abandon_own(name)
    running = device.look()
    if not running.loaded:
        raise Rejected(
            "HAProxy does not run our listener", where=name, remedy="plan again: a publish is due", code="not_loaded"
        )
    if len(pem) + len(name) + _COMMAND_ROOM > buffer_size(device.host, device.settings):
        return _switch_by_reload(device, leaf, thumbprint)
    if running.thumbprint != thumbprint:
        device.runtime.swap_certificate(name, pem, thumbprint)
    try:
        device.host.symlink(pem_name(leaf), name)
    except TargetError:
        _serve_linked(device)
        raise
    return Receipt(summary="switched the certificate live", details={"file": device.home.certificate(leaf)})


def _switch_by_reload(device: Device, leaf: Fingerprint, thumbprint: str) -> Receipt:
    """For a certificate larger than tune.bufsize: 2.6 answers nothing to it on the socket."""
    before = device.host.read_link(device.home.live)
    device.host.symlink(pem_name(leaf), device.home.live)
    try:
        device.reload()
    except TargetError:
        if before is not None:
            device.host.symlink(before, device.home.live)
        raise
    if device.look().thumbprint != thumbprint:
        raise Rejected("HAProxy was reloaded but serves another certificate", where=device.home.live, code="not_loaded")
    return Receipt(
        summary="switched the certificate by a reload: it is larger than tune.bufsize allows live",
        details={"file": device.home.certificate(leaf)},
    )


def _serve_linked(device: Device) -> None:
    """Memory back to what the live link still says, after the link could not be moved. Raises TargetError."""
    linked = leaf_of(device.host.read_link(device.home.live))
    if linked is not None:
        pem, thumbprint = installed_pem(device.host, device.home, linked)
        device.runtime.swap_certificate(device.home.live, pem, thumbprint)


def switch_mode(device: Device, service: Service, mode: Mode) -> Receipt:
    """Route a service to its other pool: the file first, since a full disk is met there, then the memory.

    Raises Rejected where the pool is not there, or is down while the present one is up; TargetError.
    """
    tidy(device)
    pool, key = pool_name(service, mode), map_key(service)
    _refuse_dead_pool(device, pool, key)
    text = read_text(device.host, device.home, layout.MAP)
    if text is None or seal_of(text) != "intact":
        raise Rejected(
            "the map is missing, or was edited by somebody else",
            where=device.home.map,
            state="nothing was changed",
            remedy="plan again",
            code="edited",
        )
    changed = seal(_with_entry(body_of(text), key, pool))
    if changed != text:
        _write_map(device, changed)
    try:
        if (device.look().map or {}).get(key) != pool:
            device.runtime.set_map(device.home.map, key, pool)
    except TargetError:
        _write_map(device, text)
        raise
    return Receipt(summary=f"{service} goes to {pool}", details={"pool": pool})


def _write_map(device: Device, text: str) -> None:
    owner, group = device.settings.owner, device.settings.group
    device.host.write_file(device.home.map, text.encode(), owner=owner, group=group)


def _with_entry(body: str, key: str, pool: str) -> str:
    """The map's text with one entry changed, every other line as it is."""
    lines = [f"{key} {pool}" if line.split(" ", 1)[0] == key else line for line in body.splitlines()]
    return "\n".join([*lines, ""])


def _refuse_dead_pool(device: Device, pool: str, key: str) -> None:
    running = device.look()
    if pool not in running.proxies:
        # HAProxy would accept the name and answer 503.
        raise Rejected(
            f"HAProxy has no backend {pool}",
            where=device.home.map,
            state="nothing was changed",
            remedy="plan again: a publish is due",
            code="no_pool",
        )

    def worth_it() -> bool:
        now = device.look()
        present = (now.map or {}).get(key, "")
        return device.is_up(now, pool) or (present != pool and not device.is_up(now, present))

    if not wait_for(worth_it, _CHECK_ROUNDS * device.settings.check_interval_s):
        checks = "; ".join(f"{row.server}: {row.last_check}" for row in device.pool_rows(running, pool))
        raise Rejected(
            f"no server of {pool} is up ({checks})",
            where=device.home.map,
            state=f"{key} goes where it went before",
            remedy="see why the health checks fail (403 on port 80: Require SSL is still on)",
            code="pool_down",
        )


def mark(device: Device, marker: str) -> Receipt:
    """Leave the run marker. Raises Rejected where another run's is there, TargetError."""
    tidy(device)
    return leave_marker(device.host, device.home.marker, marker)


def unmark(device: Device, marker: str) -> Receipt:
    """Remove the run marker if it is this one; another run's stays. Raises TargetError."""
    tidy(device)
    return remove_marker(device.host, device.home.marker, marker)


def map_modes(text: str | None, key: str) -> str | None:
    """The pool that a map file's text names for a key."""
    return parse_map_body(body_of(text)).get(key) if text is not None else None
