"""CredSSP: the one password logon that can go on to a second machine, because it hands the credential over.

Rule of this room: the credential received proves the user and is forgotten at once. Wrong passwords are refused, not counted:
pyspnego does not tell whose they were.
"""

from __future__ import annotations

import spnego
from spnego.exceptions import SpnegoError

from lbsync.lab.accounts import Accounts, LogonFailed


class CredsspAcceptor:
    """One CredSSP handshake; afterwards it seals and opens WinRM messages by its inner TLS."""

    name = "CredSSP"
    trailer = 16
    """Of the AES-GCM suites both ends of pyspnego negotiate."""

    def __init__(self) -> None:
        """Nothing is known of the client yet."""
        self._context = spnego.server(protocol="credssp")
        self.user = ""

    @property
    def complete(self) -> bool:
        """True once the client has proven who it is."""
        return bool(self.user)

    def step(self, token: bytes) -> bytes | None:
        """Take a token, return the next one. Raises LogonFailed."""
        try:
            out = self._context.step(token)
        except (SpnegoError, ValueError, StopIteration) as problem:
            raise LogonFailed("token") from problem
        if self._context.complete:
            credential = self._context.get_extra_info("client_credential")
            self.user = Accounts.full_name(str(credential.username))
        return out

    def seal(self, message: bytes) -> bytes:
        """One TLS record."""
        return bytes(self._context.wrap(message).data)

    def open(self, blob: bytes) -> bytes:
        """The message. Raises LogonFailed."""
        try:
            return bytes(self._context.unwrap(blob).data)
        except SpnegoError as problem:
            raise LogonFailed("seal") from problem
