#!/usr/bin/env bash
# shellcheck disable=SC2034
# [OUT=...] bash examples/tatoeba_sv_en/run.sh [SETTING=VALUE...]: teacher, students, table; see ../README.md
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipe.sh"
SOURCE=sv TARGET=en
: "${TEACHER:=small}" "${POSITIONS:=128}"
common="--max-tokens 1000 --warmup-updates 200 --weight-decay 0" # little data: small batches
: "${TEACHER_PRETRAIN:=--max-update 2000 --lr 1e-3 $common}"
: "${TEACHER_FINETUNE:=--max-update 6000 --lr 1e-3 --dropout 0.3 $common}"
recipe mass "$@"
