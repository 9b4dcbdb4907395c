#!/usr/bin/env bash
# BLEU and chrF on newstest2016 of the teacher and every finished student; also OUT/results.json.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
measure --references "$OUT/text/ro.test" --generate-flags "$GENERATE" "$@"
