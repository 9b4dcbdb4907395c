#!/usr/bin/env bash
# A recipe's teacher, pruned into its student: RECIPE=sentence_polarity bash examples/homodistil/run.sh
# IMPORTANCES="sensitivity platon magnitude oneshot" compares the scores, and pruning at one go; SEEDS="1 2 3"
# repeats it. Stopped at any time, it continues.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
read -ra IMPORTANCES <<<"${IMPORTANCES:-$IMPORTANCE}"
read -ra SEEDS <<<"${SEEDS:-$SEED}"
export RECIPE OUT
bash "$HOMODISTIL/../$RECIPE/prepare.sh"
bash "$HOMODISTIL/../$RECIPE/teacher.sh"
for SEED in "${SEEDS[@]}"; do
  for IMPORTANCE in "${IMPORTANCES[@]}"; do
    export SEED IMPORTANCE
    bash "$HOMODISTIL/prune.sh"
    bash "$HOMODISTIL/finetune.sh"
  done
done
bash "$HOMODISTIL/../$RECIPE/evaluate.sh"
