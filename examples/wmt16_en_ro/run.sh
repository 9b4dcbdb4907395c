#!/usr/bin/env bash
# shellcheck disable=SC2034
# DATA_DIR=... CORPUS_DIR=... bash examples/wmt16_en_ro/run.sh [SETTING=VALUE...]: teacher, students, table; see ../README.md
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"
SOURCE=en TARGET=ro
: "${TEACHER:=teacher}" "${POSITIONS:=512}" "${WORKERS:=4}"
: "${TEACHER_PRETRAIN:=--max-update 125000 --lr 5e-4 --max-tokens 4096 --update-freq 2 --fp16}"
: "${TEACHER_FINETUNE:=--max-update 30000 --lr 2e-4 --max-tokens 4096 --update-freq 2 --fp16}"
recipe mass "$@"
