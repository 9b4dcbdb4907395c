# shellcheck shell=bash disable=SC2034
# Sourced by the steps. Every value can be set from outside.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
OUT=${OUT:-$ROOT/outputs/sst2}
: "${TEACHER_FINETUNE_UPDATES:=6000}" "${STUDENT_FINETUNE_UPDATES:=20000}" # 3 and 10 epochs
LABELS="0 1"
source "$(dirname "${BASH_SOURCE[0]}")/../families/bert_paper.sh"
source "$(dirname "${BASH_SOURCE[0]}")/../families/bert.sh"
