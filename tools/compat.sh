#!/usr/bin/env bash
# Run the tests that drive a real HAProxy against newer ones: Debian's packages of other suites with the libraries they need,
# downloaded by apt under settings of its own and unpacked below .compat. Nothing is installed, no right is needed.
# compat.sh [SUITE...]; a suite that cannot be had is named and counts as not run.
set -euo pipefail
cd "$(dirname "$0")/.."
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(bookworm trixie sid)
mirror=${MIRROR:-http://deb.debian.org/debian}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
triplet=$(gcc -print-multiarch 2>/dev/null || dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo "$(uname -m)-linux-gnu")

fetch() { # SUITE: unpacks haproxy and all it needs into .compat/SUITE/root
  local top=$PWD/.compat/$1
  [ ! -x "$top/haproxy" ] || return 0
  rm -rf "$top" && mkdir -p "$top"/{state/lists/partial,cache/archives/partial,root}
  echo "deb [signed-by=$keyring] $mirror $1 main" >"$top/sources.list"
  : >"$top/status"
  local apt=(apt-get -qq -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" -o Dir::State="$top/state"
    -o Dir::State::status="$top/status" -o Dir::Cache="$top/cache" -o Dir::Etc::sourcelist="$top/sources.list"
    -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null -o Dir::Etc::preferences=/dev/null)
  "${apt[@]}" update
  # With an empty status file apt takes nothing for installed, so the closure is whole.
  "${apt[@]}" install -y --download-only --no-install-recommends haproxy >/dev/null
  local archive
  for archive in "$top"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$archive" | tar -x -C "$top/root" --exclude './dev/*'
  done
  rm -rf "$top/cache" "$top/state"
  local loader
  loader=$(find "$top/root" -name 'ld-linux*.so.*' -print -quit)
  # Its own C library too. --argv0: a master that starts itself again must come through here again.
  cat >"$top/haproxy" <<WRAPPER
#!/bin/sh
exec "$loader" --argv0 "$top/haproxy" --library-path "$top/root/lib/$triplet:$top/root/usr/lib/$triplet:$top/root/usr/lib" \
  "$top/root/usr/sbin/haproxy" "\$@"
WRAPPER
  chmod +x "$top/haproxy"
}

results=()
failed=0
for suite in "${suites[@]}"; do
  if ! fetch "$suite" || ! told=$(".compat/$suite/haproxy" -v); then
    rm -f ".compat/$suite/haproxy"
    results+=("$suite: NOT RUN (the package could not be had)")
    continue
  fi
  told=${told%%$'\n'*}
  echo "== $suite: $told"
  if LBSYNC_HAPROXY=$PWD/.compat/$suite/haproxy PATH=$PWD/.compat/$suite:$PATH LBSYNC_REQUIRE=haproxy .venv/bin/python -m pytest -q -n auto tests/haproxy; then
    results+=("$suite: passed on $told")
  else
    results+=("$suite: FAILED on $told")
    failed=1
  fi
done
printf '%s\n' "" "HAProxy:" "${results[@]}"
exit $failed
