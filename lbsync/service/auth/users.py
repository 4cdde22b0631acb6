"""Local users: a TOML file with a name, a role and hashes each.

Rule of this file: a password comes in to be hashed or compared and is kept nowhere; the file is read again whenever it
changes, so that a user who was removed is out at once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import stat
import tempfile
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr, ValidationError

from lbsync.errors import ConfigError
from lbsync.model import Value
from lbsync.private import open_to
from lbsync.service.values import Role

if TYPE_CHECKING:
    from argon2 import PasswordHasher

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_LOG = logging.getLogger("lbsync.service.auth")
SHORTEST: Final = 12
LONGEST: Final = 256
"""Characters of a password; longer ones would only keep the processor busy."""


class User(Value):
    """A local user. ``password`` is an argon2id hash, ``token`` the SHA-256 of an API token; either may be missing."""

    role: Role
    password: str | None = None
    token: str | None = None

    @property
    def stamp(self) -> str:
        """Changes with the role, the password and the token: what was let in by another stamp is out."""
        return hashlib.sha256(f"{self.role.value}\0{self.password}\0{self.token}".encode()).hexdigest()


class Users:
    """The users of a file, read again when the file is another. A file that is broken or gone lets nobody in."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._users: Mapping[str, User] = {}
        self._told = ""

    def all(self) -> Mapping[str, User]:
        """Every user by name."""
        if self._path is None:
            return {}
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._users, self._seen = load(self._path), seen
        except (OSError, ConfigError) as error:
            if self._told != str(error):
                _LOG.warning("nobody can log in by name: %s", error)
            self._users, self._seen, self._told = {}, None, str(error)
        else:
            self._told = ""
        return self._users

    def by_token(self, token: str) -> tuple[str, User] | None:
        """The user whose API token this is."""
        hashed = token_hash(token)
        return next(((name, user) for name, user in self.all().items() if user.token == hashed), None)


def load(path: Path) -> dict[str, User]:
    """The users in a file; none where there is no file. Raises ConfigError where it is not what it should be."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            document = tomllib.loads(file.read().decode("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"the users cannot be read: {error.strerror}", where=str(path)) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise ConfigError("this is no file of users", where=str(path), remedy="make it by lbsync serve-user") from None
    if open_to(status, 0o007):
        raise ConfigError(
            f"everybody on this host may use the file (mode {stat.S_IMODE(status.st_mode):04o})",
            where=str(path),
            remedy=f"chmod 600 {path}",
        )
    try:
        return {_named(name, path): User.model_validate(entry) for name, entry in document.get("users", {}).items()}
    except (ValidationError, AttributeError):
        raise ConfigError(
            "a user in it is not as it should be", where=str(path), remedy="see lbsync serve-user"
        ) from None


def save(path: Path, users: Mapping[str, User]) -> None:
    """Replace the file, for its owner only, in one go. Raises ConfigError."""
    lines = ["# Users of lbsync serve; change them by `lbsync serve-user`."]
    for name, user in sorted(users.items()):
        lines += ["", f'[users."{_named(name, path)}"]', f'role = "{user.role.value}"']
        lines += [f'{key} = "{value}"' for key, value in (("password", user.password), ("token", user.token)) if value]
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            _like(path, handle)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the users cannot be written: {error.strerror}", where=str(path), state="the file is as it was"
        ) from None


def _like(path: Path, handle: int) -> None:
    """Owner, group and their rights as the file has them: root may change users of a service that runs as somebody else."""
    with suppress(OSError, AttributeError):  # there is none yet; Windows
        there = path.stat()
        os.fchown(handle, there.st_uid, there.st_gid)
        os.fchmod(handle, stat.S_IMODE(there.st_mode) & 0o660)


def _named(name: str, path: Path) -> str:
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name[:64]!r} is no name for a user",
            where=str(path),
            remedy="use letters, digits and . _ @ + -, 64 at most, the first a letter or a digit",
        )
    return name


def with_password(password: SecretStr) -> str:
    """A password's argon2id hash. Raises ConfigError where it is too short or too long."""
    text = password.get_secret_value()
    if not SHORTEST <= len(text) <= LONGEST:
        raise ConfigError(
            f"a password has {SHORTEST} to {LONGEST} characters", where="the password", state="nothing was changed"
        )
    return _hasher().hash(text)


def new_token() -> tuple[SecretStr, str]:
    """A fresh API token, and what is kept of it."""
    token = secrets.token_urlsafe(32)
    return SecretStr(token), token_hash(token)


def token_hash(token: str) -> str:
    """What is kept of a token: its 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def fits(user: User | None, password: str) -> bool:
    """Whether this is the user's password. Takes as long for a user who does not exist, or has none. Blocks some 30 ms."""
    from argon2.exceptions import InvalidHashError, VerificationError

    wanted, dummy = user.password if user is not None else None, _dummy()
    try:
        same = _hasher().verify(wanted or dummy, password[: LONGEST + 1])
    except (VerificationError, InvalidHashError):
        return False
    return same and wanted is not None and len(password) <= LONGEST


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    """Argon2id with OWASP's second set (19 MiB, 2 passes, 1 lane): the service is to stay small."""
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@lru_cache(maxsize=1)
def _dummy() -> str:
    """The hash of a password that nobody has, for users that do not exist."""
    return _hasher().hash(secrets.token_urlsafe(32))
