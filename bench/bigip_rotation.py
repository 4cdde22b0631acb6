"""One rotation as every contender is given it: where the device is, and a folder with the certificate.

Rule of this room: it imports next to nothing, for it is part of what is measured.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

USER, PASSWORD = "lbsync", "no-secret"
HOST = "127.0.0.1"
BALANCER = "lb1"
PROFILE = f"/Common/lbsync_{BALANCER}_client-ssl"
"""Whose certificate is rotated, by every contender."""
DOWNLOADS = "/var/config/rest/downloads"


@dataclass(frozen=True, slots=True)
class Rotation:
    """Beside the folder lies the CA that the device's certificate is verified against."""

    port: int
    folder: Path

    @property
    def ca_file(self) -> Path:
        """Verifies the device."""
        return self.folder.with_name("ca.pem")

    def pem(self, part: str) -> str:
        """``key``, ``cert``, ``chain``, each in a file of its own."""
        return (self.folder / f"{part}.pem").read_text(encoding="ascii")

    @property
    def arguments(self) -> list[str]:
        """For a program that begins with ``given``."""
        return [str(self.port), str(self.folder)]


def given() -> Rotation:
    """What the program was started with."""
    return Rotation(int(sys.argv[1]), Path(sys.argv[2]))


@contextmanager
def clocked() -> Generator[None]:
    """Says in the end how many seconds the block took, and how much CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(json.dumps({"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}))
