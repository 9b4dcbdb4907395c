#!/usr/bin/env bash
# Prune the pre-trained teacher while it distills from its original self: OUT/pruned_$IMPORTANCE.pt, a
# stock model. IMPORTANCE: sensitivity, platon or magnitude prune step by step; oneshot, for comparison,
# prunes to the final size before the first update and trains alike.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
source "$HOMODISTIL/small_model.sh"
teacher=$PRETRAINING/teacher_pretrained.pt
model "$TEACHER" "$PRUNE_UPDATES" "$PRUNE_LR" "$PRETRAIN_ARCH"
PRETRAIN+=("${MODEL[@]}" --kd-teacher "$teacher" --kd-lambda "$KD_LAMBDA" --seed "$SEED" "${PRUNE_FLAGS[@]}")

if [[ $IMPORTANCE == oneshot ]]; then
  small=$(small_model)
  read -ra SMALL <<<"$small"
  if [[ ! -f $OUT/small.pt ]]; then
    lightpaff init-student --teacher "$teacher" "${SMALL[@]}" --width-by importance \
      --data "${PRETRAIN[0]}" --out "$OUT/small.pt"
  fi
  train "$PRUNED$SUFFIX" "${PRETRAIN[@]}" "${SMALL[@]}" --finetune-from-model "$OUT/small.pt"
  exit
fi
task=$(sed -E 's/.*--task ([a-z0-9_]+).*/\1/' <<<"${PRETRAIN[*]}")
start=$((PRUNE_UPDATES / 20)) end=$((PRUNE_UPDATES * 7 / 10))
FINISH=compact train "$PRUNED$SUFFIX" "${PRETRAIN[@]}" --task "prunable_$task" \
  --finetune-from-model "$teacher" \
  --kd-hidden-weight "$HIDDEN_WEIGHT" --kd-embedding-weight "$EMBEDDING_WEIGHT" \
  "${PRUNE_TARGET[@]}" --prune-importance "$IMPORTANCE" --prune-start "$start" --prune-end "$end" \
  --prune-interval "${PRUNE_INTERVAL:-10}" --validate-after-updates "$end"
