#!/usr/bin/env bash
# Prune a recipe's teacher into its student: RECIPE=sentence_polarity bash examples/homodistil/run.sh
# IMPORTANCES="sensitivity platon magnitude oneshot" compares the scores and one-shot pruning;
# SEEDS="1 2 3" repeats both stages. Stop it at any time and start it again: it continues.
set -euo pipefail
HOMODISTIL=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# in a subshell: settings.sh turns variables into arrays, which the steps would not inherit
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
