"""Workers from before the last reload: who is still with them and may yet be sent to a server.

Rule of this room: reads only, by one command on NGINX's host: a busy one has tens of thousands of connections.

A worker that is shutting down takes no connection any more, but keeps those whose first request is still to come, and goes by
its own configuration when it comes: a server that has no connection left may get one of those after all. Tried on 1.22: a
client that greeted and did not ask is served for ``client_header_timeout``; in a stream, by NGINX's documentation, one that did
not finish its greeting for ``ssl_handshake_timeout``. Whoever has asked has a connection of his own to a server, which is counted
there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lbsync.kit.endpoints import established
from lbsync.kit.host import Host
from lbsync.target import BalancerSpec
from lbsync_nginx.blocks import GREETING_S
from lbsync_nginx.health import addresses_of
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.tables import clients_at, read_connections_to

# $1 the pid file, $2 which rows of the kernel's tables are clients'. A worker's title may have the words of a loader before it.
# Field 22 of stat is when a process was started; it is the 20th behind the name in parentheses.
_SCRIPT = r"""
pid=$(cat "$1" 2>/dev/null)
case $pid in '' | *[!0-9]*) exit 0 ;; esac
owned=
for child in $(cat "/proc/$pid/task/$pid/children" 2>/dev/null); do
  title=$(tr '\000' ' ' <"/proc/$child/cmdline" 2>/dev/null)
  title=${title%"${title##*[! ]}"}
  case $title in
    *'nginx: worker process')
      printf 'taking %s\n' "$(sed 's/.*) //' "/proc/$child/stat" 2>/dev/null | cut -d ' ' -f 20)" ;;
    *'nginx: worker process is shutting down')
      if [ -r "/proc/$child/fd" ]; then
        owned="$owned $(ls -l "/proc/$child/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p')"
      elif [ -d "/proc/$child/fd" ]; then printf 'hidden\n'
      fi ;;
  esac
done
printf 'up %s\n' "$(cut -d ' ' -f 1 /proc/uptime)"
if [ -z "$owned" ]; then exit 0; fi
printf 'owned %s\n' $owned
clients=$(grep -hsE "$2" /proc/net/tcp /proc/net/tcp6 | sed 's/^ *//' | tr -s ' ' | cut -d ' ' -f 10 | sort -u)
printf 'client %s\n' $({ printf '%s\n' $clients; printf '%s\n' $owned | sort -u; } | sort | uniq -d)
"""
_LONGEST_S = GREETING_S + 15.0
_TICKS_PER_S = 100  # as in ``process``
_KEYS = ("taking", "up", "owned", "client")
_INODE = 9


@dataclass(frozen=True, slots=True)
class Ending:
    """One look. ``age_s`` is how long ago the last reload was, ``None`` where that cannot be seen.

    ``hidden``: their connections cannot be seen, for want of rights. ``sockets`` are all they hold, ``clients`` those of clients.
    """

    age_s: float | None
    hidden: bool
    sockets: frozenset[str]
    clients: frozenset[str]


def to_come(host: Host, spec: BalancerSpec, settings: NginxSettings) -> str:
    """Why a server may yet be sent something by a worker from before the last reload; empty where that is over.

    Raises TargetError where the host cannot be asked.
    """
    seen = _look(host, settings)
    if seen.age_s is None or seen.age_s > _LONGEST_S:
        return ""
    if seen.hidden:
        left = math.ceil(_LONGEST_S - seen.age_s)
        return f"what old workers hold cannot be seen without root, so their clients get {left} s to ask for something"
    if not seen.clients:
        return ""
    waiting = len(seen.clients) - _passed_on(host, spec, settings, seen.sockets)
    who = "1 client" if waiting == 1 else f"{waiting} clients"
    return f"{who} of old workers did not ask for anything yet and may be sent there" if waiting > 0 else ""


def _look(host: Host, settings: NginxSettings) -> Ending:
    ports = [settings.https_port, settings.inner_port] if settings.mrsproxy_host else [settings.https_port]
    done = host.run(["sh", "-c", _SCRIPT, "sh", settings.pid_file, clients_at(ports)])
    words = [line.split() for line in done.stdout.decode(errors="replace").splitlines()]
    told = {key: [word[1] for word in words if len(word) > 1 and word[0] == key] for key in _KEYS}
    up, starts = told["up"], [int(word) for word in told["taking"] if word.isdigit()]
    return Ending(
        age_s=float(up[0]) - min(starts) / _TICKS_PER_S if up and starts else None,
        hidden=["hidden"] in words,
        sockets=frozenset(told["owned"]),
        clients=frozenset(told["client"]),
    )


def _passed_on(host: Host, spec: BalancerSpec, settings: NginxSettings, sockets: frozenset[str]) -> int:
    """How many of these sockets lead on: to a server, or to our listener behind the fork by name."""
    places = [(member.address, port) for member in spec.members for port in (member.http_port, member.https_port)]
    places += [("127.0.0.1", settings.inner_port)] if settings.mrsproxy_host else []
    title, *rows = read_connections_to(host, {port for _, port in places}).splitlines()
    table = "\n".join([title, *_held(rows, sockets)])
    return sum(established([table], address, port) for name, port in places for address in addresses_of(host, name))


def _held(rows: Iterable[str], sockets: frozenset[str]) -> Iterable[str]:
    return (row for row in rows if len(fields := row.split()) > _INODE and fields[_INODE] in sockets)
