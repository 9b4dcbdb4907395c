#!/usr/bin/env bash
# ROUGE against the three references of the test set of the teacher and every finished student; also OUT/results.json.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
measure --metrics rouge1 rouge2 rougeL --beam 5 --references "$OUT/text/reference"{1,2,3} \
  --generate-flags "$GENERATE --no-repeat-ngram-size 3" "$@"
