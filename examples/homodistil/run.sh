#!/usr/bin/env bash
# A recipe's teacher, pruned into its student: RECIPE=sentence_polarity bash examples/homodistil/run.sh
# IMPORTANCES="sensitivity platon magnitude oneshot" compares the scores, and pruning at one go; SEEDS="1 2 3"
# repeats it. Stopped at any time, it continues.
set -euo pipefail
HOMODISTIL=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# in a process of its own: it makes arrays of variables, which the steps would then not be given
# shellcheck source=/dev/null
RECIPE=$(source "$HOMODISTIL/settings.sh" && echo "$RECIPE")
export RECIPE
read -ra IMPORTANCES <<<"${IMPORTANCES:-${IMPORTANCE:-sensitivity}}"
read -ra SEEDS <<<"${SEEDS:-${SEED:-1}}"
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
