"""Messages sealed by the security context of their connection, in the MIME frame WinRM puts them in ([MS-WSMV] 2.2.9.1).

Rule of this room: it frames; what seals is given.
"""

from __future__ import annotations

import re
import struct
from typing import Protocol

from lbsync.lab.accounts import LogonFailed

_BOUNDARY = b"--Encrypted Boundary"
_OCTETS = b"\tContent-Type: application/octet-stream\r\n"
_PIECE = 16 * 1024
"""CredSSP seals at most so much at once: the size of a TLS record."""


class SecurityContext(Protocol):
    """One authenticated connection, able to seal."""

    @property
    def name(self) -> str:
        """The protocol in the content type: SPNEGO or CredSSP."""
        ...

    @property
    def trailer(self) -> int:
        """Bytes of signature or trailer, as the frame announces them."""
        ...

    def seal(self, message: bytes) -> bytes:
        """Signature and sealed message."""
        ...

    def open(self, blob: bytes) -> bytes:
        """The message. Raises LogonFailed."""
        ...


def unseal(context: SecurityContext, body: bytes) -> bytes:
    """The message of a whole body. Raises LogonFailed."""
    parts = [part for part in body.split(_BOUNDARY + b"\r\n") if part]
    if not parts or len(parts) % 2:
        raise LogonFailed("framing")
    message = b""
    for head, payload in zip(parts[::2], parts[1::2], strict=True):
        length = re.search(rb"Length=(\d+)", head)
        if length is None:
            raise LogonFailed("framing")
        blob = payload.removeprefix(_OCTETS).removesuffix(_BOUNDARY + b"--\r\n")
        piece = context.open(blob[4:])
        if len(piece) != int(length[1]):
            raise LogonFailed("length")
        message += piece
    return message


def seal(context: SecurityContext, message: bytes) -> bytes:
    """The whole body of an answer."""
    protocol = f"application/HTTP-{context.name}-session-encrypted".encode()
    size = _PIECE if context.name == "CredSSP" else max(len(message), 1)
    out = bytearray()
    for at in range(0, len(message), size):
        piece = message[at : at + size]
        out += _BOUNDARY + b"\r\n\tContent-Type: " + protocol + b"\r\n"
        out += b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n" % len(piece)
        out += _BOUNDARY + b"\r\n" + _OCTETS
        out += struct.pack("<i", context.trailer) + context.seal(piece)
    return bytes(out + _BOUNDARY + b"--\r\n")


def content_type(context: SecurityContext) -> str:
    """What the answer's header says."""
    protocol = f"application/HTTP-{context.name}-session-encrypted"
    return f'multipart/encrypted;protocol="{protocol}";boundary="Encrypted Boundary"'
