"""What changes without the structure changing: the leaf served, the mode of each service, the members taken out.

Rule of this room: pure. NGINX takes all of it from one text, so a change of state is a change of that text, made here line by
line: whoever renders and whoever changes agree by the comment at a line's end. The text of before comes back byte for byte
when the state does, whatever the configuration of lbsync says by then.

The state stands in the text once more as JSON, in the answer of the status listener: so the running workers tell which state
they run, and a reload that silently failed is seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field, ValidationError

from lbsync.model import Mode, Value
from lbsync.services import Service
from lbsync_certs import Fingerprint

PLAIN, TLS = "lbsync_plain", "lbsync_tls"
"""The two upstreams of the members: port 80, and port 443 over verified TLS."""
SAYS = "lbsync $pid "
"""What the status listener says before the JSON; the worker puts its process id in."""

_STATUS = re.compile(r"(?P<before>return (?:200 )?'lbsync \$pid )(?P<json>\{[^'\n]*\})(?P<after>\\n';)")
_MEMBER = re.compile(r"^( *server [^ ;]+)(?: down)?; # member ([^ \n]+)$", re.MULTILINE)
_ROUTE = re.compile(rf"(?:http://{PLAIN}|https://{TLS}); # mode ([a-z_]+)$", re.MULTILINE)
_PASS = re.compile(rf"proxy_pass (?:{PLAIN}|{TLS}); # listener$", re.MULTILINE)
_SSL = re.compile(r"proxy_ssl (?:on|off); # listener$", re.MULTILINE)
_LEAF = re.compile(r"/[0-9a-f]{64}\.pem; # leaf$", re.MULTILINE)
_LINK = re.compile(r"/live2?\.pem; # link$", re.MULTILINE)
_ANSWER = re.compile(r"lbsync (\d+) (\{[^\n]*\})")

NO_LEAF = Fingerprint("0" * 64)

LinkName = Literal["live", "live2"]
LINKS: tuple[LinkName, ...] = ("live", "live2")
"""With certificates by variable: the links that name the one served. The workers read one of them, by their configuration; the
other is there so that workers to come may serve another leaf while those of now do not (``sides``)."""

Links = Mapping[LinkName, Fingerprint | None]
"""The leaf each link leads to; ``None``: it is absent."""


class NginxState(Value):
    """One state. ``leaf`` is ``None`` where certificates come by variable: no text names them then."""

    structure: str
    leaf: Fingerprint | None = None
    modes: dict[Service, Mode] = Field(default_factory=dict)
    down: tuple[str, ...] = ()
    """Members that get nothing new, sorted."""
    link: LinkName = "live"
    """The link that the workers read where certificates come by variable."""

    @property
    def json_text(self) -> str:
        """One line without a quote that NGINX or JSON would mind; equal states give equal texts."""
        data = self.model_dump(mode="json", exclude={"link"} if self.link == LINKS[0] else None)
        data["modes"] = {service.value: data["modes"][service.value] for service in Service if service in self.modes}
        return json.dumps(data, separators=(",", ":"))

    def with_down(self, server: str, *, down: bool) -> NginxState:
        """The same with one member taken out or put back."""
        return self.moving(out=(server,) if down else (), back=(server,))

    def moving(self, out: Iterable[str], back: Iterable[str]) -> NginxState:
        """The same with some members taken out and others put back; one that is in both is out."""
        return self.model_copy(update={"down": tuple(sorted(set(self.down) - set(back) | set(out)))})

    def with_modes(self, modes: Mapping[Service, Mode]) -> NginxState:
        """The same with some services in other modes."""
        return self.model_copy(update={"modes": {**self.modes, **modes}})


def state_of(text: str | None) -> NginxState | None:
    """The state a text of ours is in; ``None`` for any other text."""
    found = _STATUS.search(text or "")
    return _parsed(found["json"]) if found else None


def with_state(text: str, state: NginxState) -> str:
    """The same text in another state. Lines without a mark stay as they are."""
    offloaded = {service.value for service, mode in state.modes.items() if mode is Mode.OFFLOAD}

    def route(found: re.Match[str]) -> str:
        return f"{f'http://{PLAIN}' if found[1] in offloaded else f'https://{TLS}'}; # mode {found[1]}"

    def member(found: re.Match[str]) -> str:
        return f"{found[1]}{' down' if found[2] in state.down else ''}; # member {found[2]}"

    text = _ROUTE.sub(route, text)
    text = _MEMBER.sub(member, text)
    text = _PASS.sub(f"proxy_pass {PLAIN if offloaded else TLS}; # listener", text)
    text = _SSL.sub(f"proxy_ssl {'off' if offloaded else 'on'}; # listener", text)
    if state.leaf is not None:
        text = _LEAF.sub(f"/{state.leaf}.pem; # leaf", text)
    text = _LINK.sub(f"/{state.link}.pem; # link", text)
    return _STATUS.sub(lambda found: f"{found['before']}{state.json_text}{found['after']}", text)


def stateless(state: NginxState) -> NginxState:
    """The one state in which two texts of the same structure are equal."""
    leaf = None if state.leaf is None else NO_LEAF
    return NginxState(structure="", leaf=leaf, modes=dict.fromkeys(state.modes, Mode.BRIDGE))


def served_by(state: NginxState, links: Links) -> Fingerprint | None:
    """The leaf that workers in this state serve; ``None`` where the link they read leads nowhere."""
    return links.get(state.link) if state.leaf is None else state.leaf


def answer_of(text: str) -> tuple[int, NginxState] | None:
    """The worker's process id and its state, from what the status listener said; ``None`` for anything else."""
    found = _ANSWER.search(text)
    state = _parsed(found[2]) if found else None
    return (int(found[1]), state) if found and state is not None else None


def members_of(text: str) -> tuple[str, ...]:
    """Names of the members in a text, each once, in order."""
    return tuple(dict.fromkeys(found[2] for found in _MEMBER.finditer(text)))


def _parsed(text: str) -> NginxState | None:
    try:
        return NginxState.model_validate_json(text)
    except ValidationError:
        return None
