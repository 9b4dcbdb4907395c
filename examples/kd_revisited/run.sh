#!/usr/bin/env bash
# Run the sweep on one data set: bash examples/kd_revisited/run.sh sentence_polarity   (or tatoeba_sv_en)
# Trains the teacher and the pre-trained students with the recipe's steps, then every point of the
# grid, and writes table and plot. Stop it at any time and start it again; start it in two terminals for two cores.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
RECIPE=${1:?sentence_polarity or tatoeba_sv_en}
export OUT=${OUT:-$HERE/../../outputs/kd_revisited/$RECIPE}
read -ra SEEDS <<<"${SEEDS:-1 2 3}"
# shellcheck source=/dev/null
source "$HERE/settings/$RECIPE.sh"

mkdir -p "$OUT"
exec {lock}>"$OUT/lock"
flock "$lock" # a second terminal waits here for the models
for step in prepare teacher pretrain; do bash "$HERE/../$RECIPE/$step.sh"; done
KD_LAMBDA=0 bash "$HERE/../$RECIPE/pretrain.sh"
exec {lock}>&-

sweep_settings # sets SHAPES PRUNED SPLITS METRIC ARCH FLAGS TEACHER_ARCH
read -r -d "" -a VARY <<<"${VARY:-$DEFAULT_VARY}" || true # several lines, too
python "$HERE/sweep.py" --recipe "$OUT" --out "$OUT/sweep" --arch "$ARCH" "${SHAPES[@]/#/--shape=}" \
  "${PRUNED[@]/#/--pruned=}" \
  --teacher-arch "$TEACHER_ARCH" --split "${SPLITS[@]}" --vary "${VARY[@]}" \
  --seeds "${SEEDS[@]}" -- "${FLAGS[@]}"
python "$HERE/report.py" --sweep "$OUT/sweep" --metric "$METRIC" --vary "${VARY[@]}"
