# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# Sourced by the steps. RECIPE is the folder whose teacher is pruned; all values can be set from the
# environment. SCALE=paper: length 128, batch 4,096 on eight GPUs, 28,000 updates, Adam and learning rate
# as in the paper; start, end, interval and loss weights are our own choice.
HOMODISTIL=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [[ ${SCALE:-} == paper ]]; then
  : "${RECIPE:=sst2}" "${PRUNE_TARGET:=--prune-target-params 17.3M}"
  : "${PRUNE_UPDATES:=28000}" "${PRUNE_LR:=6e-4}"
  : "${PRUNE_FLAGS:=--tokens-per-sample 128 --batch-size 64 --update-freq 8 --adam-betas (0.9,0.999)}"
fi
RECIPE=${RECIPE:-sentence_polarity}
# shellcheck source=/dev/null
source "$HOMODISTIL/../$RECIPE/settings.sh"
# the size of the recipe's own student
if [[ $RECIPE == tatoeba_sv_en ]]; then : "${PRUNE_TARGET:=--prune-target-params 1.01M}"; fi
: "${PRUNE_TARGET:=--prune-target-params 0.64M}" "${IMPORTANCE:=sensitivity}"
: "${PRUNE_UPDATES:=400}" "${PRUNE_LR:=1e-3}" "${PRUNE_FLAGS:=}"
: "${HIDDEN_WEIGHT:=0.1}" "${EMBEDDING_WEIGHT:=0.1}" "${KD_LAMBDA:=0.5}"
: "${STUDENT_FINETUNE_UPDATES:=4000}" "${STUDENT_FINETUNE_LR:=2e-3}"
read -ra PRUNE_TARGET <<<"$PRUNE_TARGET"
read -ra PRUNE_FLAGS <<<"$PRUNE_FLAGS"
PRETRAINING=${PRETRAINING:-$OUT}
PRUNED=pruned_$IMPORTANCE SEED=${SEED:-1} SUFFIX=
if [[ $SEED != 1 ]]; then SUFFIX=_seed$SEED; fi

if ! declare -F model >/dev/null; then # tatoeba_sv_en has a form of its own
  PRETRAIN+=("${TRAIN[@]}") FINETUNE+=("${TRAIN[@]}")
  PRETRAIN_ARCH=mass_ FINETUNE_ARCH=transformer_mass_
  model() { # SIZE UPDATES LR ARCH_PREFIX, as in stages.sh
    length "$2"
    MODEL=(--arch "$4${TEACHER[0]}" "${TEACHER[@]:1}" "${LENGTH[@]}" --lr "$3")
  }
fi
