"""A reload and the wait for it, as one command on NGINX's host.

Rule of this room: the script is a constant and what it works on are its arguments. One command, since over SSH each costs two
round trips and the wait would cost some for every look.

A reload that fails says so to nobody: the command that asked for it ends well, the old workers stay, and the reason stands in
the error log. So the workers are counted before and after, and the log is read from where it ended.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lbsync.errors import Rejected
from lbsync.kit.host import Host
from lbsync_nginx.process import not_running
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.tested import emergencies

# $1 the pid file, $2 the error log or nothing, $3 seconds to wait; the rest is the command that asks for the reload, the
# master's process id after it where $4 says so. A worker's title may have the words of a loader before it.
_SCRIPT = r"""
file=$1; log=$2; limit=$3; how=$4; shift 4
pid=$(cat "$file" 2>/dev/null)
case $pid in '' | *[!0-9]*) printf 'absent\n'; exit 0 ;; esac
if ! [ -d "/proc/$pid" ]; then printf 'absent\n'; exit 0; fi
old=$(cat "$file.oldbin" 2>/dev/null)
if [ -n "$old" ] && [ -d "/proc/$old" ]; then printf 'upgrading\n'; exit 0; fi
if [ -n "$log" ] && ! [ -f "$log" ]; then log=; fi
if [ "$how" = pid ]; then set -- "$@" "$pid"; fi
taking() {
  for child in $(cat "/proc/$pid/task/$pid/children" 2>/dev/null); do
    title=$(tr '\000' ' ' <"/proc/$child/cmdline" 2>/dev/null)
    title=${title%"${title##*[! ]}"}
    case $title in *'nginx: worker process') printf '%s ' "$child" ;; esac
  done
}
emergencies() {
  if [ -n "$log" ]; then tail -c "+$((size + 1))" -- "$log" 2>/dev/null | grep -F '[emerg]' | tail -n 5; fi
}
size=0
if [ -n "$log" ]; then size=$(stat -L -c %s -- "$log" 2>/dev/null || echo 0); fi
before=" $(taking)"
words=$("$@" 2>&1) || { rc=$?; printf 'refused %s\n%s\n' "$rc" "$words"; exit 0; }
end=$(($(date +%s) + limit))
while :; do
  if ! [ -d "/proc/$pid" ]; then pid=$(cat "$file" 2>/dev/null); fi
  now=$(taking); left=
  for one in $now; do case $before in *" $one "*) left=1 ;; esac; done
  if [ -n "$now" ] && [ -z "$left" ]; then printf 'reloaded %s\n' "$size"; exit 0; fi
  said=$(emergencies)
  if [ -n "$said" ]; then printf 'failed\n%s\n' "$said"; exit 0; fi
  if [ "$(date +%s)" -ge "$end" ]; then printf 'late\n'; exit 0; fi
  sleep 0.05 2>/dev/null || sleep 1
done
"""
RELOAD_FAILED = "reload_failed"
_SLACK_S = 15.0


@dataclass(frozen=True, slots=True)
class LogMark:
    """An error log's file (``None``: it goes elsewhere) and its length in bytes at some moment."""

    path: str | None
    size: int = 0


def reload_and_wait(host: Host, settings: NginxSettings, log: str | None) -> LogMark:
    """Reload NGINX and wait until no worker of before takes connections any more; where the log ended before.

    Raises Rejected (``reload_failed``) when NGINX keeps its old workers, with its own words, Unreachable (``not_running``),
    and TargetError.
    """
    limit = math.ceil(settings.reload_timeout_s)
    how = "pid" if settings.reload == "signal" else ""
    argv = ["sh", "-c", _SCRIPT, "sh", settings.pid_file, log or "", str(limit), how, *_command(settings)]
    done = host.run(argv, timeout_s=limit + _SLACK_S)
    head, _, words = done.stdout.decode(errors="replace").partition("\n")
    outcome, _, number = head.partition(" ")
    match outcome:
        case "reloaded" if number.isdigit():
            return LogMark(log, int(number))
        case "failed":
            raise not_reloaded(settings, "; ".join(emergencies(words)))
        case "refused":
            raise not_reloaded(settings, " | ".join(words.split("\n")).strip(" |") or f"exit code {number}")
        case "absent":
            raise not_running(settings)
        case "upgrading":
            raise not_reloaded(settings, "an upgrade of its program is under way: two masters serve side by side")
        case "late":
            raise not_reloaded(settings, f"no new workers within {limit} s")
        case _:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise not_reloaded(settings, said[-1] if said else f"sh ended with {done.rc}")


def _command(settings: NginxSettings) -> list[str]:
    match settings.reload:
        case "systemd":
            return ["systemctl", "reload", settings.unit]
        case "signal":
            return ["kill", "-HUP"]
        case command:
            return list(command)


def not_reloaded(settings: NginxSettings, reason: str) -> Rejected:
    """The error for a reload that did not take."""
    return Rejected(
        f"NGINX was not reloaded: {reason}",
        where=settings.config_file,
        state="the workers before serve on",
        remedy="see NGINX's error log for what it could not do",
        code=RELOAD_FAILED,
    )
