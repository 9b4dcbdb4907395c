#!/usr/bin/env bash
# A recipe's teacher, pruned into its student: RECIPE=sentence_polarity bash examples/homodistil/run.sh
# IMPORTANCES="sensitivity platon magnitude" compares the scores. Stopped at any time, it continues.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
read -ra IMPORTANCES <<<"${IMPORTANCES:-$IMPORTANCE}"
export RECIPE OUT
bash "$HOMODISTIL/../$RECIPE/prepare.sh"
bash "$HOMODISTIL/../$RECIPE/teacher.sh"
for IMPORTANCE in "${IMPORTANCES[@]}"; do
  export IMPORTANCE
  bash "$HOMODISTIL/prune.sh"
  bash "$HOMODISTIL/finetune.sh"
done
bash "$HOMODISTIL/../$RECIPE/evaluate.sh"
