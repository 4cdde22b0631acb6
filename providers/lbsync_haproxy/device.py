"""One HAProxy and its host, opened: what effects and checks share.

Rule of this room: it looks, and reloads; which files and entries change is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping

from lbsync.costs import Entry
from lbsync.errors import Rejected, TargetError
from lbsync.kit.host import Completed, Host
from lbsync.kit.pools import pools_of
from lbsync.kit.waiting import wait_for
from lbsync.target import BalancerSpec
from lbsync_haproxy import layout, wire
from lbsync_haproxy.disk import read_disk, read_text
from lbsync_haproxy.host_view import read_host, refuses_warnings
from lbsync_haproxy.judge import Seen
from lbsync_haproxy.layout import Layout
from lbsync_haproxy.load import load_of
from lbsync_haproxy.pools import modes_of, pool_name
from lbsync_haproxy.runtime import Running, Runtime
from lbsync_haproxy.settings import HaproxySettings
from lbsync_haproxy.states import Place, not_ready, state_text
from lbsync_haproxy.wire import ServerRow

_RELOAD_NOTICED_S = 3.0


class Device:
    """A balancer of ``spec`` on ``host``."""

    def __init__(self, spec: BalancerSpec, settings: HaproxySettings, host: Host) -> None:
        self.spec = spec
        self.settings = settings
        self.host = host
        self.home = Layout(settings.directory)
        self.runtime = Runtime(host, settings.socket)

    def look(self) -> Running:
        """The running worker. Raises Unreachable where HAProxy does not answer."""
        return self.runtime.look(self.home.map, self.home.live)

    def see(self) -> Seen:
        """Everything at once; a silent HAProxy is a value. Raises TargetError where the host itself cannot be asked."""
        disk = read_disk(self.host, self.home)  # first: where the host is out of reach this says so
        running: Running | None = None
        silence = ""
        try:
            running = self.look()
        except TargetError as error:
            silence = error.message
        return Seen(disk, running, silence, read_host(self.host, self.settings, running.pid if running else None))

    def load(self) -> tuple[Entry, ...]:
        """What the running worker says it does. Raises TargetError where it does not answer."""
        info, stat = wire.parse_info(self.runtime.ask("show info")), wire.parse_stat(self.runtime.ask("show stat"))
        pools = {pool_name(service, mode) for service, mode in pools_of(self.spec.services)}
        return load_of(self.spec.name, info, stat, pools)

    def rows(self, running: Running, server: str) -> tuple[ServerRow, ...]:
        """One server in every pool of ours that is loaded."""
        pools = {pool_name(service, mode) for service, mode in pools_of(self.spec.services)}
        return tuple(row for row in running.rows if row.server == server and row.pool in pools)

    def live_pools(self, running: Running) -> dict[str, str]:
        """Service to the pool it is routed to now."""
        modes = modes_of(running.map or {}, self.spec.services)
        return {service.value: pool_name(service, mode) for service, mode in modes.items()}

    def pool_rows(self, running: Running, pool: str) -> tuple[ServerRow, ...]:
        """Every server of one pool."""
        return tuple(row for row in running.rows if row.pool == pool)

    def is_up(self, running: Running, pool: str) -> bool:
        """Whether a pool has a server that takes requests."""
        return any(takes_requests(row) for row in self.pool_rows(running, pool))

    def reload(self, changed: Mapping[str, str] | None = None) -> None:
        """Reload and wait for a new worker that answers; it begins with the servers drained that are so now.

        ``changed`` gives servers another state (``drain``, ``ready``) in the new worker alone, from its first connection on.
        Raises Rejected (``reload_failed``) when HAProxy keeps its old worker, Unreachable when it does not run.
        """
        before = self.look()
        states, quiet = not_ready(before.rows, changed), refuses_warnings(self.host, self.settings)
        held = read_text(self.host, self.home, layout.STATES)
        self._write_states(before, states, quiet=quiet)
        try:
            self._replace(before.pid)
        except TargetError:
            # A worker that is late after all begins as this one went on.
            self.write_state_text(held)
            raise
        now = self.look()
        if quiet:
            self._write_states(now, {})
        # What the file could not say: a configuration of before this file, servers of the administrator's own.
        due = [(row, state) for row in now.rows if (state := states.get((row.pool, row.server))) is not None]
        self.runtime.set_servers((row.pool, row.server, state) for row, state in due if row.kept != state)

    def keep_states(self) -> None:
        """Have the next worker, whoever starts it, begin with the servers drained that are so now. Raises TargetError."""
        running = self.look()
        quiet = refuses_warnings(self.host, self.settings)
        self._write_states(running, {} if quiet else not_ready(running.rows))

    def write_state_text(self, text: str | None) -> None:
        """The server state file as given; ``None``: absent. Raises TargetError."""
        if text is None:
            self.host.remove(self.home.states)
        elif text != read_text(self.host, self.home, layout.STATES):
            owner, group = self.settings.owner, self.settings.group
            self.host.write_file(self.home.states, text.encode(), owner=owner, group=group)

    def _write_states(self, running: Running, states: Mapping[Place, str], *, quiet: bool = False) -> None:
        configuration = read_text(self.host, self.home, layout.CFG)
        if configuration is None or self.home.states not in configuration:
            return  # nothing of ours is loaded next, or what an older lbsync wrote
        self.write_state_text(state_text(configuration, running.first_id, states, quiet=quiet))

    def _replace(self, pid: int) -> None:
        """Have HAProxy begin another worker than ``pid``. Raises as ``reload``."""
        failed = self._failed_reloads(_RELOAD_NOTICED_S)
        done = self._tell()
        if done is not None and done.rc != 0:
            raise self._not_reloaded(said(done))

        def replaced() -> bool:
            if self.runtime.pid() != pid:
                return True
            now = self._failed_reloads()
            if failed is not None and now is not None and now > failed:
                raise self._not_reloaded("the new worker did not start, as when another process has the address")
            return False

        if not wait_for(replaced, self.settings.reload_timeout_s):
            raise self._not_reloaded(f"no new worker within {self.settings.reload_timeout_s:g} s")

    def check_configuration(self, directory: str) -> tuple[str, ...]:
        """``haproxy -c`` on the administrator's files with ``directory`` instead of ours; returns its warnings.

        Raises Rejected (``config``) with HAProxy's own words.
        """
        argv = [self.settings.haproxy, "-c"]
        for path in (*self.settings.config_files, directory):
            argv += ["-f", path]
        done = self.host.run(argv)
        words = said(done).replace(directory, self.home.directory)
        if done.rc != 0:
            raise Rejected(
                f"HAProxy does not accept the configuration: {words}",
                where=self.home.directory,
                state="the files are as they were, HAProxy was not reloaded",
                remedy="correct what it names: in its own files, or in lbsync's configuration",
                code="config",
            )
        return tuple(line for line in words.split(" | ") if "[WARNING]" in line)

    def _tell(self) -> Completed | None:
        """Ask for the reload; ``None`` where no command answers for it."""
        match self.settings.reload:
            case "systemd":
                return self.host.run(["systemctl", "reload", self.settings.unit])
            case "master-socket":
                self.host.unix_request(self.settings.master_socket or "", b"reload\n", self.settings.reload_timeout_s)
                return None
            case "signal":
                pid = (self.host.read_file(self.settings.pid_file or "") or b"").split()
                if not pid or not pid[0].isdigit():
                    raise self._not_reloaded(f"{self.settings.pid_file} holds no process id")
                return self.host.run(["kill", "-USR2", pid[0].decode()])
            case command:
                return self.host.run(command)

    def _failed_reloads(self, patience_s: float = 0.0) -> int | None:
        """``None`` where the master does not say. It replaces itself at a reload: it is waited for so long to listen again."""
        path = self.settings.master_socket
        answers: list[bytes] = []

        def answered() -> bool:
            if path is not None:
                answers.append(self.host.unix_request(path, b"show proc\n", _RELOAD_NOTICED_S))
            return True

        wait_for(answered, patience_s)
        return wire.failed_reloads(answers[0].decode(errors="replace")) if answers else None

    def _not_reloaded(self, reason: str) -> Rejected:
        return Rejected(
            f"HAProxy was not reloaded: {reason}",
            where=self.spec.name,
            state="the worker before serves on",
            remedy="see HAProxy's log (journalctl -u haproxy)",
            code="reload_failed",
        )


def takes_requests(row: ServerRow) -> bool:
    """Up, and neither drained nor in maintenance."""
    return row.up and row.state == "ready"


def said(done: Completed) -> str:
    """A command's words on one line."""
    text = (done.stderr + b"\n" + done.stdout).decode(errors="replace")
    return " | ".join(line.strip() for line in text.splitlines() if line.strip() and "[NOTICE]" not in line)
