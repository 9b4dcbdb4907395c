#!/usr/bin/env bash
# Prune a recipe's teacher into its student: RECIPE=sentence_polarity bash examples/homodistil/run.sh
# IMPORTANCES="sensitivity platon magnitude oneshot" compares the scores and one-shot pruning;
# SEEDS="1 2 3" repeats both stages. Stop it at any time and start it again: it continues.
# SCALE=paper: length 128, batch 4,096 on eight GPUs, 28,000 updates, Adam and learning rate as in the
# paper; start, end, interval and loss weights are our own choice.
set -euo pipefail
HOMODISTIL=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [[ ${SCALE:-} == paper ]]; then
  : "${RECIPE:=sst2}" "${PRUNE_TARGET:=--prune-target-params 17.3M}"
  : "${PRUNE_UPDATES:=28000}" "${PRUNE_LR:=6e-4}"
  : "${PRUNE_FLAGS:=--tokens-per-sample 128 --batch-size 64 --update-freq 8 --adam-betas (0.9,0.999)}"
fi
RECIPE=${RECIPE:-sentence_polarity}
case $RECIPE in # the size of the recipe's own student
tatoeba_sv_en | dialogsum) : "${PRUNE_TARGET:=--prune-target-params 1.32M}" ;;
wikitext2) : "${PRUNE_TARGET:=--prune-target-params 1.2M}" ;;
*) : "${PRUNE_TARGET:=--prune-target-params 0.87M}" ;;
esac
: "${PRUNE_UPDATES:=400}" "${PRUNE_LR:=1e-3}" "${PRUNE_FLAGS:=}"
: "${HIDDEN_WEIGHT:=0.1}" "${EMBEDDING_WEIGHT:=0.1}" "${KD_LAMBDA:=0.5}" "${SEEDS:=1}" "${IMPORTANCES:=sensitivity}"

# shellcheck source=/dev/null
STEPS="prepare teacher" source "$HOMODISTIL/../$RECIPE/run.sh"
source "$HOMODISTIL/prune.sh"
for seed in $SEEDS; do
  suffix=
  if [[ $seed != "${SEEDS%% *}" ]]; then suffix=_seed$seed; fi
  for importance in $IMPORTANCES; do
    lane prune "$importance" "$suffix" "$seed"
    wait -n
  done
done
evaluate
