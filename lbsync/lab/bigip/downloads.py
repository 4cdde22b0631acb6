"""The folder that uploads land in, and the two commands that list and empty it.

Rule of this room: contents stay in memory (keys are among them); nothing else of a device's file system exists.
"""

from __future__ import annotations

import re
import shlex
import threading
import time

from lbsync.lab.bigip.errors import REST, Refusal
from lbsync.lab.bigip.names import Json

FOLDER = "/var/config/rest/downloads"
_TEMPORARY = "tmp/"
_PARTIAL = f"{FOLDER}/tmp"  # noqa: S108  a path on the device
CHUNK_LIMIT = 1024 * 1024
_RANGE = re.compile(r"(\d+)-(\d+)/(\d+)")


class Downloads:
    """Files by name; half-finished ones beside them."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._partial: dict[str, tuple[int, dict[int, bytes]]] = {}
        self._lock = threading.Lock()
        self.read_only = False
        """True where nothing in it can be removed."""

    @property
    def names(self) -> tuple[str, ...]:
        """What lies in the folder now; half-finished uploads as ``tmp/NAME``."""
        with self._lock:
            return tuple(sorted((*self._files, *(f"{_TEMPORARY}{name}" for name in self._partial))))

    def upload(self, name: str, content_range: str, chunk: bytes) -> Json:
        """Take one chunk; what is answered to it (upload_last_chunk_200.json). Raises Refusal."""
        match = _RANGE.fullmatch(content_range.strip())
        if match is None or not name or "/" in name:
            raise Refusal(400, f"Invalid Content-Range header: {content_range}", REST)  # Assumption ``upload-range``.
        first, last, total = (int(number) for number in match.groups())
        if last >= total or last - first + 1 != len(chunk) or len(chunk) > CHUNK_LIMIT:
            raise Refusal(400, f"Content-Range {content_range} does not match the chunk of {len(chunk)} bytes", REST)
        with self._lock:
            known, chunks = self._partial.get(name, (total, {}))
            if first == 0 or known != total:
                chunks = {}
            if first != sum(len(piece) for piece in chunks.values()):
                raise Refusal(400, f"Chunk at {first} is out of order", REST)
            chunks[first] = chunk
            used = {str(start): len(piece) for start, piece in chunks.items()}
            left = total - last - 1
            if left:
                self._partial[name] = (total, chunks)
            else:
                self._partial.pop(name, None)
                self._files[name] = b"".join(chunks.values())
        return {
            "remainingByteCount": left,
            "usedChunks": used,
            "totalByteCount": total,
            "localFilePath": f"{FOLDER}/{name}",
            "temporaryFilePath": f"{_PARTIAL}/{name}",
            "generation": 0,
            "lastUpdateMicros": int(time.time() * 1e6),
        }

    def open(self, path: str) -> bytes | None:
        """The content of a file by its path on the device or its ``file:`` URL."""
        plain = re.sub(r"^file:(//)?", "", path)
        with self._lock:
            return self._files.get(plain.removeprefix(f"{FOLDER}/"))

    def remove(self, arguments: str) -> str:
        """``rm``; what it says (empty where all went well).

        What is left of a half-finished upload goes with its name (assumption ``half-finished``).
        """
        options, paths = _words(arguments)
        forced = any("f" in option for option in options)
        problems = {path: self._remove(path, forced=forced) for path in paths}
        return "".join(f"/bin/rm: cannot remove `{path}': {problem}\n" for path, problem in problems.items() if problem)

    def _remove(self, path: str, *, forced: bool) -> str:
        """Why a path stays; empty where it is gone, or where ``-f`` asks nobody to tell."""
        if not path.startswith(f"{FOLDER}/"):
            return "Permission denied"  # Assumption ``rm-elsewhere``.
        name = path.removeprefix(f"{FOLDER}/")
        with self._lock:
            there = name in self._files or name.removeprefix(_TEMPORARY) in self._partial
            if there and self.read_only:
                return "Read-only file system"
            self._files.pop(name, None)
            self._partial.pop(name.removeprefix(_TEMPORARY), None)
        return "" if there or forced else "No such file or directory"

    def listing(self, arguments: str) -> str:
        """``ls``; what it says."""
        said = ""
        for path in _words(arguments)[1]:
            if path.rstrip("/") == FOLDER:
                said += "".join(f"{name}\n" for name in sorted({name.partition("/")[0] for name in self.names}))
            elif path.rstrip("/") == _PARTIAL:
                said += "".join(
                    f"{name.removeprefix(_TEMPORARY)}\n" for name in self.names if name.startswith(_TEMPORARY)
                )
            elif path.removeprefix(f"{FOLDER}/") in self.names:
                said += f"{path}\n"
            else:
                said += f"/bin/ls: cannot access {path}: No such file or directory\n"
        return said


def _words(arguments: str) -> tuple[list[str], list[str]]:
    """Options, and what they are for."""
    try:
        words = shlex.split(arguments)
    except ValueError as problem:
        raise Refusal(400, f"invalid utilCmdArgs: {problem}", REST) from problem
    return [word for word in words if word.startswith("-")], [word for word in words if not word.startswith("-")]
