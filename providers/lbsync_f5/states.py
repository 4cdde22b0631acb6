"""What an action governs on the device, as it is now: what the way back compares.

Rule of this room: reads only; health and connections are no part of it.
"""

from __future__ import annotations

from pydantic import JsonValue

from lbsync.model import Action, State
from lbsync.services import Service
from lbsync_certs import Fingerprint
from lbsync_f5 import things
from lbsync_f5.device import Device
from lbsync_f5.effects import read_marker
from lbsync_f5.judge import live_modes, own_things, served_leaf
from lbsync_f5.names import leaf_of
from lbsync_f5.project import policy_names, profile_names
from lbsync_f5.session import Session
from lbsync_f5.sides import names_in
from lbsync_f5.traffic import members_of, modes_now
from lbsync_f5.wire import served


def state_of(device: Device, action: Action) -> State:
    """The part of the device that ``action`` governs. Raises TargetError, ValueError for an action that is none of ours."""
    args, names = action.args, device.names
    if action.verb == "publish":
        return _published(device)
    with device.reading() as session:
        match action.verb:
            case "install-certificate" | "remove-certificate":
                path = names.certificate(Fingerprint(str(args["leaf"])))
                state: State = {"installed": session.get(things.SSL_CERT, path) is not None}
            case "switch-certificate":
                state = {"leaf": _leaf(device, session)}
            case "switch-sides":
                both = sorted({*names_in(args, "old"), *names_in(args, "fresh")})
                state = {"leaf": _leaf(device, session), "states": {one: _states(device, session, one) for one in both}}
            case "switch-modes":
                listed = args["services"]
                wanted = [Service(str(one)) for one in listed] if isinstance(listed, list) else []
                modes = modes_now(device, session)
                state = {service.value: modes[service].value for service in wanted if service in modes}
            case "server-state" | "cut-sessions":
                state = {"states": _states(device, session, str(args["server"]))}
            case "mark" | "unmark":
                state = {"marker": read_marker(session, names.marker)}
            case other:
                raise ValueError(f"no such action: {other}")
    return state


def _leaf(device: Device, session: Session) -> str | None:
    profile = session.get(things.CLIENT_SSL, device.names.client_ssl)
    return leaf_of(served(profile) or "") if profile is not None else None


def _states(device: Device, session: Session, server: str) -> list[JsonValue]:
    return [*sorted({"drain" if one.draining else "ready" for _, one in members_of(session, device, server)})]


def _published(device: Device) -> State:
    seen, names = device.see(), device.names
    attached = seen.attached(device.settings)
    marks: dict[str, JsonValue] = {
        thing.path: f"{thing.body['description']} {thing.digest}" for thing in own_things(seen, names)
    }
    modes = live_modes(seen, device.settings, names)
    return {
        "objects": marks,
        "leaf": served_leaf(seen, names),
        "modes": {service.value: mode.value for service, mode in modes.items()},
        "attached": None
        if attached is None
        else {
            "profiles": profile_names(attached),
            # Ours are told by the modes: another version of lbsync may call the same ones otherwise.
            "policies": [one for one in policy_names(attached) if not one.startswith(names.policy(""))],
        },
    }
