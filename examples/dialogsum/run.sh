#!/usr/bin/env bash
# shellcheck disable=SC2034
# DATA_DIR=... bash examples/dialogsum/run.sh [SETTING=VALUE...]: teacher, students, table; see ../README.md
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"
SOURCE=dialogue TARGET=summary TRUNCATE=yes
BREAK_MODE=none # dialogues are longer than a sample
REFERENCES=("$OUT/text/reference"{1,2,3})
: "${TEACHER:=small}" "${POSITIONS:=256}"
: "${TEACHER_PRETRAIN:=--max-update 300 --lr 1e-3 --max-tokens 2000}"
: "${TEACHER_FINETUNE:=--max-update 700 --lr 1e-3 --max-tokens 2000}"
recipe mass "$@"
