#!/usr/bin/env bash
# The pruned student's fine-tuning, distilled from the fine-tuned teacher: OUT/pruned_$IMPORTANCE_kd.pt.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
# the flags of the small model, as lightpaff compact printed them
arch=$(sed -n 's/^architecture: //p' "$OUT/logs/$PRUNED.log" | tail -n 1)
read -ra ARCH <<<"${arch/--arch $PRETRAIN_ARCH/--arch $FINETUNE_ARCH}"

model "$TEACHER" "$STUDENT_FINETUNE_UPDATES" "$STUDENT_FINETUNE_LR" "$FINETUNE_ARCH"
train "${PRUNED}_kd" "${FINETUNE[@]}" "${MODEL[@]}" "${ARCH[@]}" \
  --finetune-from-model "$OUT/$PRUNED.pt" --kd-teacher "$OUT/teacher.pt" --kd-lambda "$KD_LAMBDA"
