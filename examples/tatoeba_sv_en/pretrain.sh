#!/usr/bin/env bash
# The student's pre-training (MASS), distilled from the pre-trained teacher:
# OUT/student_pretrained_kd.pt, or with KD_LAMBDA=0 OUT/student_pretrained_plain.pt.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
KD_LAMBDA=${KD_LAMBDA:-0.5} # 0: without distillation
UPDATES=${STUDENT_PRETRAIN_UPDATES:-2000}
LR=${STUDENT_LR:-2e-3}
length "$UPDATES"
distill "$KD_LAMBDA" "$OUT/teacher_pretrained.pt"
name=student_pretrained_kd
if [[ $KD_LAMBDA == 0 ]]; then name=student_pretrained_plain; fi

train "$name" "${PRETRAIN[@]}" --arch "mass_${STUDENT[0]}" "${STUDENT[@]:1}" \
  "${TRAIN[@]}" "${LENGTH[@]}" --lr "$LR" "${KD[@]}"
