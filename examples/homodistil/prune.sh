#!/usr/bin/env bash
# The pre-trained teacher is pruned into a student while it distils: OUT/pruned_$IMPORTANCE.pt, a
# stock model (IMPORTANCE: sensitivity, platon or magnitude).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
task=$(sed -E 's/.*--task ([a-z0-9_]+).*/\1/' <<<"${PRETRAIN[*]}")
start=$((PRUNE_UPDATES / 20)) end=$((PRUNE_UPDATES * 7 / 10))
teacher=$PRETRAINING/teacher_pretrained.pt

model "$TEACHER" "$PRUNE_UPDATES" "$PRUNE_LR" "$PRETRAIN_ARCH"
FINISH=compact train "$PRUNED" "${PRETRAIN[@]}" "${MODEL[@]}" --task "prunable_$task" \
  --finetune-from-model "$teacher" --kd-teacher "$teacher" --kd-lambda "$KD_LAMBDA" \
  --kd-hidden-weight "$HIDDEN_WEIGHT" --kd-embedding-weight "$EMBEDDING_WEIGHT" \
  "${PRUNE_TARGET[@]}" --prune-importance "$IMPORTANCE" --prune-start "$start" --prune-end "$end" \
  --prune-interval "${PRUNE_INTERVAL:-10}" --validate-after-updates "$end" "${PRUNE_FLAGS[@]}"
