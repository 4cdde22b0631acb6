"""What a model is given, and how it reads its parameters.

Rule of this room: a parameter of the wrong type is the caller's error, said as PowerShell says it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lbsync.lab.accounts import ADMIN, LogonFailed
from lbsync.lab.errors import ScriptError
from lbsync.lab.state import FarmState, ServerState

Result = dict[str, object]
"""JSON: text, numbers, booleans, None, lists and dictionaries of these."""


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a script. ``delegated`` is true when the logon can go on to a second machine."""

    farm: FarmState
    server: ServerState
    params: Mapping[str, object]
    user: str
    delegated: bool = False

    def text(self, name: str) -> str:
        """A parameter that is text."""
        value = self.params.get(name)
        if not isinstance(value, str):
            raise ScriptError.unconvertible(name)
        return value

    def binary(self, name: str) -> bytes:
        """A parameter that is base64."""
        return _decoded(self.text(name), name)

    def binaries(self, name: str) -> list[bytes]:
        """A parameter that is a list of base64; absent is empty."""
        return [_decoded(text, name) for text in self.texts(name)]

    def texts(self, name: str) -> list[str]:
        """A parameter that is a list of text; absent is empty."""
        value = self.params.get(name)
        if value is None:
            return []
        return [item for item in as_list(value, name) if isinstance(item, str)]

    def records(self, name: str) -> list[dict[str, object]]:
        """A parameter that is a list of objects; absent is empty."""
        value = self.params.get(name)
        if value is None:
            return []
        return [as_record(item, name) for item in as_list(value, name)]

    def named_server(self) -> ServerState:
        """The server a cmdlet was pointed at by ``server``. Raises ScriptError where there is none."""
        found = self.farm.server(self.text("server"))
        if found is None:
            raise ScriptError(
                f"The operation couldn't be performed because object '{self.text('server')}' couldn't be found.",
                fqid="[FailureCategory=Cmdlet-ManagementObjectNotFoundException] 8BF8F0E5",
                category="InvalidData",
                target=self.text("server"),
            )
        return found

    def open_exchange(self, *cmdlets: str) -> list[str]:
        """The inner session. Returns which of ``cmdlets`` the account's roles do not offer. Raises ScriptError."""
        exchange = as_record(self.params.get("exchange"), "exchange")
        host = str(exchange.get("server", ""))
        user, password = exchange.get("user"), exchange.get("password")
        if self.farm.server(host) is None:
            raise _not_opened(host, "CannotConnect", "The WinRM client cannot process the request because the server name "
                              "cannot be resolved.")  # fmt: skip
        if not user and not self.delegated:
            # A network logon has no second hop.
            raise _not_opened(host, "1312", "WinRM cannot process the request. The following error with errorcode 0x8009030e "
                              "occurred while using Kerberos authentication: A specified logon session does not exist. It may "
                              "already have been terminated.")  # fmt: skip
        name = self.user
        if user:
            try:
                name = self.farm.accounts.check(str(user), str(password))
            except LogonFailed as problem:
                raise _not_opened(host, "LogonFailure", "The user name or password is incorrect.") from problem
        if not name.lower().endswith(f"\\{ADMIN}"):
            return list(cmdlets)
        return [cmdlet for cmdlet in cmdlets if cmdlet in self.farm.spec.missing_cmdlets]


Model = Callable[[Call], Result]


def _not_opened(host: str, code: str, text: str) -> ScriptError:
    return ScriptError(
        f"[{host}] Connecting to remote server {host} failed with the following error message : {text} For more information, "
        "see the about_Remote_Troubleshooting Help topic.",
        fqid=f"{code},PSSessionOpenFailed",
        category="OpenError",
        target="System.Manageme....RemoteRunspace",
    )


def _decoded(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as problem:
        raise ScriptError.unconvertible(name) from problem


def as_list(value: object, name: str) -> list[object]:
    """A JSON array. Raises ScriptError."""
    if not isinstance(value, list):
        raise ScriptError.unconvertible(name)
    return value  # pyright: ignore[reportUnknownVariableType]


def as_record(value: object, name: str) -> dict[str, object]:
    """A JSON object. Raises ScriptError."""
    if not isinstance(value, dict):
        raise ScriptError.unconvertible(name)
    return value  # pyright: ignore[reportUnknownVariableType]


def b64(data: bytes) -> str:
    """Binary as JSON carries it."""
    return base64.b64encode(data).decode("ascii")
