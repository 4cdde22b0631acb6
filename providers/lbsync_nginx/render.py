"""The text of our configuration: from the farm, the settings and NGINX's version to the files we own.

Rule of this room: pure, and nothing from outside becomes a directive: names and addresses are checked word by word. What both
ways of proxying share stands here; ``render_http`` and ``render_stream`` know one each.
"""

from __future__ import annotations

import hashlib
import json
import re

from lbsync.errors import ConfigError
from lbsync.kit.seal import body_of, seal
from lbsync.model import Mode
from lbsync.target import BalancerSpec
from lbsync_nginx.layout import CA, HTTP, STREAM, TEXT_FILES, Files, Layout, main_file
from lbsync_nginx.render_http import http_body, redirect_body
from lbsync_nginx.render_stream import stream_body
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import NO_LEAF, NginxState, state_of, stateless, with_state
from lbsync_nginx.version import Version

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
_ADDRESS = re.compile(r"[0-9A-Fa-f.:]+\Z")


def render(
    spec: BalancerSpec, settings: NginxSettings, version: Version, state: NginxState | None = None
) -> dict[str, str | None]:
    """Every text file by name, sealed, in ``state`` (its structure aside); ``None`` for a file that is not needed.

    Without a state: every service bridged, no leaf, nobody taken out. Raises ConfigError for a name that cannot stand in a
    configuration.
    """
    refuse_bad_names(spec)
    at = Layout.of(settings)
    bodies: dict[str, str | None] = {CA: spec.server_ca_pem.strip() + "\n", STREAM: None, HTTP: None}
    if settings.proxy == "http":
        bodies[HTTP] = http_body(spec, settings, version, at)
    else:
        bodies[STREAM] = stream_body(spec, settings, at)
        bodies[HTTP] = redirect_body(spec, settings) if settings.http_port else None
    leaf = NO_LEAF if settings.certificate_form == "static" else None
    start = NginxState(structure="", leaf=leaf, modes=dict.fromkeys(spec.services, Mode.BRIDGE))
    main = main_file(settings)
    bodies[main] = with_state(bodies[main] or "", start)
    start = start.model_copy(update={"structure": structure_of(bodies) or ""})
    if state is not None:
        modes = {service: state.modes.get(service, Mode.BRIDGE) for service in start.modes}
        start = start.model_copy(update={"modes": modes, "down": state.down})
        by_link = leaf is None
        start = start.model_copy(update={"link": state.link} if by_link else {"leaf": state.leaf or NO_LEAF})
    bodies[main] = with_state(bodies[main] or "", start)
    return {name: None if body is None else seal(body) for name, body in bodies.items()}


def moved(files: Files, main: str, state: NginxState) -> dict[str, str | None]:
    """The same files in another state."""
    text = files.get(main)
    return {**files, main: None if text is None else seal(with_state(body_of(text), state))}


def structure_of(files: Files) -> str | None:
    """Digest of our files without their state; ``None`` where there is no listener among them."""
    plain: dict[str, str | None] = {}
    listener = False
    for name in TEXT_FILES:
        text = files.get(name)
        body = None if text is None else body_of(text)
        state = state_of(body)
        if body is not None and state is not None:
            listener = True
            body = with_state(body, stateless(state))
        plain[name] = body
    if not listener or plain[CA] is None:
        return None
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def refuse_bad_names(spec: BalancerSpec) -> None:
    """Raises ConfigError for a name or an address that could become a directive."""
    words: list[tuple[str, str, re.Pattern[str]]] = [("publish.hosts", host, _HOST) for host in spec.hosts]
    for member in spec.members:
        words.append(("servers.name", member.name, _WORD))
        words.append(("servers.tls_name", member.tls_name, _HOST))
        words.append(("servers.address", member.address, _ADDRESS if ":" in member.address else _HOST))
    for key, word, pattern in words:
        if not pattern.match(word):
            raise ConfigError(
                f"{word!r} cannot stand in an NGINX configuration",
                where=f"{spec.name}: {key}",
                remedy="use letters, digits, dots and hyphens only",
            )
