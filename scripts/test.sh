#!/usr/bin/env bash
# Run all checks: set-up if needed, ruff, mypy, shellcheck, mkdocs, pytest. Arguments go to pytest.
#   bash scripts/test.sh -k strip
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export VENV="${VENV:-$PWD/.venv}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # many small models: more threads slow them down
export NO_MKDOCS_2_WARNING=1                   # a notice about the future of mkdocs-material

say() { printf '[test] %s\n' "$*"; }

bash scripts/setup.sh
say "ruff"
"$VENV/bin/ruff" check --output-format concise .
"$VENV/bin/ruff" format --check .
say "mypy"
"$VENV/bin/mypy"
say "shellcheck"
find . -name .venv -prune -o -path ./outputs -prune -o -path ./site -prune -o \( -name '*.sh' -o -path ./.ci/run \) \
  -type f -print0 | xargs -0 "$VENV/bin/shellcheck"
say "mkdocs: a broken link is an error"
"$VENV/bin/mkdocs" build --strict --quiet
say "pytest, one process per core"
exec "$VENV/bin/python" -m pytest --numprocesses auto --dist loadfile "$@"
