"""What stands behind a secret reference: the environment, a file, the system's keyring, HashiCorp Vault.

Rule of this room: a value leaves it as ``SecretStr`` only, and an error names the reference, never the value. Nothing is
cached: a secret is fetched when it is needed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

from pydantic import SecretStr

from lbsync.errors import SecretError
from lbsync.private import open_to

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def resolve(reference: str, *, base: Path, environ: Mapping[str, str] | None = None) -> SecretStr:
    """The secret that ``reference`` (``env:``, ``file:``, ``keyring:`` or ``vault:``) names.

    ``base`` is the folder that relative paths of ``file:`` start from. Raises SecretError where it is absent, empty, not
    safely kept, or where asking for it failed.
    """
    scheme, _, rest = reference.partition(":")
    variables = os.environ if environ is None else environ
    readers: dict[str, Callable[[], str]] = {
        "env": lambda: _from_environment(reference, rest, variables),
        "file": lambda: _from_file(reference, base / Path(rest).expanduser()),
        "keyring": lambda: _from_keyring(reference, *_split(rest, "/")),
        "vault": lambda: _from_vault(reference, *_split(rest, "#"), variables),
    }
    if scheme not in readers:
        raise SecretError(
            "this is no secret reference",
            where="a secret",
            remedy='write "env:NAME", "file:PATH", "keyring:SERVICE/USER" or "vault:PATH#FIELD"',
        )
    value = readers[scheme]()
    if not value:
        raise SecretError("the secret is empty", where=reference, remedy="store a value there")
    return SecretStr(value)


def _split(rest: str, mark: str) -> tuple[str, str]:
    first, _, last = rest.rpartition(mark)
    return first, last


def _from_environment(reference: str, name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise SecretError(
            "the environment variable is not set", where=reference, remedy=f"export {name} before you call lbsync"
        )
    return environ[name]


def _from_file(reference: str, path: Path) -> str:
    """A file whose content is the secret; one newline at its end is not part of it."""
    try:
        with path.open(encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            if open_to(status, 0o007):
                raise SecretError(
                    f"everybody on this host may use the file (mode {stat.S_IMODE(status.st_mode):04o})",
                    where=reference,
                    remedy=f"chmod 600 {path}, and change the secret if others have accounts here",
                )
            text = file.read()
    except OSError as error:
        raise SecretError(
            f"the file cannot be read: {error.strerror}", where=reference, remedy=f"look at {path}"
        ) from None
    except UnicodeDecodeError:
        raise SecretError("the file is no UTF-8 text", where=reference, remedy=f"look at {path}") from None
    return text.removesuffix("\n").removesuffix("\r")


def _from_keyring(reference: str, service: str, user: str) -> str:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise SecretError(
            "the Python package keyring is not installed",
            where=reference,
            remedy="pip install 'lbsync[keyring]'",
        ) from None
    try:
        value = keyring.get_password(service, user)
    except KeyringError as error:
        raise SecretError(
            f"the keyring did not answer: {type(error).__name__}",
            where=reference,
            remedy="unlock it, or on a host without a desktop use file: or vault:",
        ) from None
    if value is None:
        raise SecretError("the keyring has no such entry", where=reference, remedy=f"keyring set {service} {user}")
    return value


def _from_vault(reference: str, path: str, field: str, environ: Mapping[str, str]) -> str:
    """A field of a key-value secret, version 1 or 2, its path written as ``vault kv get`` takes it."""
    address, token = environ.get("VAULT_ADDR", ""), environ.get("VAULT_TOKEN", "")
    if not address or not token:
        raise SecretError(
            "VAULT_ADDR and VAULT_TOKEN are not both set", where=reference, remedy="export both before you call lbsync"
        )
    parts = urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise SecretError(
            "VAULT_ADDR is not https: the token and the secret would travel in clear",
            where=reference,
            remedy="use https://, or a Vault agent on this host",
        )
    answer = _ask_vault(reference, address, token, path, environ.get("VAULT_CACERT"))
    if field not in answer:
        raise SecretError(
            "Vault has nothing there, or no such field", where=reference, remedy=f"vault kv get -field={field} {path}"
        )
    return str(answer[field])


def _ask_vault(reference: str, address: str, token: str, path: str, ca_file: str | None) -> Mapping[str, object]:
    try:
        import hvac
        import requests
        from hvac.exceptions import VaultError
    except ImportError:
        raise SecretError(
            "the Python package hvac is not installed", where=reference, remedy="pip install 'lbsync[vault]'"
        ) from None
    client = hvac.Client(url=address, token=token, verify=ca_file or True, timeout=10)
    try:
        # How `vault kv` learns a mount's version; it answers for every path the token may read.
        mount = _table(_table(client.read(f"sys/internal/ui/mounts/{path}")).get("data"))
        prefix = str(mount.get("path") or "")
        if _table(mount.get("options")).get("version") != "2":
            return _table(_table(client.read(path)).get("data"))
        answer = _table(client.read(f"{prefix}data/{path.removeprefix(prefix)}"))
        return _table(_table(answer.get("data")).get("data"))
    except (VaultError, requests.RequestException) as error:
        raise SecretError(
            f"Vault did not give it: {type(error).__name__}",
            where=reference,
            remedy=f"try: vault kv get {path}",
        ) from None
    finally:
        client.adapter.close()


def _table(answer: object) -> dict[str, object]:
    """A JSON object of Vault's answer; empty where it gave none."""
    return cast("dict[str, object]", answer) if isinstance(answer, dict) else {}
