"""Renewed certificates that somebody else drops as files: win-acme, certbot, a CA's download.

Rule of this room: it reads and never judges; what cannot be read is told with its path and stops nothing. Keys stay in memory,
and only what was asked for by its fingerprint is handed out.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from lbsync.errors import CertificateError
from lbsync.materials import LARGEST_BYTES, open_bytes
from lbsync_certs import CertificateProblem, Fingerprint

if TYPE_CHECKING:
    from lbsync_certs import Bundle

_MOST_FILES = 500
"""In one folder; one with more was named by mistake."""
_KEY = b"PRIVATE KEY-----"
_CERTIFICATE = b"CERTIFICATE-----"
_PFX = frozenset({".pfx", ".p12"})
_PEM = frozenset({".pem", ".crt", ".cer", ".key"})


@dataclass(frozen=True, slots=True)
class Dropped:
    """One certificate with its key in a file (or in files of one folder), or why there is none."""

    path: str
    bundle: Bundle | None = field(repr=False)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class DropSource:
    """Files, globs and folders where renewals appear; a MaterialSource's ``Source``.

    ``password`` is asked at each look; it returns ``None`` where files need none. A key and its certificates may be files of
    their own in one folder, as certbot has them (``privkey.pem``, ``fullchain.pem``).
    """

    places: Sequence[str]
    password: Callable[[], SecretStr | None]

    def look(self) -> tuple[Dropped, ...]:
        """Everything there is now, in the order of ``places``. Raises SecretError; CertificateError for a folder too full."""
        secret = self.password()
        password = secret.get_secret_value() if secret else None
        folders: dict[Path, list[Path]] = {}
        for path in dict.fromkeys(file for place in self.places for file in _files(place)):
            folders.setdefault(path.parent, []).append(path)
        return tuple(found for files in folders.values() for found in _of_folder(files, password))

    def open(self, leaf: Fingerprint) -> Bundle | None:
        """The bundle with this leaf, where one of the files has it."""
        return next((one.bundle for one in self.look() if one.bundle and one.bundle.fingerprint == leaf), None)


def _files(place: str) -> list[Path]:
    """What a path, a glob or a folder names, by name; nothing where nothing is there."""
    found = [Path(name) for name in sorted(glob.glob(place))] or [Path(place)]  # noqa: PTH207 -- takes absolute patterns
    files: list[Path] = []
    for path in found:
        files += sorted(path.iterdir()) if path.is_dir() else [path]
    if len(files) > _MOST_FILES:
        raise CertificateError(
            f"there are {len(files)} files: this is no place for certificates",
            where=place,
            state="nothing was read",
            remedy="name the folder that renewals are put into, or a glob (*.pfx)",
            code="too-many-files",
        )
    return [path for path in files if path.suffix.lower() in _PFX | _PEM and path.is_file()]


def _of_folder(files: Iterable[Path], password: str | None) -> Iterable[Dropped]:
    lone_keys: list[tuple[Path, bytes]] = []
    certificates: list[bytes] = []
    for path in files:
        try:
            data = _read(path)
        except OSError as error:
            yield Dropped(str(path), None, f"it cannot be read: {error.strerror or error}")
            continue
        has_key, has_certificate = _KEY in data, _CERTIFICATE in data
        if has_key and not has_certificate:
            lone_keys.append((path, data))
        elif has_certificate and not has_key:
            certificates.append(data)
        else:
            yield _opened(path, data, password)
    for path, data in lone_keys:
        if certificates:
            yield _opened(path, b"\n".join((data, *certificates)), password)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST_BYTES)


def _opened(path: Path, data: bytes, password: str | None) -> Dropped:
    try:
        return Dropped(str(path), open_bytes(data, password))
    except CertificateProblem as problem:
        return Dropped(str(path), None, problem.message)
