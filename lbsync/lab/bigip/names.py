"""Names of objects: full paths, what stands for them in a URL, where they lie, and links to them.

Rule of this room: text in, text out; it knows no collection by name.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

Json = dict[str, Any]
"""A JSON object on its way in or out."""

HOST = "https://localhost/mgmt/tm"
"""What every link of a device starts with, whatever name it was asked by."""
DRAFTS = "Drafts"


def absolute(name: str, partition: str = "Common") -> str:
    """The full path of a name: ``/Common/x`` for a bare ``x`` of that partition; a full path stays as it is."""
    return name if name.startswith("/") else f"/{partition}/{name}"


def compose(partition: str, sub_path: str, name: str) -> str:
    """The full path of partition, folder below it (may be empty) and name."""
    return "/" + "/".join(part.strip("/") for part in (partition, sub_path, name) if part.strip("/"))


def parts(path: str) -> tuple[str, str, str]:
    """Partition, folder below it (empty for none) and name of a full path."""
    partition, *rest = path.strip("/").split("/")
    return partition, "/".join(rest[:-1]), rest[-1] if rest else ""


def folder(path: str) -> str:
    """The folder a full path lies in (``/Common`` for ``/Common/x``)."""
    return path.rsplit("/", 1)[0] or "/"


def tilde(path: str) -> str:
    """How a path is written as one segment of a URL."""
    return quote(path.replace("/", "~"), safe="~:%._-")


def untilde(segment: str) -> str:
    """The name or full path that a segment of a URL stands for."""
    text = unquote(segment)
    return text.replace("~", "/") if text.startswith("~") else text


def draft_of(path: str) -> str:
    """Where the draft of a published policy lies."""
    return f"{folder(path)}/{DRAFTS}/{path.rsplit('/', 1)[1]}"


def published_of(path: str) -> str:
    """Where a draft goes when it is published."""
    return f"{folder(path).removesuffix(f'/{DRAFTS}')}/{path.rsplit('/', 1)[1]}"


def is_draft(path: str) -> bool:
    """True for what lies in a folder ``Drafts``."""
    return folder(path).endswith(f"/{DRAFTS}")


def kind_of(path: str, ending: str = "state") -> str:
    """The ``kind`` of a collection's objects: ``tm:ltm:pool:poolstate`` for ``ltm/pool``."""
    return f"tm:{path.replace('/', ':')}:{path.rsplit('/', 1)[-1]}{ending}"
