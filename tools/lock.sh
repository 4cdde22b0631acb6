#!/usr/bin/env bash
# Resolve the locked requirements again: one universal file with hashes and without any index's address, then proof that
# every supported Python finds a wheel for each line of it, or the sources where there is nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=true
compile=(.uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes
  --no-header --no-annotate --no-emit-index-url --no-emit-find-links "$@")
"${compile[@]}" --output-file requirements/uv.txt requirements/uv.in
"${compile[@]}" --extra all --extra otel --group dev --output-file requirements/dev.txt pyproject.toml
. tools/accepted.sh
for version in 3.11 3.12 3.13 3.14; do
  echo "Python $version: every locked package has a wheel?"
  target=$(mktemp -d)
  .uv/bin/uv pip install --quiet --dry-run "${accepted[@]}" \
    --python-version "$version" --target "$target" -r requirements/dev.txt
  rm -r "$target"
done
