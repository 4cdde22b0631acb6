"""Effects: one action, carried out once or more with the same result.

Rule of this room: which lines of our files change is decided here, how they go live in ``publish``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from lbsync.errors import Rejected, TargetError
from lbsync.kit.answers import seconds
from lbsync.kit.endpoints import endpoint
from lbsync.kit.pem_files import PemFolder, held_pem, install_pem, pem_name, remove_pem
from lbsync.kit.waiting import wait_for
from lbsync.model import Mode, Receipt
from lbsync.services import Service
from lbsync.target import MaterialSource
from lbsync_certs import Fingerprint
from lbsync_nginx.device import Device
from lbsync_nginx.disk import read_links, read_texts
from lbsync_nginx.live import Proof, prove, serves
from lbsync_nginx.publish import Basis, change_state
from lbsync_nginx.reloading import LogMark
from lbsync_nginx.state import LINKS, LinkName, Links, members_of, state_of
from lbsync_nginx.tidy import remove, tidy

_CUT_S = 10.0


def install_certificate(device: Device, leaf: Fingerprint, materials: MaterialSource) -> Receipt:
    """Write the immutable PEM file of ``leaf``; the workers may read it only where certificates come by variable.

    Raises CertificateError, TargetError.
    """
    return install_pem(device.host, _folder(device), leaf, materials)


def remove_certificate(device: Device, leaf: Fingerprint, *, keep_directory: bool) -> Receipt:
    """Remove a PEM file that nothing serves; one that is served stays. Raises TargetError."""
    running, links = device.running(), read_links(device.host, device.home)
    states = [state for text in read_texts(device.host, device.home).values() if (state := state_of(text))]
    states += [running.state] if running else []
    in_use: set[LinkName] = {state.link for state in states} or {*LINKS}
    served = leaf in {*(state.leaf for state in states), *(links[name] for name in in_use)}
    if stale := [device.home.link(name) for name in LINKS if name not in in_use and links[name] == leaf]:
        remove(device.host, stale)
    return remove_pem(device.host, _folder(device), leaf, served=served, keep_directory=keep_directory)


def _folder(device: Device) -> PemFolder:
    settings = device.settings
    return PemFolder(device.home.certs, settings.owner, settings.group, shared=device.home.shared)


def switch_certificate(device: Device, leaf: Fingerprint, basis: Basis) -> Receipt:
    """Serve an installed certificate: by a reload, or by the live link where each handshake reads it. Raises TargetError."""
    if device.settings.certificate_form == "variable":
        return _point_link(device, leaf)
    done = "switched the certificate by a reload"
    return change_state(
        device, lambda state: state.model_copy(update={"leaf": leaf}), basis, done, leaf=leaf, only_leaf=True
    )


def _point_link(device: Device, leaf: Fingerprint) -> Receipt:
    tidy(device.host, device.home)
    path = device.home.certificate(leaf)
    wanted, text = device.host.read_files([path, device.home.file(device.main)])
    held_pem(wanted, path, leaf)
    running, links = device.running(), read_links(device.host, device.home)
    disk = state_of(text.decode(errors="replace")) if text is not None else None
    # What is read now, and what would be after the next reload: two links only where a killed run left it so.
    states = [state for state in (disk, running.state if running else None) if state]
    names: set[LinkName] = {state.link for state in states} or {LINKS[0]}
    before: Links = {name: links[name] for name in names}
    after: Links = dict.fromkeys(names, leaf)
    if set(before.values()) == {leaf} and not serves(device, leaf):
        return Receipt(summary="the certificate is served already", details={"file": path})
    _lead(device, after)
    try:
        prove(device, LogMark(None), Proof(None, leaf, only_leaf=True))
    except TargetError as error:
        if None in before.values():
            raise
        _lead(device, before)
        raise Rejected(
            error.message,
            where=error.where,
            state="the link is where it was, and with it the certificate served",
            remedy=f"see NGINX's error log; its workers must be able to read the key, by the group {device.settings.group}",
            code=error.code,
        ) from error
    return Receipt(summary="switched the certificate without a reload", details={"file": path})


def _lead(device: Device, links: Links) -> None:
    """Have each link lead to a leaf. Raises TargetError."""
    for name, leaf in links.items():
        if leaf is not None:
            device.host.symlink(pem_name(leaf), device.home.link(name))


def switch_mode(device: Device, services: tuple[Service, ...], mode: Mode, basis: Basis) -> Receipt:
    """Route services to their other upstream, where a member is up for them.

    Raises Rejected (``pool_down``) where none is up while one is for the present mode, TargetError.
    """
    health = device.health(services)
    for service in services:
        up = {one.mode for one in health if one.service is service and one.up}
        if mode not in up and up:
            words = "; ".join(
                f"{one.server}: {one.said}" for one in health if (one.service, one.mode) == (service, mode)
            )
            raise Rejected(
                f"no server is up for {service} in mode {mode} ({words})",
                where=device.spec.name,
                state=f"{service} goes where it went before",
                remedy="see why the health checks fail (403 on port 80: Require SSL is still on)",
                code="pool_down",
            )
    names = ", ".join(services)
    wanted = dict.fromkeys(services, mode)
    return change_state(device, lambda state: state.with_modes(wanted), basis, f"{names}: mode {mode}")


def member_state(device: Device, args: Mapping[str, JsonValue], basis: Basis) -> Receipt:
    """Drain a member or put it back; with ``cut_after_s`` then end what is still there. Raises TargetError."""
    server, cut_after_s = str(args["server"]), args.get("cut_after_s")
    receipt = server_state(device, server, str(args["state"]), basis)
    return receipt if cut_after_s is None else cut_sessions(device, server, seconds(cut_after_s))


def server_state(device: Device, server: str, state: str, basis: Basis) -> Receipt:
    """Take a member out of every upstream, or put it back. Raises Rejected for one that is no member, TargetError."""
    refuse_strangers(device, (server,))
    down = state == "drain"
    return change_state(device, lambda now: now.with_down(server, down=down), basis, f"set {server} to {state}")


def refuse_strangers(device: Device, servers: Iterable[str]) -> None:
    """Raises Rejected (``no_server``) where one of these is no member, TargetError."""
    # By our text, and not by the configuration: going back days later that may name others.
    members = members_of(read_texts(device.host, device.home)[device.main] or "")
    strangers = [server for server in servers if server not in members]
    if strangers:
        words = "are no members" if len(strangers) > 1 else "is no member"
        raise Rejected(
            f"{', '.join(strangers)} {words} of our listener",
            where=device.home.file(device.main),
            state="nothing was changed",
            remedy="plan again; for a way back, put the server into lbsync's configuration and publish it again first",
            code="no_server",
        )


def cut_sessions(device: Device, server: str, wait_s: float) -> Receipt:
    """Wait for the connections to a drained member, then end those still there, and no others. Raises TargetError."""

    def busy() -> int:
        return sum(count for (name, _), count in device.connections().items() if name == server)

    if wait_for(lambda: busy() == 0, wait_s, every_s=0.5):
        return Receipt(summary=f"all connections to {server} ended by themselves", details={"cut": 0})
    left = busy()
    for member in device.spec.members:
        if member.name == server:
            for port in (member.http_port, member.https_port):
                for address in device.addresses(member.address):
                    _end(device, endpoint(address, port))
    if not wait_for(lambda: busy() == 0, _CUT_S):
        raise Rejected(
            f"{busy()} connections to {server} could not be cut",
            where=device.spec.name,
            state=f"{server} gets nothing new; what is left is still open",
            remedy="ss -K of iproute2 needs root and a kernel with INET_DIAG_DESTROY; or wait until they end by themselves",
            code="not_cut",
        )
    return Receipt(summary=f"cut {left} connections to {server}", details={"cut": left})


def _end(device: Device, place: str) -> None:
    """End every connection from NGINX's host to a member's port. Raises Rejected where the tool for it is missing."""
    try:
        device.host.run(["ss", "-K", "-H", "-n", "-t", "dst", place])
    except Rejected as error:
        raise Rejected(
            f"cannot cut the connections to {place}: {error.message}",
            where=device.spec.name,
            state="the server gets nothing new; what is left is still open",
            remedy="install iproute2 on NGINX's host, or wait until they end by themselves",
            code="not_cut",
        ) from error


def basis_of(args: Mapping[str, JsonValue]) -> Basis:
    """The ``foreign``, ``warnings`` and ``log`` arguments of an action."""
    foreign, warnings, log = args.get("foreign"), args.get("warnings"), args.get("log")
    words = frozenset(str(one) for one in warnings) if isinstance(warnings, list) else frozenset[str]()
    return Basis(foreign if isinstance(foreign, str) else None, words, log if isinstance(log, str) else None)


def services_of(value: JsonValue) -> tuple[Service, ...]:
    """The ``services`` argument of an action or a check. Raises ValueError for a service that is none."""
    return tuple(Service(str(one)) for one in value) if isinstance(value, list) else ()


def names_of(value: JsonValue) -> tuple[str, ...]:
    """The ``old`` or ``fresh`` argument of an action: servers' names."""
    return tuple(str(one) for one in value) if isinstance(value, list) else ()
