#!/usr/bin/env bash
# shellcheck disable=SC2034
# DATA_DIR=... bash examples/subjectivity/run.sh [SETTING=VALUE...]: teacher, students, table; see ../README.md
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"
: "${TEACHER:=small}" "${POSITIONS:=128}"
: "${TEACHER_PRETRAIN:=--max-update 500 --lr 1e-3 --max-tokens 2048}"
: "${TEACHER_FINETUNE:=--max-update 700 --lr 2e-4 --batch-size 32 --max-tokens 4096}"
CLASSES=2
recipe bert "$@"
