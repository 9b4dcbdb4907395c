# shellcheck shell=bash disable=SC2034
# Sourced by the steps. Every value can be set from outside.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
OUT=${OUT:-$ROOT/outputs/wikitext103}
: "${TEACHER_FINETUNE_UPDATES:=50000}" "${STUDENT_FINETUNE_UPDATES:=100000}" # much text
: "${FINETUNE_BATCH:=--batch-size 8 --update-freq 4 --fp16}"
source "$(dirname "${BASH_SOURCE[0]}")/../families/gpt2_paper.sh"
source "$(dirname "${BASH_SOURCE[0]}")/../families/gpt2.sh"
