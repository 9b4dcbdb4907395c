#!/usr/bin/env bash
# The teacher: MASS pre-training, then fine-tuning on translation. Makes OUT/teacher_pretrained.pt
# and OUT/teacher.pt.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
PRETRAIN_UPDATES=${TEACHER_PRETRAIN_UPDATES:-1500}
FINETUNE_UPDATES=${TEACHER_FINETUNE_UPDATES:-3500}
LR=${TEACHER_LR:-1e-3}
DROPOUT=${TEACHER_DROPOUT:-0.2}

length "$PRETRAIN_UPDATES"
train teacher_pretrained "${PRETRAIN[@]}" --arch "mass_${TEACHER[0]}" "${TEACHER[@]:1}" \
  "${TRAIN[@]}" "${LENGTH[@]}" --lr "$LR" --kd-lambda 0

length "$FINETUNE_UPDATES"
train teacher "${FINETUNE[@]}" --arch "transformer_mass_${TEACHER[0]}" "${TEACHER[@]:1}" \
  "${TRAIN[@]}" "${LENGTH[@]}" --lr "$LR" --dropout "$DROPOUT" --kd-lambda 0 \
  --finetune-from-model "$OUT/teacher_pretrained.pt"
