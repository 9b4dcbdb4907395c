#!/usr/bin/env bash
# Distill a finished recipe's student further on unlabeled text of the domain (lambda 1).
#   bash examples/unlabeled.sh sentence_polarity TEXT     (sentence pairs: two columns, a tab between)
#   bash examples/unlabeled.sh dialogsum TEXT             (sentences of the source language)
# Starts from student_kd_kd.pt, writes OUT/student_unlabeled.pt; see examples/README.md.
set -euo pipefail
RECIPE=${1:?the folder of a finished recipe} TEXT=${2:?a file of unlabeled text, one sentence per line}
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/$RECIPE/settings.sh"
source "$(dirname "${BASH_SOURCE[0]}")/unlabeled_data.sh"
if [[ ! -f $OUT/teacher.pt || ! -f $OUT/student_kd_kd.pt ]]; then refuse "run $RECIPE first"; fi
rm -rf "$OUT/unlabeled"

case " ${FINETUNE[*]} " in
*" sentence_prediction "*) classes_do_not_matter "$TEXT" ;;
*" translation "*) teacher_writes_targets "$TEXT" ;;
*) refuse "a language model needs no labels: fine-tune it on the text with KD_LAMBDA=1" ;;
esac
FINETUNE[0]=$OUT/unlabeled
model "$STUDENT" "$STUDENT_FINETUNE_UPDATES" "$STUDENT_FINETUNE_LR" "$FINETUNE_ARCH"
train student_unlabeled "${FINETUNE[@]}" "${MODEL[@]}" --kd-lambda 1 --kd-teacher "$OUT/teacher.pt" \
  --finetune-from-model "$OUT/student_kd_kd.pt"
