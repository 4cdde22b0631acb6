#!/usr/bin/env bash
# Make sure that system packages are here: packages.sh PACKAGE...
# Installs through apt where this user may (root, or sudo without a password); names the package otherwise and goes on,
# since a test that needs it says so. No service of theirs is started, now or at the next boot.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin

present() {
  case $1 in
    haproxy | chromium) command -v "$1" >/dev/null ;;
    openssh-server) [ -x /usr/sbin/sshd ] ;;
    nginx) command -v nginx >/dev/null ;;
    # Debian's packages have it as a module of its own, others (nginx.org's) built in.
    libnginx-mod-stream) [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || nginx -V 2>&1 | grep -q -e '--with-stream\( \|$\)' ;;
    *) dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed' ;;
  esac
}

missing=()
for package in "$@"; do
  present "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

by_hand="Missing: ${missing[*]}. Install with: apt-get install ${missing[*]}"
if ! command -v apt-get >/dev/null; then
  echo "Missing: ${missing[*]}. This is no Debian or Ubuntu: install them with your system's package manager." >&2
  exit 0
elif [ "$(id -u)" -eq 0 ]; then
  root=()
elif sudo -n true 2>/dev/null; then
  root=(sudo -n)
else
  echo "$by_hand (as root; this user may not, and sudo asks for a password)" >&2
  exit 0
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  # Debian asks this file before a package starts its service; 101 is "not allowed".
  printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee $policy >/dev/null
  "${root[@]}" chmod 755 $policy
  trap '"${root[@]}" rm -f $policy' EXIT
fi

echo "Installing ${missing[*]} ..." >&2
apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null; }; then
  echo "apt-get did not succeed. $by_hand" >&2
  exit 0
fi
for package in "${missing[@]}"; do
  case $package in
    haproxy | nginx) unit=$package ;;
    openssh-server) unit=ssh ;;
    *) continue ;;
  esac
  if command -v systemctl >/dev/null; then
    "${root[@]}" systemctl disable --quiet "$unit" 2>/dev/null || echo "Note: could not disable the service $unit." >&2
  fi
done
