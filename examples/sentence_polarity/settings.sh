# shellcheck shell=bash disable=SC2034
# Sourced by the steps. Every value can be set from outside.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
OUT=${OUT:-$ROOT/outputs/sentence_polarity}
: "${VOCAB:=4000}" "${POSITIONS:=128}" "${TEACHER:=small}" "${STUDENT:=tiny}"
: "${TEACHER_PRETRAIN_UPDATES:=500}" "${TEACHER_PRETRAIN_LR:=1e-3}"
: "${STUDENT_PRETRAIN_UPDATES:=800}" "${STUDENT_PRETRAIN_LR:=1e-3}"
: "${TEACHER_FINETUNE_UPDATES:=700}" "${TEACHER_FINETUNE_LR:=2e-4}"
: "${STUDENT_FINETUNE_UPDATES:=600}" "${STUDENT_FINETUNE_LR:=5e-4}"
: "${PRETRAIN_BATCH:=--max-tokens 2048}" "${FINETUNE_BATCH:=--batch-size 32 --max-tokens 4096}"
LABELS="0 1"
source "$(dirname "${BASH_SOURCE[0]}")/../families/bert.sh"
