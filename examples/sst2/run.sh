#!/usr/bin/env bash
# shellcheck disable=SC2034
# DATA_DIR=... CORPUS_DIR=... bash examples/sst2/run.sh [SETTING=VALUE...]: teacher, students, table; see ../README.md
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"
: "${TEACHER:=base}" "${POSITIONS:=512}" "${WORKERS:=4}"
: "${TEACHER_PRETRAIN:=--max-update 125000 --lr 5e-4 --batch-size 16 --update-freq 2 --fp16}"
: "${TEACHER_FINETUNE:=--max-update 6000 --lr 2e-5 --batch-size 4 --fp16}" # 3 epochs
CLASSES=2
recipe bert "$@"
