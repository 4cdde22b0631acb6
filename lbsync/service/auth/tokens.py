"""The generated token: who can read the state folder of a service on loopback may use it.

Rule of this file: the token is made once, lies in one file for its owner only, and is printed once, in the fragment of a URL,
which no browser sends to a server or writes into a Referer.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from lbsync.errors import ConfigError
from lbsync.private import open_to

FILE: Final = "serve.token"
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def generated(folder: Path) -> tuple[SecretStr, bool]:
    """The token in this state folder, and whether it was made just now. Raises ConfigError."""
    path = folder / FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = secrets.token_urlsafe(32)
        try:
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
                file.write(token + "\n")
        except FileExistsError:
            return SecretStr(_read(path)), False
    except OSError as error:
        raise ConfigError(f"the token cannot be kept: {error.strerror}", where=str(path)) from None
    return SecretStr(token), True


def _read(path: Path) -> str:
    with path.open("rb") as file:
        open_bits = open_to(os.fstat(file.fileno()), 0o077)
        text = file.read(200).decode("ascii", "replace").strip()
    if open_bits or not _SHAPE.fullmatch(text):
        raise ConfigError(
            "others may have read the token, or it is not whole",
            where=str(path),
            state="nothing is served",
            remedy=f"remove {path}; a new one is made at the next start",
        )
    return text


def same(sent: str, token: SecretStr | None) -> bool:
    """Whether this is the token; in constant time, false where there is none."""
    return token is not None and hmac.compare_digest(sent.encode(), token.get_secret_value().encode())
