#!/usr/bin/env bash
# Run the recipe examples/tatoeba_sv_en at a small scale: distill a Swedish-English teacher into a
# student in pre-training and in fine-tuning, and train the same student without distillation.
# Takes under ten minutes on two idle cores after set-up. Run it again after a stop: finished steps are
# reused, an interrupted one continues.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export OUT=${OUT:-$ROOT/outputs/demo}
if [[ -z ${BIN:-} ]]; then bash "$ROOT/scripts/setup.sh"; fi # returns at once if nothing is missing
export BIN=${BIN:-$ROOT/.venv/bin}
export VOCAB=${VOCAB:-2000} ABLATIONS=no REPEATS=1 WARMUP=80
width=(--{en,de}coder-embed-dim\ 192 --{en,de}coder-ffn-embed-dim\ 768)
export TEACHER="small ${width[*]}" TEACHER_LR=1.5e-3 TEACHER_DROPOUT=0.1
export STUDENT="tiny --encoder-layers 2 --decoder-layers 1"
export TEACHER_PRETRAIN_UPDATES=${TEACHER_PRETRAIN_UPDATES:-150}
export TEACHER_FINETUNE_UPDATES=${TEACHER_FINETUNE_UPDATES:-900}
export STUDENT_PRETRAIN_UPDATES=${STUDENT_PRETRAIN_UPDATES:-250}
export STUDENT_FINETUNE_UPDATES=${STUDENT_FINETUNE_UPDATES:-900}

echo "Two-stage distillation on Tatoeba Swedish-English (about 8 minutes; logs in $OUT/logs)"
exec bash "$ROOT/examples/tatoeba_sv_en/run.sh"
