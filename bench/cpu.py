"""What a full handshake costs NGINX's workers, by how the certificate reaches them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.clients import HOST
from bench.front import Front, NotServed, front
from bench.nginxes import Nginx, chosen
from bench.watcher import greeting, leaf
from lbsync.errors import LbsyncError

_CACHE = "ssl_certificate_cache"


def report(found: tuple[Nginx, ...], *, quick: bool) -> None:
    """Print milliseconds of the workers' CPU per handshake for each NGINX."""
    handshakes = 200 if quick else 1000
    print(f"\nCPU of NGINX's workers per full handshake (TLS 1.3, P-256), {handshakes} handshakes one after another")
    for nginx in found:
        try:
            with chosen(nginx):
                cells = [f"{name} {ms:.2f} ms" for name, ms in _ways(nginx, handshakes)]
        except (NotServed, LbsyncError, RuntimeError, OSError) as error:
            print(f"  {nginx.text:<14} NOT MEASURED: {error}")
            continue
        print(f"  {nginx.text:<14} {'   '.join(cells)}")


def _ways(nginx: Nginx, handshakes: int) -> Iterator[tuple[str, float]]:
    with front("http, static") as fronted:
        yield "static", _cost(fronted, handshakes)
    with front("http, variable") as fronted:
        if nginx.keeps_idle_clients:
            yield "variable with the cache", _cost(fronted, handshakes)
            with _without_cache(fronted):
                yield "variable without it", _cost(fronted, handshakes)
        else:
            yield "variable (no cache before 1.27.4)", _cost(fronted, handshakes)


@contextmanager
def _without_cache(fronted: Front) -> Generator[None]:
    """The same file but for one line, loaded."""
    path = fronted.running.http_file
    text = path.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines(keepends=True) if _CACHE not in line]
    path.write_text("".join(lines), encoding="utf-8")
    fronted.running.reload()
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def _cost(fronted: Front, handshakes: int) -> float:
    """Milliseconds per handshake, after some that warm it up."""
    running, context = fronted.running, greeting(str(fronted.ca_file))
    place = (context, running.address, running.https_port, HOST)
    for _ in range(handshakes // 10):
        leaf(*place)
    workers = running.workers
    before = _used_s(workers)
    for _ in range(handshakes):
        leaf(*place)
    return (_used_s(workers) - before) / handshakes * 1000


def _used_s(pids: frozenset[int]) -> float:
    """CPU of some processes so far, exact to the nanosecond as /proc/PID/stat is not."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) for pid in pids) / 1e9
