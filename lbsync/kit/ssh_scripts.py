"""What is done on a host in one command instead of a dozen SFTP requests, each of which would be a round trip.

Rule of this room: the scripts are constants for a POSIX shell with the usual tools; what varies comes as positional parameters,
and contents through stdin. A script that cannot do it whole leaves nothing behind and ends with an exit code other than 0; it
never says why: SFTP then does the same step by step, and its errors are exact.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

DONE, NOT_SYNCED, EXISTS = 0, 3, 4
"""Exit codes: done; done, but the directory was not brought to the disk; refused, since the file is there already."""

_OWN: Final = """\
set -fuC
umask 077
uid= gid=
if [ -n "$owner" ]; then
  uid=$(id -u -- "$owner") || exit 1
fi
if [ -n "$group" ]; then
  line=$(getent group "$group") || exit 1
  line=${line#*:*:}
  gid=${line%%:*}
fi
own() {
  [ -z "$uid" ] || chown -- "$uid" "$1" || return 1
  [ -z "$gid" ] || chgrp -- "$gid" "$1" || return 1
  chmod -- "$mode" "$1"
}
"""

# The content is written when owner and mode are right. A connection that breaks ends stdin early: only the size tells.
WRITE: Final = (
    "path=$1 temp=$2 size=$3 mode=$4 owner=$5 group=$6 exclusive=$7 durable=$8\n"
    + _OWN
    + """\
folder=${path%/*}
fail() {
  rm -f -- "$temp"
  exit "$1"
}
if [ -z "$mode" ]; then
  mode=644
  if [ -e "$path" ]; then
    there=$(stat -L -c '%a:%u:%g' -- "$path") || exit 1
    mode=${there%%:*}
    there=${there#*:}
    uid=${uid:-${there%:*}}
    gid=${gid:-${there#*:}}
  fi
fi
rm -f -- "$temp" || exit 1
( own "$temp" && cat ) > "$temp" || fail 1
[ "$(wc -c < "$temp")" -eq "$size" ] || fail 1
[ -z "$durable" ] || sync "$temp" || fail 1
if [ -z "$exclusive" ]; then
  mv -fT -- "$temp" "$path" || fail 1
elif ln -T -- "$temp" "$path"; then
  rm -f -- "$temp"
elif [ -e "$path" ] || [ -L "$path" ]; then
  fail 4
else
  fail 1
fi
[ -z "$durable" ] || sync "${folder:-/}" || exit 3
"""
)

WRITTEN: Final = b"written\n"
"""What ``WRITE_AND_RUN`` says before it runs the command, whose words and exit code come after."""
WRITE_AND_RUN: Final = WRITE + "printf 'written\\n'\nshift 8\nexec \"$@\"\n"

LINK: Final = """\
set -fu
target=$1 path=$2 temp=$3
folder=${path%/*}
rm -f -- "$temp" || exit 1
ln -sT -- "$target" "$temp" && mv -fT -- "$temp" "$path" || {
  rm -f -- "$temp"
  exit 1
}
sync "${folder:-/}" || exit 3
"""

DIRECTORY: Final = (
    "path=$1 mode=$2 owner=$3 group=$4\n"
    + _OWN
    + """\
if [ -d "$path" ] && [ ! -L "$path" ]; then
  exit 0
fi
mkdir -- "$path" || exit 1
own "$path" || {
  rmdir -- "$path"
  exit 1
}
"""
)

# Absent is only what the nearest folder that is there lets one look into. Everything odd is left to SFTP.
READ: Final = """\
set -fu
for path do
  if [ -f "$path" ]; then
    if base64 < "$path"; then echo .; else echo '?'; fi
    continue
  fi
  said='?'
  if [ ! -e "$path" ] && [ ! -L "$path" ]; then
    up=${path%/*}
    while [ -n "$up" ] && [ ! -e "$up" ] && [ ! -L "$up" ]; do
      up=${up%/*}
    done
    if [ -d "${up:-/}" ] && [ -x "${up:-/}" ]; then
      said=-
    fi
  fi
  echo "$said"
done
"""


def command(script: str, *parameters: str) -> list[str]:
    """The argument list that runs a script with its parameters."""
    return ["sh", "-c", script, "lbsync", *parameters]


def parse_read(output: bytes, count: int) -> dict[int, bytes | None]:
    """What READ said of ``count`` files, by their number: content, or ``None`` for absent; what is unclear is left out."""
    found: dict[int, bytes | None] = {}
    number = 0
    lines: list[bytes] = []
    for line in output.split(b"\n"):
        if line not in {b".", b"-", b"?"}:
            lines.append(line)
            continue
        try:
            content = base64.b64decode(b"".join(lines), validate=True)
        except binascii.Error:
            return {}
        if line != b"?":
            found[number] = content if line == b"." else None
        number, lines = number + 1, []
    return found if number == count and lines in ([], [b""]) else {}
