#!/usr/bin/env bash
# Distill the Swedish-English teacher that ships with examples/tatoeba_sv_en into a student five times
# smaller, train the same student without distillation, serve the student with int8 weights, and
# compare. Takes about eleven minutes on two idle cores after set-up. Run it again after a stop: finished
# steps are reused, an interrupted one continues. Arguments are settings of lightpaff distill:
#   bash scripts/demo.sh updates=500 --out /some/folder
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RECIPE=$ROOT/examples/tatoeba_sv_en
export OUT=${OUT:-$ROOT/outputs/demo}
if [[ -z ${BIN:-} ]]; then bash "$ROOT/scripts/setup.sh"; fi # returns at once if nothing is missing
export BIN=${BIN:-$ROOT/.venv/bin} OMP_NUM_THREADS=1 SUBWORDS=shipped

bash "$RECIPE/prepare.sh"
# The plan's own choice is twice the updates with one decoder layer, on the teacher's
# translations (docs/distill.md): after a training this short, all decoder layers are worth more.
exec "$BIN/lightpaff" distill --config "$RECIPE/config.yaml" --teacher "$RECIPE/teacher/teacher.pt" \
  --data "$OUT/data" --sentencepiece-model "$OUT/spm.model" --out "$OUT/distilled" \
  --baseline --decoder-layers 3 --updates 1800 "$@"
