#!/usr/bin/env bash
# Run the sweep on one data set: bash examples/kd_revisited/run.sh sentence_polarity   (or tatoeba_sv_en)
# Trains the recipe's teacher and two pre-trained students, then every point of the grid, and writes table
# and plot. Stop it at any time and start it again; start it in two terminals for two cores.
set -euo pipefail
SWEEP=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
RECIPE=${1:?sentence_polarity or tatoeba_sv_en}
export OUT=${OUT:-$SWEEP/../../outputs/kd_revisited/$RECIPE}
read -ra SEEDS <<<"${SEEDS:-1 2 3}"
# shellcheck source=/dev/null
source "$SWEEP/settings/$RECIPE.sh"

mkdir -p "$OUT"
exec {lock}>"$OUT/lock"
flock "$lock" # a second terminal waits here for the models
# shellcheck source=/dev/null
STEPS="prepare teacher" source "$SWEEP/../$RECIPE/run.sh"
pretrain() { # NAME KD_FLAG...
  stage "$PRETRAIN_ARCH$STUDENT" "$STUDENT_PRETRAIN"
  lane train "student_pretrained_$1" "${PRETRAIN[@]}" "${MODEL[@]}" "${@:2}"
  wait -n
}
pretrain kd --kd-lambda 0.5 --kd-teacher "$OUT/teacher_pretrained.pt"
pretrain plain --kd-lambda 0
exec {lock}>&-

sweep_settings # sets SHAPES PRUNED SPLITS METRIC ARCH FLAGS TEACHER_ARCH
read -r -d "" -a VARY <<<"${VARY:-$DEFAULT_VARY}" || true # several lines, too
python "$SWEEP/sweep.py" --recipe "$OUT" --out "$OUT/sweep" --arch "$ARCH" "${SHAPES[@]/#/--shape=}" \
  "${PRUNED[@]/#/--pruned=}" \
  --teacher-arch "$TEACHER_ARCH" --split "${SPLITS[@]}" --vary "${VARY[@]}" \
  --seeds "${SEEDS[@]}" -- "${FLAGS[@]}"
python "$SWEEP/report.py" --sweep "$OUT/sweep" --metric "$METRIC" --vary "${VARY[@]}"
