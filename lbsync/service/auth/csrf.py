"""Whether a request that changes something was meant by the person whose browser sent it.

Rule of this file: pure. Two proofs are asked for: the browser says that the request comes from this origin, and the page knew
the session's token. Requests with a bearer need neither: no browser adds one by itself.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADER = "x-csrf-token"
FIELD = "csrf"


def own_origin(*, host: str, secure: bool, origins: Collection[str], sites: Collection[str]) -> bool:
    """Whether the headers Origin and Sec-Fetch-Site, as often as they were sent, say that this is our own page.

    A program sends neither, and is judged by its token alone. ``null``, another scheme, host or port are not ours.
    """
    if any(site not in {"same-origin", "none"} for site in sites):
        return False
    return all(_same(origin, host, secure=secure) for origin in origins)


def _same(origin: str, host: str, *, secure: bool) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    scheme = "https" if secure else "http"
    return parts.scheme == scheme and _with_port(parts.netloc, secure) == _with_port(host, secure)


def _with_port(netloc: str, secure: bool) -> str:
    """A host with its port written out, in lower case."""
    name = netloc.lower()
    bare = name.rpartition("]")[2] if name.startswith("[") else name
    return name if ":" in bare else f"{name}:{443 if secure else 80}"


def token_fits(sent: str | None, wanted: str) -> bool:
    """Whether the session's token was sent, compared in constant time."""
    return sent is not None and hmac.compare_digest(sent.encode(), wanted.encode())
