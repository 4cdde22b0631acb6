#!/usr/bin/env bash
# Run the tests that drive a real HAProxy and a real NGINX against other versions of them: Debian's packages of other suites
# with the libraries they need, downloaded by apt under settings of its own and unpacked below .compat. Nothing is installed,
# no right is needed.
# compat.sh [SUITE...]; a suite that cannot be had is named and counts as not run.
set -euo pipefail
cd "$(dirname "$0")/.."
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(bookworm trixie sid)
mirror=${MIRROR:-http://deb.debian.org/debian}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
triplet=$(gcc -print-multiarch 2>/dev/null || dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo "$(uname -m)-linux-gnu")

fetch() { # SUITE: unpacks both balancers and all they need into .compat/SUITE/root
  local top=$PWD/.compat/$1
  [ ! -x "$top/haproxy" ] || [ ! -x "$top/nginx" ] || return 0
  rm -rf "$top" && mkdir -p "$top"/{state/lists/partial,cache/archives/partial,root}
  echo "deb [signed-by=$keyring] $mirror $1 main" >"$top/sources.list"
  : >"$top/status"
  local apt=(apt-get -qq -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" -o Dir::State="$top/state"
    -o Dir::State::status="$top/status" -o Dir::Cache="$top/cache" -o Dir::Etc::sourcelist="$top/sources.list"
    -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null -o Dir::Etc::preferences=/dev/null)
  "${apt[@]}" update
  # With an empty status file apt takes nothing for installed, so the closure is whole.
  "${apt[@]}" install -y --download-only --no-install-recommends haproxy nginx libnginx-mod-stream >/dev/null
  local archive
  for archive in "$top"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$archive" | tar -x -C "$top/root" --exclude './dev/*'
  done
  rm -rf "$top/cache" "$top/state"
  # HAProxy: a master that starts itself again must come through here again. NGINX does not, and needs its arguments in one
  # piece to write there what each process does.
  wrap "$top" haproxy --argv0 "$top/haproxy"
  wrap "$top" nginx
}

wrap() { # TOP PROGRAM [LOADER OPTION...]: a script that starts the program with the C library of its own suite
  local top=$1 program=$2 loader
  shift 2
  loader=$(find "$top/root" -name 'ld-linux*.so.*' -print -quit)
  cat >"$top/$program" <<WRAPPER
#!/bin/sh
exec "$loader" $* --library-path "$top/root/lib/$triplet:$top/root/usr/lib/$triplet:$top/root/usr/lib" \
  "$top/root/usr/sbin/$program" "\$@"
WRAPPER
  chmod +x "$top/$program"
}

results=()
failed=0

try() { # SUITE PROGRAM TESTS: run them with that suite's program
  local suite=$1 program=$2 tests=$3 top=$PWD/.compat/$1 told
  if [ ! -x "$top/$program" ] || ! told=$("$top/$program" -v 2>&1); then
    rm -f "$top/$program"
    results+=("$suite: $program NOT RUN (the package could not be had)")
    return
  fi
  told=${told%%$'\n'*}
  echo "== $suite: $told"
  if LBSYNC_HAPROXY=$top/haproxy LBSYNC_NGINX=$top/nginx LBSYNC_NGINX_MODULES=$top/root/usr/lib/nginx/modules \
    PATH=$top:$PATH LBSYNC_REQUIRE=$program .venv/bin/python -m pytest -q -n auto "$tests"; then
    results+=("$suite: passed on $told")
  else
    results+=("$suite: FAILED on $told")
    failed=1
  fi
}

for suite in "${suites[@]}"; do
  fetch "$suite" || echo "$suite could not be fetched" >&2
  try "$suite" haproxy tests/haproxy
  try "$suite" nginx tests/nginx
done
printf '%s\n' "" "${results[@]}"
exit $failed
