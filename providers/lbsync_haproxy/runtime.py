"""HAProxy's Runtime API on the stats socket, and the master's.

Rule of this room: an answer counts only when it says what success says; silence is doubt. One connection per command.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from lbsync.errors import Rejected, Unreachable
from lbsync.kit.host import Host
from lbsync_haproxy import wire
from lbsync_haproxy.pools import CLOSED, HTTPS_FRONTEND
from lbsync_haproxy.render import STRUCTURE_VARIABLE
from lbsync_haproxy.wire import ServerRow


@dataclass(frozen=True, slots=True)
class Running:
    """A running worker, in one look. ``map`` and ``thumbprint`` are ``None`` where ours are not loaded.

    ``clients`` counts connections at our TLS listener, idle ones too; ``first_id`` is that listener's number, 0 without it.
    """

    version: str
    pid: int
    level: str
    proxies: frozenset[str]
    rows: tuple[ServerRow, ...]
    structure: str | None
    map: dict[str, str] | None
    thumbprint: str | None
    clients: int
    first_id: int

    @property
    def loaded(self) -> bool:
        """Our TLS listener is there."""
        return HTTPS_FRONTEND in self.proxies


class Runtime:
    """Commands to one worker; ``path`` is a stats socket on ``host``.

    ``prefix`` names the worker before each command where ``path`` is the master's socket (``@!PID``).
    """

    def __init__(self, host: Host, path: str, prefix: str = "") -> None:
        self._host = host
        self._path = path
        self._prefix = prefix

    def ask(self, command: str, payload: bytes | None = None) -> str:
        """One command's answer, stripped. ``payload`` must hold no empty line (it would end there).

        Raises Unreachable where nobody answers, Denied where the socket may not be opened.
        """
        data = f"{self._prefix}{command}\n".encode()
        if payload is not None:
            # Exactly one empty line ends the payload; a second would be taken for a command.
            data = f"{self._prefix}{command} <<\n".encode() + payload.rstrip(b"\n") + b"\n\n"
        return self._host.unix_request(self._path, data).decode(errors="replace").strip()

    def _ask_all(self, commands: Iterable[str]) -> str:
        """In one connection: over SSH each costs a round trip and a process."""
        return self.ask(f";{self._prefix}".join(commands))

    def look(self, map_path: str, live_path: str) -> Running:
        """Everything lbsync wants to know of the running worker. Raises as ``ask``."""
        commands = (
            "show info",
            "show stat",
            "show servers state",
            "show cli level",
            f"show env {STRUCTURE_VARIABLE}",
            f"show map {map_path}",
            f"show ssl cert {live_path}",
        )
        answers = wire.Answers(self._ask_all(commands))
        info = wire.parse_info(answers.beginning("Name:"))
        stat = wire.parse_stat(answers.beginning("# pxname"))
        rows = wire.server_rows(stat, wire.parse_state(answers.holding("\n# be_id")))
        proxies = frozenset(row["pxname"] for row in stat)
        ours = HTTPS_FRONTEND in proxies
        listener = next((row for row in stat if row["pxname"] == HTTPS_FRONTEND), {})
        name, _, value = answers.beginning(f"{STRUCTURE_VARIABLE}=").partition("=")
        return Running(
            version=info.get("Version", ""),
            pid=self.pid(info),
            level=answers.one_of("admin", "operator", "user"),
            proxies=proxies,
            rows=rows,
            # The variable outlives a configuration that was removed: it counts only with our listener.
            structure=value if ours and name == STRUCTURE_VARIABLE else None,
            map=wire.parse_map(answers.beginning("0x")) if ours else None,
            thumbprint=wire.parse_thumbprint(answers.holding("SHA1 FingerPrint:")) if ours else None,
            clients=int(listener.get("scur") or 0),
            first_id=int(listener.get("iid") or 0),
        )

    def pid(self, info: dict[str, str] | None = None) -> int:
        """The worker's process id. Raises Unreachable where the answer is none."""
        found = (info or wire.parse_info(self.ask("show info"))).get("Pid", "")
        if not found.isdigit():
            raise Unreachable("HAProxy gave no answer to show info", where=self._path)
        return int(found)

    def set_map(self, map_path: str, key: str, value: str) -> None:
        """Change an entry that exists. Raises Rejected. An unknown backend is accepted by HAProxy: check it before."""
        answer = self.ask(f"set map {map_path} {key} {value}")
        if answer:
            raise Rejected(f"HAProxy refused set map: {answer}", where=f"{map_path} {key}", code="set_map")

    def set_servers(self, states: Iterable[tuple[str, str, str]]) -> None:
        """Pool, server and ``ready``, ``drain`` or ``maint``; all in one connection. Raises Rejected."""
        commands = [f"set server {pool}/{server} state {state}" for pool, server, state in states]
        answer = self._ask_all(commands) if commands else ""
        if answer:
            said = " ".join(answer.split())
            raise Rejected(f"HAProxy refused set server: {said}", where=self._path, code="set_server")

    def close(self, map_path: str, server: str, pools: Container[str]) -> None:
        """Have a worker of before a reload send nothing on any more, and end what is at a server. Raises as ``ask``.

        Such a worker refuses ``set server`` and ``shutdown sessions server`` ("Proxy is disabled").
        """
        self.ask(f"add map {map_path} {CLOSED} {CLOSED}")
        commands = [f"shutdown session {number}" for number in wire.sessions_at(self.ask("show sess"), server, pools)]
        if commands:
            self._ask_all(commands)

    def abandon_own(self, name: str) -> None:
        """Abort a transaction on our own certificate, which only a killed run of ours can have left."""
        if name in wire.open_transactions(self.ask("show ssl cert")):
            self.ask(f"abort ssl cert {name}")

    def swap_certificate(self, name: str, pem: bytes, thumbprint: str) -> None:
        """Replace a loaded certificate in memory; what is in doubt is aborted. Raises Rejected, with nothing changed.

        ``name`` must be as ``show ssl cert`` lists it; ``thumbprint`` is the SHA-1 of the new leaf.
        """
        busy = wire.open_transactions(self.ask("show ssl cert"))
        if busy:
            # With a transaction open on one file, 2.6 writes a `set` for another into that one.
            raise Rejected(
                f"another certificate transaction is open in HAProxy: {', '.join(busy)}",
                where=name,
                state="the certificate served is the one before",
                remedy=f"finish it, or end it with `abort ssl cert {busy[0]}` on the stats socket",
                code="transaction_open",
            )
        answer = self.ask(f"set ssl cert {name}", pem)
        if "Transaction created" not in answer:
            self._abort(name, answer or "no answer, as when the certificate is larger than tune.bufsize")
        held = wire.parse_thumbprint(self.ask(f"show ssl cert *{name}"))
        if held != thumbprint:
            self._abort(name, f"the transaction holds {held}, not {thumbprint}")
        answer = self.ask(f"commit ssl cert {name}")
        if "Success!" not in answer:
            self._abort(name, answer)
        served = wire.parse_thumbprint(self.ask(f"show ssl cert {name}"))
        if served != thumbprint:
            raise Rejected(
                f"HAProxy said success but holds {served}",
                where=name,
                state="unclear",
                remedy="reload HAProxy",
                code="commit",
            )

    def _abort(self, name: str, reason: str) -> None:
        self.ask(f"abort ssl cert {name}")
        said = " ".join(reason.split())
        raise Rejected(
            f"HAProxy did not take the certificate: {said}",
            where=name,
            state="the certificate served is the one before",
            code="certificate",
        )
