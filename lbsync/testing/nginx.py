"""A real NGINX of one's own for tests and rehearsals: an administrator's configuration, its directories, its process.

Rule of this room: it plays the administrator. It knows nothing of what lbsync writes into the directories it is given.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from lbsync.testing.ports import free_port, own_address

_START_S = 20.0
_STOP_S = 10.0
_WORKERS = 2
_MAIN = """\
# The administrator's own configuration. lbsync reads it and never writes it.
{load_module}{user}worker_processes {workers};
pid {directory}/nginx.pid;
error_log {directory}/error.log notice;
{extra_main}
events {{}}

http {{
    access_log off;
    client_body_temp_path {directory}/temp/body;
    proxy_temp_path {directory}/temp/proxy;
    fastcgi_temp_path {directory}/temp/fastcgi;
    uwsgi_temp_path {directory}/temp/uwsgi;
    scgi_temp_path {directory}/temp/scgi;
{extra_http}
    # Something of the administrator's that must stay as it is.
    server {{
        listen {address}:{own_port};
        server_name admin.own.test;
        return 200 "the administrator's own\\n";
    }}
{include_http}}}
{stream}"""
_INCLUDE_HTTP = """
    include {directory}/conf.d/*.conf;
"""
# A mask, since NGINX does not start for want of a file that an include names in full; and one that cannot match a dot-file,
# as a file has while it is being written.
_INCLUDE_STREAM = """
    include {directory}/lbsync/stream*.conf;
"""
_STREAM = """
stream {{
{extra_stream}{include_stream}}}
"""


def nginx_program() -> str | None:
    """Path of the program: ``LBSYNC_NGINX``, else as found; ``None`` where there is none."""
    return os.environ.get("LBSYNC_NGINX") or shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def nginx_version(program: str) -> tuple[int, ...]:
    """``(1, 22, 1)``, as ``nginx -v`` tells. Raises RuntimeError when it does not tell."""
    told = _told(program, "-v")
    found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", told)
    if found is None:
        raise RuntimeError(f"{program} -v told no version: {told}")
    return tuple(int(part) for part in found.groups())


def stream_module(program: str) -> Path | None:
    """The module to load for ``stream {}``; ``None`` where it is built in.

    Looked for in ``LBSYNC_NGINX_MODULES``, else where ``nginx -V`` says modules are. Raises FileNotFoundError with the path
    where it is missing.
    """
    built = _told(program, "-V")
    if re.search(r"--with-stream(?=\s|$)", built):
        return None
    where = re.search(r"--modules-path=(\S+)", built)
    folder = os.environ.get("LBSYNC_NGINX_MODULES") or (where.group(1) if where else "/usr/lib/nginx/modules")
    module = Path(folder) / "ngx_stream_module.so"
    if not module.is_file():
        raise FileNotFoundError(f"NGINX's stream module is not installed: {module}")
    return module


def nginx_ready() -> bool:
    """True where NGINX is, and its stream module with it."""
    program = nginx_program()
    try:
        if program is None:
            return False
        stream_module(program)
    except OSError:
        return False
    return True


def _told(program: str, option: str) -> str:
    ran = subprocess.run(  # noqa: S603 -- a list, no shell
        [program, option], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return ran.stderr + ran.stdout


class RunningNginx:
    """NGINX with two workers below ``directory``, loading ``conf.d`` into its http block and ``lbsync`` into its stream block.

    ``address`` is a loopback address nobody else is likely to use; ``https_port``, ``http_port`` and ``own_port``, where the
    administrator's own server answers, are free on it; ``status_port`` and ``inner_port`` are free on 127.0.0.1.
    ``extra_main``, ``extra_http`` and ``extra_stream`` are added to the main configuration's blocks. ``loads`` false leaves
    both includes out, as before an administrator added them; ``stream`` false the whole stream block and its module. ``user``
    is whom the workers run as when root starts it: they must reach a directory that may be private. ``own_session`` keeps a
    terminal's Ctrl-C from it.

    Raises FileNotFoundError where NGINX or its stream module is not installed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        extra_main: str = "",
        extra_http: str = "",
        extra_stream: str = "",
        loads: bool = True,
        stream: bool = True,
        user: str = "root",
        own_session: bool = False,
    ) -> None:
        program = nginx_program()
        if program is None:
            raise FileNotFoundError("nginx is not installed")
        self.program = program
        self.directory = directory.resolve()
        self.owned = self.directory / "lbsync"
        self.main = self.directory / "nginx.conf"
        self.http_file = self.directory / "conf.d" / "lbsync.conf"
        self.pid_file = self.directory / "nginx.pid"
        self.address = own_address()
        self.https_port = free_port(self.address)
        self.http_port = free_port(self.address)
        self.own_port = free_port(self.address)
        self.status_port = free_port("127.0.0.1")
        self.inner_port = free_port("127.0.0.1")
        self._own_session = own_session
        self._process: subprocess.Popen[bytes] | None = None
        for folder in (self.owned, self.http_file.parent, self.directory / "temp"):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        module = stream_module(program) if stream else None
        include_stream = _INCLUDE_STREAM.format(directory=self.directory) if loads else ""
        text = _MAIN.format(
            directory=self.directory,
            address=self.address,
            own_port=self.own_port,
            workers=_WORKERS,
            load_module=f"load_module {module};\n" if module else "",
            # Only root may choose: for others the directive is a warning, and warnings are judged.
            user=f"user {user};\n" if os.geteuid() == 0 else "",
            extra_main=extra_main,
            extra_http=extra_http,
            include_http=_INCLUDE_HTTP.format(directory=self.directory) if loads else "",
            stream=_STREAM.format(extra_stream=extra_stream, include_stream=include_stream) if stream else "",
        )
        self.main.write_text(text, encoding="utf-8")

    @property
    def settings(self) -> dict[str, object]:
        """``[balancers.settings]`` for it."""
        return {
            "bind_address": self.address,
            "https_port": self.https_port,
            "http_port": self.http_port,
            "status_port": self.status_port,
            "inner_port": self.inner_port,
            "directory": str(self.owned),
            "http_file": str(self.http_file),
            "config_file": str(self.main),
            "nginx": self.program,
            "reload": "signal",
            "pid_file": str(self.pid_file),
        }

    @property
    def listen(self) -> Mapping[str, object]:
        """``[balancers.listen]`` for it."""
        return {"address": self.address, "https_port": self.https_port, "http_port": self.http_port}

    @property
    def version(self) -> tuple[int, ...]:
        """``(1, 22, 1)``."""
        return nginx_version(self.program)

    @property
    def pid(self) -> int:
        """The master's process id. Raises RuntimeError while it does not run."""
        if self._process is None:
            raise RuntimeError("nginx does not run")
        return self._process.pid

    @property
    def workers(self) -> frozenset[int]:
        """Process ids of the workers that take connections; those that only finish theirs are no longer among them."""
        if self._process is None:
            return frozenset()
        return frozenset(pid for pid in _children(self._process.pid) if _title(pid) == "nginx: worker process")

    @property
    def log(self) -> str:
        """What NGINX said so far."""
        paths = (self.directory / "output.log", self.directory / "error.log")
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in paths if path.exists())

    def start(self) -> None:
        """Start it and wait until its workers take connections. Raises RuntimeError with its words when they do not."""
        self.pid_file.unlink(missing_ok=True)
        with (self.directory / "output.log").open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 -- a list, no shell
                [self.program, "-c", str(self.main), "-e", str(self.directory / "error.log"), "-g", "daemon off;"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=self._own_session,
            )
        deadline = time.monotonic() + _START_S
        while self._told_pid() != self._process.pid or len(self.workers) < _WORKERS:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"nginx did not start: {self.log}")
            time.sleep(0.02)

    def reload(self) -> None:
        """Reload as an administrator would, and wait until new workers took over from every old one.

        Raises RuntimeError with NGINX's words when it keeps the old ones: what it says of a reload it refuses is in its log
        only.
        """
        before, said = self.workers, len(self.log)
        os.kill(self.pid, signal.SIGHUP)
        deadline = time.monotonic() + _START_S
        while len(now := self.workers) < _WORKERS or now & before:
            new = self.log[said:]
            if "[emerg]" in new or time.monotonic() > deadline:
                raise RuntimeError(f"nginx did not reload: {new}")
            time.sleep(0.02)

    def restart(self) -> None:
        """Stop and start it, as an administrator would. Raises RuntimeError as ``start`` does."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """End it at once, the workers with it; twice is once."""
        process, self._process = self._process, None
        if process is None:
            return
        workers = _children(process.pid)
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)
            for pid in workers:  # a killed master takes nobody with it
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _told_pid(self) -> int | None:
        """What the pid file says; ``nginx -t`` leaves an empty one where there is none."""
        try:
            return int(self.pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _children(pid: int) -> tuple[int, ...]:
    """Process ids of the children of a process."""
    try:
        return tuple(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()))
    except OSError:
        return ()


def _title(pid: int) -> str:
    """What a process calls itself: NGINX writes what each does over its arguments, beginning with its own name.

    Words in front of that name, as of a loader that started it, stay.
    """
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
        return words.rsplit("\0", 1)[-1]
    except OSError:
        return ""
