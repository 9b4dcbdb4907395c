#!/usr/bin/env bash
# All checks: set-up if needed, ruff, mypy, shellcheck, pytest. Arguments go to pytest.
#   bash scripts/test.sh -k strip
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export VENV="${VENV:-$PWD/.venv}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # many small models: more threads only get in the way

say() { printf '[test] %s\n' "$*"; }

bash scripts/setup.sh
say "ruff"
"$VENV/bin/ruff" check --output-format concise .
"$VENV/bin/ruff" format --check .
say "mypy"
"$VENV/bin/mypy"
say "shellcheck"
find . -name .venv -prune -o -path ./outputs -prune -o \( -name '*.sh' -o -path ./.ci/run \) \
  -type f -print0 | xargs -0 "$VENV/bin/shellcheck"
say "pytest, a process a core"
exec "$VENV/bin/python" -m pytest --numprocesses auto --dist loadfile "$@"
