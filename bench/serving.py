"""What the service costs: many who watch, its start, and doing nothing. What its overview costs, ``serve`` measures."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from bench.child import child
from bench.measure import ProgramFailed

NAMESPACES = 200
VIEWERS = 200
_VIEWERS_MIB, _IDLE_MIB, _IDLE_CORE, _START_S = 150.0, 80.0, 0.5, 1.5
_NEWS = 20
_PATIENCE_S = 120.0
_CONFIG = """version = 1
[farm]
name = "bench"
[farm.winrm]
user = "lbsync"
password = "env:LBSYNC_BENCH_PASSWORD"
[[servers]]
name = "EX01"
fqdn = "localhost"
[publish]
hosts = ["mail.example.com"]
"""


def report(*, quick: bool) -> None:
    """Print each figure against its goal; one that cannot be had says why."""
    print("\nThe service (lbsync serve)")
    for measure in (_viewers, _idle_and_start):
        try:
            measure(quick=quick)
        except (ProgramFailed, OSError) as error:
            print(f"  NOT MEASURED: {error}")


def _viewers(*, quick: bool) -> None:
    del quick
    with child("served", str(NAMESPACES)) as service, ExitStack() as ends:
        port, token = int(service.up["port"]), Path(service.up["token"]).read_text(encoding="ascii").strip()
        before = _resident_mib(service.pid)
        watching = [ends.enter_context(_viewer(port, token)) for _ in range(VIEWERS)]
        for number in range(_NEWS):
            _look(port, token, f"site{number:03}")
        heard = sum(_heard(one) for one in watching)
        after = _resident_mib(service.pid)
    words = f"{after:.0f} MiB, {before:.0f} before them; {heard} of {VIEWERS} heard what was asked for meanwhile"
    _say(f"{VIEWERS} who watch, {NAMESPACES} farms", words, after, _VIEWERS_MIB, "MiB")


def _idle_and_start(*, quick: bool) -> None:
    times, idle_s = (2, 5.0) if quick else (5, 20.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "lbsync.toml").write_text(_CONFIG, encoding="utf-8")
        with _service(folder):
            pass  # from here on the program's own bytecode is there, as pip leaves it
        walls: list[float] = []
        cpus: list[float] = []
        for _ in range(times):
            with _service(folder) as (pid, wall_s, _):
                walls.append(wall_s)
                cpus.append(_cpu_s(pid))
        wall, cpu = statistics.median(walls), statistics.median(cpus)
        _say("start to /healthz", f"{wall:.2f} s, of it CPU {cpu:.2f} s", wall, _START_S, "s")
        with _service(folder) as (pid, _, port):
            while not _well(port, "/readyz"):  # the first look, which this farm lets fail
                time.sleep(0.2)
            before = _cpu_s(pid)
            time.sleep(idle_s)
            core = 100 * (_cpu_s(pid) - before) / idle_s
            resident = _resident_mib(pid)
    _say("idle, resident", f"{resident:.0f} MiB", resident, _IDLE_MIB, "MiB")
    _say("idle, CPU", f"{core:.2f} % of a core over {idle_s:.0f} s", core, _IDLE_CORE, "%")


@contextmanager
def _service(folder: Path) -> Generator[tuple[int, float, int]]:
    """The real one with one farm that does not answer: its process, the seconds until it said that it is well, and its port."""
    port = _free_port()
    words = ["serve", "--config", str(folder / "lbsync.toml"), "--state", str(folder / "state"),
             "--listen", f"127.0.0.1:{port}"]  # fmt: skip
    bytecode = {"PYTHONPYCACHEPREFIX": str(folder / "pycache"), "PYTHONDONTWRITEBYTECODE": ""}
    with (folder / "log").open("ab") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "lbsync", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, **bytecode, "LBSYNC_BENCH_PASSWORD": "none"},
        )  # fmt: skip
    try:
        while not _well(port, "/healthz"):
            if process.poll() is not None or time.perf_counter() - began > _PATIENCE_S:
                raise ProgramFailed(f"lbsync serve did not start:\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.005)
        yield process.pid, time.perf_counter() - began, port
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)


def _well(port: int, path: str) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)  # HTTP
    except (URLError, OSError):
        return False


@contextmanager
def _viewer(port: int, token: str) -> Generator[socket.socket]:
    """Somebody with the page open, who was greeted."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as viewer:
        viewer.sendall(_request("GET", "/api/v1/events", token))
        seen = b""
        while b": hello" not in seen:
            more = viewer.recv(4096)
            if not more:
                raise ProgramFailed(f"no events: {seen[:200]!r}")
            seen += more
        yield viewer


def _look(port: int, token: str, namespace: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as asking:
        asking.sendall(_request("POST", f"/api/v1/namespaces/{namespace}/look", token))
        asking.recv(4096)


def _heard(viewer: socket.socket) -> bool:
    try:
        return b"event: " in viewer.recv(65536)
    except TimeoutError:
        return False


def _request(method: str, path: str, token: str) -> bytes:
    length = "Content-Length: 0\r\n" if method == "POST" else ""
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n{length}\r\n".encode()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _cpu_s(pid: int) -> float:
    """Of all threads so far; /proc/PID/stat counts in hundredths, each thread's schedstat in nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def _say(what: str, found: str, value: float, goal: float, unit: str) -> None:
    verdict = "within" if value <= goal else "OVER"
    print(f"  {what:<28} {found}  ({verdict} the goal of {goal:g} {unit})", flush=True)
