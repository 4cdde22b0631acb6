"""The PowerShell files, as text.

Rule of this room: what is sent to a server is exactly the text of one file, so that a log, a reviewer or the lab can tell a
script by the SHA-256 of its UTF-8 bytes. Nothing is composed, nothing is substituted; parameters travel beside.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

ScriptName = Literal[
    "server-facts",
    "read-flags",
    "set-require-ssl",
    "farm-facts",
    "set-outlook-anywhere",
    "export-certificate",
    "export-certificate-store",
    "wrap-key",
    "import-certificate",
    "enable-certificate",
    "new-certificate-request",
    "certificate-requests",
    "complete-certificate-request",
    "certificate-uses",
    "certificate-holders",
    "remove-certificate",
]
"""The scripts that may be run; ``bootstrap`` is the constant command line that runs them."""


@cache
def text(name: ScriptName | Literal["bootstrap"]) -> str:
    r"""The whole text of ``<name>.ps1``, line ends as ``\\n``, read once per process."""
    return files(__name__).joinpath(f"{name}.ps1").read_text(encoding="utf-8")
