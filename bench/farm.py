"""Bench endpoints as a context: so many servers in a process of their own, with one canned answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def endpoints(
    answer: Path, servers: int, *, latency_s: float = 0.02, work_s: float = 0.0, certificate: Path | None = None
) -> Generator[list[int]]:
    """The ports of ``servers`` endpoints that run until the block ends."""
    command = [sys.executable, "-m", "bench.endpoint", "--answer", str(answer), "--servers", str(servers)]
    command += ["--latency", str(latency_s), "--work", str(work_s)]
    command += ["--certificate", str(certificate)] if certificate else []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("no pipes")
        try:
            ports: list[int] = json.loads(process.stdout.readline())
            yield ports
        finally:
            process.stdin.close()
