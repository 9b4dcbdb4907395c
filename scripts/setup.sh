#!/usr/bin/env bash
# Create the virtual environment VENV (.venv) with everything lightpaff_fairseq needs, pinned by
# scripts/constraints.txt. Run again at any time: finished steps are kept.
#   PYTHON=python3.11 VENV=/some/folder bash scripts/setup.sh
# For a torch without CUDA where pip finds none: PIP_FIND_LINKS=<folder of the CPU wheel>, or
# PIP_EXTRA_INDEX_URL=<PyTorch's CPU index>.
set -euo pipefail

PYTHON="${PYTHON:-python3}"
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="${VENV:-$ROOT/.venv}"

new_enough() { "$1" -c "import sys${2:-}; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; }

# PYTHON is needed only the first time: later, the environment has its own.
if new_enough "$VENV/bin/python" ", pip"; then
  RUNNER="$VENV/bin/python"
elif new_enough "$PYTHON"; then
  RUNNER="$PYTHON"
else
  version="$("$PYTHON" --version 2>&1)" || version="no such command"
  echo "[setup] error: PYTHON=$PYTHON: expected Python 3.11 or newer, got: $version" >&2
  exit 1
fi
exec "$RUNNER" "$ROOT/scripts/make_environment.py" --python "$PYTHON" --venv "$VENV"
