"""Write our files, have NGINX test and load them, prove it, and put back what was there when any of it fails.

Rule of this room: nothing of ours is overwritten that somebody edited; NGINX is not reloaded where somebody changed its other
files since the plan was made, since a reload would make their half-done work live; whatever fails, files and workers end as
they were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lbsync.errors import Denied, Rejected, TargetError, Unreachable
from lbsync.kit.host import NOT_ENDED
from lbsync.kit.pem_files import held_pem
from lbsync.kit.seal import refuse_edited
from lbsync.model import Receipt
from lbsync_certs import Fingerprint
from lbsync_nginx.content import Content, place, unlink
from lbsync_nginx.device import Device
from lbsync_nginx.disk import read_links, read_texts
from lbsync_nginx.dump import tree_of
from lbsync_nginx.errorlog import log_path
from lbsync_nginx.layout import HTTP, STREAM, TEXT_FILES, Files
from lbsync_nginx.live import Proof, quietly_back, reload_and_prove, serves
from lbsync_nginx.process import NOT_RUNNING, master_of, workers_of
from lbsync_nginx.reloading import RELOAD_FAILED
from lbsync_nginx.render import moved
from lbsync_nginx.state import LINKS, NO_LEAF, Links, NginxState, served_by, state_of
from lbsync_nginx.tested import Tested, parse_test, read_test, refuse_untested, test_command
from lbsync_nginx.tidy import half_written, remove, tidy
from lbsync_nginx.unloaded import not_loaded


@dataclass(frozen=True, slots=True)
class Basis:
    """What a plan was made from.

    ``foreign`` is the digest of the administrator's files (``None``: going back, whatever they are by now), ``warnings`` what
    NGINX warned of already.
    """

    foreign: str | None
    warnings: frozenset[str] = frozenset()
    log: str | None = None
    """Where this NGINX logs unless its configuration says otherwise."""


def write_files(device: Device, files: Files, link: Fingerprint | None, basis: Basis) -> Receipt:
    """Bring our files to these, and NGINX to running them; their link shall lead to ``link`` (``None``: there is none).

    Raises TargetError; unless it says otherwise everything is then as it was.
    """
    state = _state_in(device, files)
    links: Links = dict.fromkeys(LINKS) if link is None else {state.link if state else LINKS[0]: link}
    wanted = Content(files, links)
    proof = proof_of(device, wanted)
    before = Content(_ready(device, proof.leaf), read_links(device.host, device.home))
    if before.has(wanted) and _shows(device, proof):
        return Receipt(summary="NGINX runs these files already")
    _replace(device, before, wanted, basis)
    verb = "wrote the files, NGINX runs them" if proof.state else "removed the files, NGINX runs without them"
    return Receipt(
        summary=verb, details={"structure": proof.state.structure if proof.state else None, "leaf": proof.leaf}
    )


def change_state(
    device: Device,
    change: Callable[[NginxState], NginxState],
    basis: Basis,
    done: str,
    *,
    leaf: Fingerprint | None = None,
    only_leaf: bool = False,
) -> Receipt:
    """Change the state of the files that are there and load them; ``done`` is what the receipt says.

    ``leaf`` is an installed certificate to be served; ``only_leaf``: nothing else changes. Where certificates come by variable
    it is the link of the changed state that will lead to it. Raises as ``write_files``, and Rejected (``not_published``) where
    there is nothing of ours.
    """
    files = _ready(device, leaf)
    now = state_of(files[device.main])
    if now is None:
        raise Rejected(
            "our listener is not on the disk",
            where=device.home.file(device.main),
            state="nothing was changed",
            remedy="plan again: a publish is due",
            code="not_published",
        )
    state = change(now)
    links = read_links(device.host, device.home) if now.leaf is None else {}
    aim: Links = {state.link: leaf or links.get(now.link)} if state.leaf is None else {}
    before, wanted = Content(files, links), Content(moved(files, device.main, state), aim)
    if before.has(wanted) and _shows(device, proof_of(device, wanted)):
        return Receipt(summary="it is so already", details={"state": state.model_dump(mode="json")})
    _replace(device, before, wanted, basis, only_leaf=only_leaf)
    return Receipt(summary=done, details={"state": state.model_dump(mode="json")})


def _ready(device: Device, leaf: Fingerprint | None) -> dict[str, str | None]:
    """Our files as they are, in one look, fit to be replaced, with the certificate that shall be served in its place.

    What a killed run left half-written is seen in the same look, and removed. Raises Rejected (``edited``, ``not_installed``),
    TargetError.
    """
    if device.settings.certificate_form == "variable":
        tidy(device.host, device.home)  # a look at a link half made would follow it
    paths, half = [device.home.file(name) for name in TEXT_FILES], half_written(device.home)
    certificate = () if leaf is None else (device.home.certificate(leaf),)
    found = device.host.read_files([*paths, *half, *certificate])
    if left := [path for path, data in zip(half, found[len(paths) :], strict=False) if data is not None]:
        remove(device.host, left)
    files = {
        name: None if data is None else data.decode(errors="replace")
        for name, data in zip(TEXT_FILES, found, strict=False)
    }
    refuse_edited(dict(zip(paths, files.values(), strict=True)))
    if leaf is not None:
        held_pem(found[-1], device.home.certificate(leaf), leaf)
    return files


def proof_of(device: Device, content: Content) -> Proof:
    """What NGINX must show when it runs some files."""
    state = _state_in(device, content.files)
    if state is None:
        return Proof(None, None)
    leaf = served_by(state, content.links)
    return Proof(state, None if leaf == NO_LEAF else leaf)


def _state_in(device: Device, files: Files) -> NginxState | None:
    """The state of some files: of the one that carries the listener, or of the other while the setting and the disk differ."""
    return state_of(files.get(device.main)) or next(filter(None, map(state_of, files.values())), None)


def _shows(device: Device, proof: Proof) -> bool:
    running = device.running()
    if (running.state if running else None) != proof.state:
        return False
    return proof.leaf is None or not serves(device, proof.leaf)


def _replace(device: Device, before: Content, wanted: Content, basis: Basis, *, only_leaf: bool = False) -> None:
    """From one content to the other, or back. Raises TargetError."""
    was = proof_of(device, before)
    log: str | None = None
    reloaded = False
    try:
        tested = _place_and_test(device, before, wanted)
        _judge(device, tested, wanted, basis)
        log = _log_of(tested, basis.log)
        reloaded = True
        reload_and_prove(device, log, replace(proof_of(device, wanted), only_leaf=only_leaf))
        unlink(device, before, wanted)
    except TargetError as error:
        if isinstance(error, Unreachable) and error.code not in {NOT_RUNNING, NOT_ENDED}:
            raise  # the host is out of reach: nothing can be put back now, and trying again carries on from here
        _put_back(device, before, wanted, error)
        if reloaded and (left := _back_again(device.as_on_disk(), log, was, error)):
            raise Rejected(
                f"{error.message}; the files were put back, but {left}",
                where=error.where,
                state="the files are as they were; NGINX may still run the others",
                remedy="see NGINX's error log, correct what it names, and reload NGINX",
                code="half_live",
            ) from error
        unlink(device, wanted, before)
        runs = "" if error.code == NOT_RUNNING else ", and NGINX runs them"
        kind = Denied if isinstance(error, Denied) else Rejected
        raise kind(
            error.message,
            where=error.where,
            state=f"the files are as they were{runs}",
            remedy=error.remedy,
            code=error.code,
        ) from error


def _refuse_unloaded(device: Device, tested: Tested) -> None:
    """Going back reloads as well: it waits for whoever is in the middle of a change. Raises Rejected (``foreign_config``)."""
    master = master_of(device.host, device.settings)
    workers = workers_of(device.host, master) if master is not None else None
    try:
        includes = tree_of(tested.dump)[1]
    except ValueError:
        includes = ()
    changed = not_loaded(device.host, device.home, tested.dump, includes, workers)
    if changed:
        raise Rejected(
            f"{', '.join(changed)} changed after NGINX was loaded: a reload of lbsync's would put that change live",
            where=device.settings.config_file,
            remedy="finish that change or put it back, reload NGINX (nginx -t, systemctl reload nginx), then `lbsync rollback` "
            "again",
            code="foreign_config",
        )


def _back_again(device: Device, log: str | None, was: Proof, error: TargetError) -> str:
    """Have NGINX run what it ran before; empty when it does. A reload that failed has changed nothing, so none is needed.

    Nor where NGINX does not run: whoever starts it loads what is there.
    """
    if error.code == NOT_RUNNING or (error.code == RELOAD_FAILED and _shows(device, was)):
        return ""
    return quietly_back(device, log, was)


def _place_and_test(device: Device, before: Content, wanted: Content) -> Tested:
    """Put everything in its place and have NGINX test it; a single file and its test in one go."""
    names = [name for name in TEXT_FILES if wanted.files.get(name) != before.files.get(name)]
    text = wanted.files.get(names[0]) if len(names) == 1 else None
    if text is None or not before.links_as(wanted):
        place(device, before, wanted)
        return read_test(device.host, device.settings)
    owner, group = device.settings.owner, device.settings.group
    path, command = device.home.file(names[0]), test_command(device.settings)
    done = device.host.write_and_run(path, text.encode(), command, mode=None, owner=owner, group=group)
    return parse_test(done, device.settings)


def _judge(device: Device, tested: Tested, wanted: Content, basis: Basis) -> None:
    """Raises Rejected where what NGINX would load must not be loaded."""
    known = basis.warnings if basis.foreign is not None else frozenset(tested.warnings)  # of going back: others' by now
    refuse_untested(tested, device.home, known)
    ours = {name: device.home.file(name) for name in TEXT_FILES}
    if basis.foreign is None:
        _refuse_unloaded(device, tested)
    if basis.foreign is not None and tested.dump.digest(ours.values()) != basis.foreign:
        raise Rejected(
            "somebody changed NGINX's other files since the plan was made: a reload would put that change live",
            where=device.settings.config_file,
            remedy="let them finish and reload NGINX, then plan again",
            code="foreign_config",
        )
    for name in (STREAM, HTTP):
        if wanted.files.get(name) is not None and ours[name] not in tested.dump.files:
            raise Rejected(
                f"NGINX does not load {ours[name]}",
                where=device.settings.config_file,
                remedy="add the include that `lbsync check` names, then plan again",
                code="not_loaded",
            )


def _log_of(tested: Tested, default: str | None) -> str | None:
    try:
        return log_path(tree_of(tested.dump)[0], default)
    except ValueError:
        return default


def _put_back(device: Device, before: Content, wanted: Content, cause: TargetError) -> None:
    """Restore the files after a failure, whatever was placed of ``wanted``."""
    try:
        links = before.links if before.links_as(wanted) else read_links(device.host, device.home)
        place(device, Content(read_texts(device.host, device.home), links), before)
    except TargetError as error:
        raise Rejected(
            f"{cause.message}; and putting the files back failed: {error.message}",
            where=device.home.directory,
            state="our files are partly written; NGINX runs on with what it had loaded",
            remedy="run `lbsync rollback`, or restore the files named in the run's report by hand and reload NGINX",
            code="half_written",
        ) from error
