"""Secrets known to this process, so that none of them reaches a log, a ledger or a screen.

Rule of this file: it keeps values in memory only, names them by their reference, and errs on the side of hiding.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Final
from urllib.parse import quote

from pydantic import SecretStr

_PEM: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_SHORTEST: Final = 4
"""Shorter values would hide half of every text; who has such a password has another problem."""

HIDDEN: Final = "[hidden]"


class Redactor:
    """Hides what it was told to remember, in every spelling a log is likely to carry, and PEM private keys always."""

    def __init__(self) -> None:
        self._spellings: dict[str, str] = {}

    def remember(self, reference: str, secret: SecretStr) -> SecretStr:
        """Hide this value from now on; returns it, so that it reads well where a secret is resolved."""
        value = secret.get_secret_value()
        if len(value) >= _SHORTEST:
            raw = value.encode()
            escaped = json.dumps(value)[1:-1]
            for spelling in (value, escaped, quote(value, safe=""), base64.b64encode(raw).decode(), raw.hex()):
                self._spellings[spelling] = reference
        return secret

    def clean(self, text: str) -> str:
        """The text with every known secret hidden."""
        for spelling in sorted(self._spellings, key=len, reverse=True):
            text = text.replace(spelling, HIDDEN)
        return _PEM.sub(HIDDEN, text)

    def found_in(self, text: str) -> str | None:
        """The reference of a secret that the text holds, or ``None``: for those that must refuse, not hide."""
        return next((f"the secret {name}" for spelling, name in self._spellings.items() if spelling in text), None)
