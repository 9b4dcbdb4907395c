#!/usr/bin/env bash
# Fine-tune the pruned student with distillation from the fine-tuned teacher: OUT/pruned_$IMPORTANCE_kd.pt.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
source "$HOMODISTIL/small_model.sh"
small=$(small_model)
read -ra SMALL <<<"${small/--arch $PRETRAIN_ARCH/--arch $FINETUNE_ARCH}"

model "$TEACHER" "$STUDENT_FINETUNE_UPDATES" "$STUDENT_FINETUNE_LR" "$FINETUNE_ARCH"
train "${PRUNED}_kd$SUFFIX" "${FINETUNE[@]}" "${MODEL[@]}" "${SMALL[@]}" --seed "$SEED" \
  --finetune-from-model "$OUT/$PRUNED$SUFFIX.pt" --kd-teacher "$OUT/teacher.pt" --kd-lambda "$KD_LAMBDA"
