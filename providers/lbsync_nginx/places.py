"""Where our listeners are by our own files: while the settings say something else, that is where they still are.

Rule of this room: pure. What reads here is what ``render_http`` and ``render_stream`` write.
"""

from __future__ import annotations

import re

from lbsync_nginx.layout import Files
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import state_of

_LINES = r"(?:    (?!listen )[^\n]*\n)*?"
_STATUS = re.compile(rf"^    listen 127\.0\.0\.1:(\d+);\n{_LINES}    return (?:200 )?'lbsync \$pid ", re.MULTILINE)
_FORK = re.compile(r"^    listen (\S+):(\d+);\n    ssl_preread on;$", re.MULTILINE)
_TLS = re.compile(r"^    listen (\S+):(\d+) ssl;$", re.MULTILINE)


def placed_by(files: Files, settings: NginxSettings) -> NginxSettings:
    """The settings with the addresses and ports of these files; the same where they agree, or hold no listener of ours."""
    text = next((text for text in files.values() if text and state_of(text)), "")
    status, listener = _STATUS.search(text), _FORK.search(text) or _TLS.search(text)
    if status is None or listener is None:
        return settings
    found = {
        "status_port": int(status[1]),
        "bind_address": listener[1].strip("[]"),
        "https_port": int(listener[2]),
    }
    if found.items() <= settings.model_dump(include=set(found)).items():
        return settings
    return settings.model_copy(update=found)
