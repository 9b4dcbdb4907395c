#!/usr/bin/env bash
# The student's fine-tuning on translation, distilled from the fine-tuned teacher. PRETRAINED names
# the pre-trained student to start from, KD_LAMBDA=0 turns distillation off: four students,
# OUT/student_{plain,kd}_{plain,kd}.pt (pre-trained, fine-tuned).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
KD_LAMBDA=${KD_LAMBDA:-0.5}    # 0: without distillation
PRETRAINED=${PRETRAINED:-kd}   # kd or plain: OUT/student_pretrained_$PRETRAINED.pt
UPDATES=${STUDENT_FINETUNE_UPDATES:-4000}
LR=${STUDENT_LR:-2e-3}
DROPOUT=${STUDENT_DROPOUT:-0.1}
length "$UPDATES"
distill "$KD_LAMBDA" "$OUT/teacher.pt"
name=student_${PRETRAINED}_kd
if [[ $KD_LAMBDA == 0 ]]; then name=student_${PRETRAINED}_plain; fi

train "$name" "${FINETUNE[@]}" --arch "transformer_mass_${STUDENT[0]}" "${STUDENT[@]:1}" \
  "${TRAIN[@]}" "${LENGTH[@]}" --lr "$LR" --dropout "$DROPOUT" "${KD[@]}" \
  --finetune-from-model "$OUT/student_pretrained_$PRETRAINED.pt"
