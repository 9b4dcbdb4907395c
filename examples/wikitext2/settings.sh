# shellcheck shell=bash disable=SC2034
# Sourced by the steps. Every value can be set from outside; SCALE=paper is for eight GPUs.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
OUT=${OUT:-$ROOT/outputs/wikitext2}
if [[ ${SCALE:-small} == paper ]]; then
  source "$(dirname "${BASH_SOURCE[0]}")/../families/gpt2_paper.sh"
fi
: "${VOCAB:=8000}" "${POSITIONS:=128}" "${TEACHER:=mini}" "${STUDENT:=micro}" "${CORPUS_LINES:=50000}"
: "${TEACHER_PRETRAIN_UPDATES:=200}" "${TEACHER_PRETRAIN_LR:=1e-3}"
: "${STUDENT_PRETRAIN_UPDATES:=250}" "${STUDENT_PRETRAIN_LR:=3e-3}"
: "${TEACHER_FINETUNE_UPDATES:=900}" "${TEACHER_FINETUNE_LR:=1e-3}"
: "${STUDENT_FINETUNE_UPDATES:=250}" "${STUDENT_FINETUNE_LR:=3e-3}"
: "${PRETRAIN_BATCH:=--max-tokens 2048}" "${FINETUNE_BATCH:=--max-tokens 2048}"
source "$(dirname "${BASH_SOURCE[0]}")/../families/gpt2.sh"
