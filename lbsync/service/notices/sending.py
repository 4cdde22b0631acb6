"""One notice to one address, in a process of its own: apprise loads a hundred services (20 MB), and may hang.

Rule of this file: the address goes to the child by its stdin, never as an argument; nothing comes back but words chosen by the
child from a closed list.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from pydantic import SecretStr

from lbsync.service.notices.texts import Text
from lbsync.watch.items import Level

Sender = Callable[[SecretStr, Text, Level], str]
"""Sends; returns why it failed, in words without a secret, or an empty text."""

TIMEOUT_S: Final = 45.0
_LONGEST: Final = 200


def send(url: SecretStr, text: Text, level: Level) -> str:
    """Send; returns why it failed, without a secret, or an empty text. Takes ``TIMEOUT_S`` seconds at most."""
    asked = {"url": url.get_secret_value(), "title": text.title, "body": text.body, "level": level.value}
    try:
        ended = subprocess.run(  # fixed arguments, no shell
            [sys.executable, "-P", "-m", "lbsync.service.notices.carrier"],
            input=json.dumps(asked).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where apprise would name the address
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT_S:.0f} s"
    except OSError as error:
        return f"no process could be started: {error.strerror}"
    if ended.returncode:
        return f"the process that sends ended with {ended.returncode}"
    return ended.stdout.decode(errors="replace").strip()[:_LONGEST]
