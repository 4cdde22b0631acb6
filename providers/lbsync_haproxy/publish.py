"""Write our files, have HAProxy try and load them, and put back what was there when it will not.

Rule of this room: nothing of ours is overwritten that somebody edited; a configuration is tried in full before it is put in
place; whatever fails, the files end as they were.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from lbsync.errors import Rejected, TargetError
from lbsync.kit.pem_files import leaf_of, pem_name
from lbsync.kit.seal import body_of, refuse_edited
from lbsync.model import Receipt
from lbsync_certs import Fingerprint
from lbsync_haproxy import layout
from lbsync_haproxy.device import Device
from lbsync_haproxy.disk import installed_pem, read_text
from lbsync_haproxy.pools import parse_map_body
from lbsync_haproxy.render import staged
from lbsync_haproxy.states import NEUTRAL
from lbsync_haproxy.tidy import clear_trial, tidy

Files = Mapping[str, str | None]


def write_files(device: Device, files: Files, live: Fingerprint | None, structure: str | None) -> Receipt:
    """Bring the directory to ``files`` (``None``: absent) and the live link to ``live``, and HAProxy to running them.

    ``structure`` is the digest HAProxy then reports, ``None`` when nothing of ours shall run. Raises TargetError; unless it
    says otherwise everything is then as it was.
    """
    tidy(device)
    before = {name: read_text(device.host, device.home, name) for name in layout.TEXT_FILES}
    before_states = read_text(device.host, device.home, layout.STATES)
    before_live = leaf_of(device.host.read_link(device.home.live))
    refuse_edited({device.home.file(name): text for name, text in before.items()})
    thumbprint = installed_pem(device.host, device.home, live)[1] if live is not None else None
    if before == dict(files) and before_live == live and _runs_all(device, files, thumbprint, structure):
        return Receipt(summary="HAProxy runs these files already")
    warnings = _try(device, files, live)
    try:
        _place(device, files, live)
    except TargetError as error:
        _put_back(device, before, before_live, before_states, error)
        raise
    try:
        device.reload()
    except TargetError as error:
        _put_back(device, before, before_live, before_states, error)
        if error.code != "reload_failed":
            device.reload()
        raise
    if not _runs(device, structure):
        _put_back(device, before, before_live, before_states, None)
        device.reload()
        raise Rejected(
            "HAProxy was reloaded but does not run our files",
            where=device.home.directory,
            state="the files are as they were",
            remedy=f"check that HAProxy loads {device.home.directory} (-f), and that no later file overrides it",
            code="not_loaded",
        )
    written: dict[str, JsonValue] = {name: "written" if files[name] is not None else "removed" for name in files}
    return Receipt(
        summary="wrote the files, HAProxy runs them" if structure else "removed the files, HAProxy runs without them",
        details={"files": written, "live": live, "structure": structure, "warnings": list(warnings)},
    )


def _runs(device: Device, structure: str | None) -> bool:
    running = device.look()
    return running.structure == structure if structure else not running.loaded


def _runs_all(device: Device, files: Files, thumbprint: str | None, structure: str | None) -> bool:
    """Modes and certificate in memory, too, as the files have them."""
    running = device.look()
    if structure is None:
        return not running.loaded
    entries = parse_map_body(body_of(files[layout.MAP] or ""))
    return (running.structure, running.thumbprint, running.map) == (structure, thumbprint, entries)


def _try(device: Device, files: Files, live: Fingerprint | None) -> tuple[str, ...]:
    """``haproxy -c`` on a copy; nothing to try where nothing of ours shall run."""
    whole = {name: text for name, text in files.items() if text is not None}
    if set(whole) != set(layout.TEXT_FILES) or live is None:
        return ()
    place = device.home.staging
    try:
        device.host.make_directory(place, mode=0o700)
        for name, text in staged(whole, device.settings, device.home.certificate(live)).items():
            device.host.write_file(f"{place}/{name}", text.encode(), mode=0o600, durable=False)
        device.host.write_file(f"{place}/{layout.STATES}", NEUTRAL.encode(), mode=0o600, durable=False)
        return device.check_configuration(place)
    finally:
        clear_trial(device)


def _place(device: Device, files: Files, live: Fingerprint | None) -> None:
    """In an order that lets HAProxy start at every moment: what the configuration refers to comes first and goes last."""
    present = [name for name in layout.TEXT_FILES if files[name] is not None]
    if live is not None:
        device.host.symlink(pem_name(live), device.home.live)
    reads_states = device.home.states in (files[layout.CFG] or "")  # one that an older lbsync wrote does not
    if reads_states and device.host.stat(device.home.states) is None:
        device.write_state_text(NEUTRAL)
    for name in present:
        device.host.write_file(
            device.home.file(name),
            (files[name] or "").encode(),
            owner=device.settings.owner,
            group=device.settings.group,
        )
    for name in reversed(layout.TEXT_FILES):
        if name not in present:
            device.host.remove(device.home.file(name))
    if not reads_states:
        device.write_state_text(None)
    if live is None:
        device.host.remove(device.home.live)


def _put_back(
    device: Device, before: Files, live: Fingerprint | None, states: str | None, cause: TargetError | None
) -> None:
    """Restore the files after a failure; the caller reloads where HAProxy took the new ones."""
    try:
        _place(device, before, live)
        device.write_state_text(states)
    except TargetError as error:
        raise Rejected(
            f"{cause.message if cause else 'HAProxy does not run our files'}; and putting the files back failed: {error.message}",
            where=device.home.directory,
            state="our files are partly written; HAProxy serves on with what it had loaded",
            remedy="run `lbsync rollback`, or restore the files named in the run's report by hand and reload HAProxy",
            code="half_written",
        ) from error
