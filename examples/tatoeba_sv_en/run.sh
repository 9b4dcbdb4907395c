#!/usr/bin/env bash
# All steps on two cores. Stop it at any time (Ctrl-C) and start it again: it continues.
set -euo pipefail
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" tatoeba_sv_en
