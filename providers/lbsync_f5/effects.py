"""Effects on a BIG-IP: one action, carried out once or more with the same result.

Rule of this room: an object once made is not changed where a new one will do; what must agree happens in one transaction; nothing
uploaded stays.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

from pydantic import JsonValue

from lbsync.errors import Rejected
from lbsync.kit.answers import seconds
from lbsync.kit.marker import other_run
from lbsync.kit.pem_files import open_bundle
from lbsync.kit.waiting import wait_for
from lbsync.model import Receipt
from lbsync.target import MaterialSource
from lbsync_certs import Bundle, Fingerprint
from lbsync_f5 import things
from lbsync_f5.device import Device
from lbsync_f5.files import chain_pem, key_pem, leaf_pem
from lbsync_f5.names import leaf_of
from lbsync_f5.session import Session, again
from lbsync_f5.traffic import all_members, connections_of, live_pools, members_of
from lbsync_f5.wire import PoolMember, chain_entry, fingerprint, served

ENABLED, DISABLED = "user-enabled", "user-disabled"
"""What ``session`` of a member is set to."""
IN_USE = frozenset({"01070083", "01070110", "01070265", "01071349"})
"""F5's errors for a monitor, a node, an object, and a file object, that something refers to."""


@contextmanager
def suppress_in_use() -> Generator[None]:
    """What somebody has put into something of theirs stays."""
    try:
        yield
    except Rejected as error:
        if error.code not in IN_USE:
            raise


def install_certificate(device: Device, leaf: Fingerprint, materials: MaterialSource) -> Receipt:
    """Key, chain and certificate as file objects, the certificate last: it stands for all.

    Raises CertificateError, TargetError.
    """
    path = device.names.certificate(leaf)
    with device.changing(save=False) as session:
        held = session.get(things.SSL_CERT, path)
        whole = held is not None and session.get(things.SSL_KEY, device.names.key(leaf)) is not None
        if held is not None and whole and fingerprint(held) in {None, leaf}:
            # By a run that was killed before it could remove them, perhaps.
            left = _remove_uploads(device, session, leaf)
            return Receipt(summary=f"the certificate is installed already{left}", details={"object": path})
        bundle = open_bundle(materials, leaf, path)
        made = _make_files(device, session, leaf, bundle)
        left = _told_missed(device.remove_uploads_elsewhere(session, _uploads(device, leaf)))
    return Receipt(summary=f"made {len(made)} file objects of key and certificate{left}", details={"objects": [*made]})


def _make_files(device: Device, session: Session, leaf: Fingerprint, bundle: Bundle) -> list[str]:
    files = {upload_name(device, leaf, "key"): (things.SSL_KEY, device.names.key(leaf), key_pem(bundle))}
    if bundle.chain:
        files[upload_name(device, leaf, "chain")] = (things.SSL_CERT, device.names.chain(leaf), chain_pem(bundle))
    files[upload_name(device, leaf, "crt")] = (things.SSL_CERT, device.names.certificate(leaf), leaf_pem(bundle))
    with session.uploads({name: data for name, (_, _, data) in files.items()}) as sources:
        for name, (collection, path, _) in files.items():
            put_file(session, collection, path, sources[name])
    return [path for _, path, _ in files.values()]


def put_file(session: Session, collection: str, path: str, source: str) -> None:
    """Make a file object; one that a killed run left half done is given its content again. Raises TargetError."""

    def put() -> None:
        try:
            session.create(collection, path, {"sourcePath": source})
        except Rejected as error:
            if error.code != "exists":
                raise
            session.modify(collection, path, {"sourcePath": source})

    again(put)


def upload_name(device: Device, leaf: str, kind: str) -> str:
    """The same each time, so that what a killed run left behind is found."""
    return f"lbsync_{device.spec.name}_{leaf[:16]}.{kind}"


def remove_certificate(device: Device, leaf: Fingerprint) -> Receipt:
    """Remove a leaf's objects together, and its uploads; one that is in use stays. Raises TargetError."""
    names = device.names
    path = names.certificate(leaf)
    with device.changing() as session:  # saved, or a reboot would bring the key back
        left = _remove_uploads(device, session, leaf)
        profile = session.get(things.CLIENT_SSL, names.client_ssl)
        if profile is not None and leaf_of(served(profile) or "") == leaf:
            return Receipt(summary=f"kept the certificate: it is served{left}", details={"object": path})
        there = [
            (collection, one)
            for collection, one in (
                (things.SSL_CERT, path), (things.SSL_CERT, names.chain(leaf)), (things.SSL_KEY, names.key(leaf)),
            )
            if session.get(collection, one) is not None
        ]  # fmt: skip

        def remove() -> None:
            for collection, one in there:
                session.delete(collection, one)

        try:
            if there:
                session.atomically(remove)
        except Rejected as error:
            if error.code not in IN_USE:
                raise
            return Receipt(summary=f"kept the certificate: {error.message}{left}", details={"object": path})
    return Receipt(summary=f"removed the certificate's objects{left}", details={"object": path})


def _remove_uploads(device: Device, session: Session, leaf: Fingerprint) -> str:
    """From every device of ``hosts``; what to say of those that were not reached."""
    session.remove_uploads(_uploads(device, leaf))
    return _told_missed(device.remove_uploads_elsewhere(session, _uploads(device, leaf)))


def _told_missed(hosts: Sequence[str]) -> str:
    return f"; {', '.join(hosts)} could not be asked for uploads that a run may have left" if hosts else ""


def _uploads(device: Device, leaf: Fingerprint) -> list[str]:
    return [upload_name(device, leaf, kind) for kind in ("key", "chain", "crt")]


def switch_certificate(device: Device, leaf: Fingerprint) -> Receipt:
    """Serve an installed certificate: one change of our client-ssl profile. Raises TargetError."""
    with device.changing() as session:
        entry = chain_of(device, session, leaf)
        session.modify(things.CLIENT_SSL, device.names.client_ssl, {"certKeyChain": entry})
    return Receipt(
        summary="new connections are given the certificate", details={"object": device.names.certificate(leaf)}
    )


def chain_of(device: Device, session: Session, leaf: Fingerprint) -> list[dict[str, str]]:
    """``certKeyChain`` for an installed leaf. Raises TargetError."""
    names = device.names
    chain = names.chain(leaf)
    has_chain = session.get(things.SSL_CERT, chain) is not None
    return chain_entry(names.certificate(leaf), names.key(leaf), chain if has_chain else None)


def member_state(device: Device, args: Mapping[str, JsonValue]) -> Receipt:
    """Drain a member or put it back; with ``cut_after_s`` then end what is still there. Raises TargetError."""
    server, cut_after_s = str(args["server"]), args.get("cut_after_s")
    receipt = server_state(device, server, str(args["state"]), settle=bool(args.get("settle")))
    return receipt if cut_after_s is None else cut_sessions(device, server, seconds(cut_after_s))


def server_state(device: Device, server: str, state: str, *, settle: bool = False) -> Receipt:
    """Drain a server in every pool of ours, or put it back, in one transaction; closed pools stay so.

    It is saved: under Extended Protection a server that a reboot put back would meet connections opened under another leaf. With
    ``settle`` it is put back into pools that no policy names only once their monitors have looked at it anew: connections that
    clients opened before a change of modes keep the policy of then, and must not meet a server that requires TLS by now.
    Raises Rejected for one that somebody forced offline, TargetError.
    """
    wanted = DISABLED if state == "drain" else ENABLED
    with device.changing() as session:
        there = members_of(session, device, server)
        refuse_forced(device, server, there)
        if not there and state == "drain":
            raise Rejected(
                f"{server} is in no pool of ours", where=device.spec.name, remedy="plan again", code="no_server"
            )
        changed = [(pool, member) for pool, member in there if member.held is not (state == "drain")]
        live = {pool for pool, _ in (live_pools(device, session).values() if settle else changed)}
        _set_sessions(session, [one for one in changed if one[0] in live], wanted)
        later = [one for one in changed if one[0] not in live]
        if later:
            _await_monitors(device, session, server, frozenset(pool for pool, _ in later))
            _set_sessions(session, later, wanted)
    return Receipt(
        summary=f"set {server} to {state} in {len(changed)} of {len(there)} pools",
        details={"server": server, "state": state, "pools": [pool for pool, _ in changed]},
    )


def refuse_forced(device: Device, server: str, there: Sequence[tuple[str, PoolMember]]) -> None:
    """Raises Rejected (``maintenance``) where somebody forced the server offline in one of these pools."""
    if any(member.state == "user-down" for _, member in there):
        raise Rejected(
            f"{server} is forced offline, by somebody else",
            where=device.spec.name,
            state="it was left so",
            remedy="enable it once that is over (Local Traffic, Pools, Members)",
            code="maintenance",
        )


def _set_sessions(session: Session, members: Sequence[tuple[str, PoolMember]], wanted: str) -> None:
    def change() -> None:
        for pool, member in members:
            session.modify_member(pool, member.name, {"session": wanted})

    if members:
        session.atomically(change)


def _await_monitors(device: Device, session: Session, server: str, which: frozenset[str]) -> None:
    """Until a server is down in these pools, or a monitor would have told."""

    def down() -> bool:
        return not any(member.up for pool, member in all_members(session, device, server) if pool in which)

    settings = device.settings
    wait_for(down, float(settings.monitor_timeout_s + settings.monitor_interval_s), every_s=0.5)


def cut_sessions(device: Device, server: str, wait_s: float) -> Receipt:
    """Wait for the connections to a drained server, then end those still there. Raises TargetError."""
    with device.changing(save=False) as session:

        def busy() -> int:
            return connections_of(session, device, server)

        if wait_for(lambda: busy() == 0, wait_s, every_s=0.5):
            return Receipt(summary=f"all connections to {server} ended by themselves", details={"cut": 0})
        left = busy()
        for address, port in {(member.address, member.port) for _, member in all_members(session, device, server)}:
            session.cut(address, port)
    return Receipt(summary=f"cut {left} connections to {server}", details={"cut": left})


def mark(device: Device, text: str) -> Receipt:
    """Leave the run marker: a data group that only one can make. Raises Rejected where another run's is there, TargetError."""
    path = device.names.marker
    with device.changing() as session:
        try:
            session.create(things.DATA_GROUP, path, {"type": "string", "records": [], "description": text})
        except Rejected as error:
            if error.code != "exists":
                raise
            there = read_marker(session, path)
            if there != text:
                raise other_run(path, there or "unknown") from None
            return Receipt(summary="the run marker is there already")
    return Receipt(summary="left the run marker", details={"object": path})


def unmark(device: Device, text: str) -> Receipt:
    """Remove the run marker if it is this one; another run's stays. Raises TargetError."""
    path = device.names.marker
    with device.changing() as session:
        there = read_marker(session, path)
        if there is not None and there != text:
            return Receipt(summary="kept another run's marker")
        session.delete(things.DATA_GROUP, path)
    return Receipt(summary="removed the run marker", details={"object": path})


def read_marker(session: Session, path: str) -> str | None:
    """The marker that is there. Raises TargetError."""
    found = session.get(things.DATA_GROUP, path)
    return None if found is None else str(found.get("description", "")) or "unknown"
