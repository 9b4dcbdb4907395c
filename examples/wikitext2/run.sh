#!/usr/bin/env bash
# shellcheck disable=SC2034
# DATA_DIR=... CORPUS_DIR=... bash examples/wikitext2/run.sh [SETTING=VALUE...]: teacher, students, table; see ../README.md
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"
if [[ ${SCALE:-small} == paper ]]; then # eight GPUs
  CONFIG=$HERE/paper.yaml
  : "${TEACHER:=teacher}" "${POSITIONS:=512}" "${WORKERS:=4}"
  : "${TEACHER_PRETRAIN:=--max-update 125000 --lr 2.5e-4 --batch-size 8 --update-freq 4 --fp16}"
  : "${TEACHER_FINETUNE:=--max-update 5000 --lr 5e-5 --batch-size 4 --fp16}"
fi
: "${TEACHER:=mini}" "${POSITIONS:=128}"
: "${TEACHER_PRETRAIN:=--max-update 1000 --lr 1e-3 --max-tokens 2048}"
: "${TEACHER_FINETUNE:=--max-update 3000 --lr 1e-3 --max-tokens 2048}"
recipe gpt2 "$@"
