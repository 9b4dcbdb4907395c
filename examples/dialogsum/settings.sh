# shellcheck shell=bash disable=SC2034
# Sourced by the steps. Every value can be set from outside.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
OUT=${OUT:-$ROOT/outputs/dialogsum}
: "${VOCAB:=4000}" "${POSITIONS:=256}" "${TEACHER:=small}"
: "${STUDENT:=tiny --encoder-layers 4 --decoder-layers 1}"
: "${TEACHER_PRETRAIN_UPDATES:=300}" "${TEACHER_PRETRAIN_LR:=1e-3}"
: "${STUDENT_PRETRAIN_UPDATES:=300}" "${STUDENT_PRETRAIN_LR:=2e-3}"
: "${TEACHER_FINETUNE_UPDATES:=700}" "${TEACHER_FINETUNE_LR:=1e-3}"
: "${STUDENT_FINETUNE_UPDATES:=500}" "${STUDENT_FINETUNE_LR:=2e-3}"
: "${PRETRAIN_BATCH:=--max-tokens 2000}" "${FINETUNE_BATCH:=--max-tokens 2000}"
SOURCE=dialogue TARGET=summary TRUNCATE=yes
BREAK_MODE=none # dialogues are longer than a sample
source "$(dirname "${BASH_SOURCE[0]}")/../families/mass.sh"
