# shellcheck shell=bash disable=SC2034
# Sourced by the steps. Every value can be set from outside.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
OUT=${OUT:-$ROOT/outputs/wmt16_en_de}
: "${TEACHER_FINETUNE_UPDATES:=100000}" "${STUDENT_FINETUNE_UPDATES:=100000}"
SOURCE=en TARGET=de
SAMPLE=${SAMPLE:-10000000} # lines that SentencePiece reads
source "$(dirname "${BASH_SOURCE[0]}")/../families/mass_paper.sh"
source "$(dirname "${BASH_SOURCE[0]}")/../families/mass.sh"
