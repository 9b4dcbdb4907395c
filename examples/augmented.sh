#!/usr/bin/env bash
# shellcheck disable=SC2034
# Compare students of a finished BERT recipe with and without augmented data, all with the same updates:
#   SEEDS="1 2 3" UPDATES=2000 COPIES=10 bash examples/augmented.sh sentence_polarity [SETTING=VALUE...]
# Rows: from the teacher; with augmented data; the same in two phases, as TinyBERT. See docs/augmentation.md.
set -euo pipefail
RECIPE=${1:?the folder of a finished recipe}
shift
# shellcheck source=/dev/null
STEPS="" source "$(dirname "${BASH_SOURCE[0]}")/$RECIPE/run.sh"
: "${UPDATES:=2000}" "${COPIES:=10}"
DATA=$OUT/augmented_data
PHASE_1="--kd-output-weight 0 --kd-embedding-weight 1 --kd-hidden-weight 1 --kd-attention-weight 1"
PHASE_1+=" --kd-attention-loss mse_sum --best-checkpoint-metric num_updates"
if [[ ! -f $OUT/teacher.pt ]]; then say augmented "error: run $RECIPE first" >&2 && exit 1; fi

augmented() {
  if [[ ! -f $DATA/augment.json ]]; then
    lightpaff augment "$OUT/data" --path "$PRETRAINING/teacher_pretrained.pt" --copies "$COPIES" --out "$DATA" >&2
  fi
  for seed in $SEEDS; do
    local settings=("seed=$seed" "updates=$UPDATES")
    START=(--init teacher)
    student "same_updates$(suffix)" "${settings[@]}"
    START=(--init teacher --data "$DATA")
    student "augmented$(suffix)" "${settings[@]}"
    student "first_phase$(suffix)" "${settings[@]}" patience=0 kd_flags="$PHASE_1"
    START=(--init "$OUT/first_phase$(suffix)/student.pt" --data "$DATA")
    student "two_phases$(suffix)" "${settings[@]}"
  done
}
lane augmented
wait -n
evaluate
