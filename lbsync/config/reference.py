"""How a secret is named in the configuration: by reference, never by value.

Rule of this room: it knows the spelling of a reference, not what stands behind it (``lbsync.secrets`` does), and it never
repeats what was written where a reference should have been.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

SCHEMES = ("env", "file", "keyring", "vault")

HOW = 'write "env:NAME", "file:PATH", "keyring:SERVICE/USER" or "vault:PATH#FIELD"'


def _spelled(text: str) -> str:
    scheme, _, rest = text.partition(":")
    good = scheme in SCHEMES and bool(rest)
    if good and scheme == "keyring":
        service, _, user = rest.rpartition("/")
        good = bool(service and user)
    if good and scheme == "vault":
        path, _, field = rest.rpartition("#")
        good = bool(path and field)
    if not good:
        raise PydanticCustomError(
            "secret_reference",
            "must be a reference to the secret, not the secret itself",
            {"remedy": f"{HOW}. If this was the secret, it has stood in a file: change it."},
        )
    return text


SecretRef = Annotated[
    str,
    AfterValidator(_spelled),
    Field(
        pattern=r"^(env|file|keyring|vault):.+$",
        description="A reference to a secret: env:NAME, file:PATH, keyring:SERVICE/USER or vault:PATH#FIELD.",
        examples=["env:LBSYNC_WINRM_PASSWORD"],
    ),
]
"""``env:NAME``, ``file:PATH``, ``keyring:SERVICE/USER`` or ``vault:PATH#FIELD``."""
