# shellcheck shell=bash disable=SC2034
# Sourced by the steps. Every value can be set from outside.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
OUT=${OUT:-$ROOT/outputs/ptb}
: "${TEACHER_FINETUNE_UPDATES:=2000}" "${STUDENT_FINETUNE_UPDATES:=5000}" # little text
source "$(dirname "${BASH_SOURCE[0]}")/../families/gpt2_paper.sh"
source "$(dirname "${BASH_SOURCE[0]}")/../families/gpt2.sh"
