#!/usr/bin/env bash
# The locked environment in .venv, by a private uv in .uv; nothing outside this folder but uv's and pip's caches.
# Quick when up to date: stamps in .venv say what it was made from.
set -euo pipefail
cd "$(dirname "$0")/.."
# The system's certificates: where a proxy opens TLS, its CA is known to the system and not to uv.
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 UV_SYSTEM_CERTS=true
# Another environment that happens to be active must not be taken for ours.
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH

recent() { "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
    if recent "$candidate"; then
      # The interpreter itself, not a version manager's shim for it.
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  return 1
}

# Two stamps: what the packages, and what this project's own installation, were made from.
locked() { { pwd; cat requirements/dev.txt; } | sha256sum; }
installed() { { pwd; cat pyproject.toml; } | sha256sum; }
holds() { [ "$(cat ".venv/.$1" 2>/dev/null)" = "$($1)" ]; }

if holds locked && holds installed && .venv/bin/python -c '' 2>/dev/null; then
  exit 0
fi

if ! python=$(find_python); then
  tools/packages.sh python3 python3-venv
  if ! python=$(find_python); then
    echo "Python 3.11 or newer is needed (Debian 12 and Ubuntu 24.04 have it as python3)." >&2
    exit 1
  fi
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  package=$("$python" -c 'import sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")')
  tools/packages.sh "$package"
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "$python cannot make virtual environments: install the package $package, then run this again." >&2
    exit 1
  fi
fi

if ! .uv/bin/uv --version >/dev/null 2>&1 || ! cmp -s requirements/uv.txt .uv/.made-from; then
  echo "Setting up: uv ..." >&2
  "$python" -m venv --clear .uv
  .uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/uv.txt
  cp requirements/uv.txt .uv/.made-from
fi

if ! holds locked || ! recent .venv/bin/python; then
  echo "Setting up: the locked packages ..." >&2
  if ! recent .venv/bin/python || [ "$(cat .venv/.made-in 2>/dev/null)" != "$PWD" ]; then
    # Commands in an environment name its folder: one that was moved or copied is made anew.
    .uv/bin/uv venv --quiet --clear --python "$python" .venv
    pwd >.venv/.made-in
  fi
  # Exactly these packages, as `uv pip sync` would have it, but in two steps: the wheels, then what they build.
  . tools/accepted.sh
  .uv/bin/uv pip install --quiet --python .venv/bin/python --exact --no-deps "${accepted[@]}" -r requirements/dev.txt
  locked >.venv/.locked
fi
# The build backend is among the locked packages: no isolation, so nothing is fetched without a hash.
.uv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --no-index --editable .
installed >.venv/.installed
