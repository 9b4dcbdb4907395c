# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# prune IMPORTANCE SUFFIX SEED: prune the pre-trained teacher while it distills from its original self,
# to OUT/pruned_IMPORTANCE.pt, a stock model, and fine-tune that by lightpaff distill. IMPORTANCE: sensitivity,
# platon or magnitude prune step by step; oneshot, for comparison, prunes to the final size before the
# first update and trains alike.
prune() {
  local name=pruned_$1 teacher=$PRETRAINING/teacher_pretrained.pt target flags words small START
  read -ra target <<<"$PRUNE_TARGET"
  read -ra flags <<<"$PRUNE_FLAGS"
  stage "$PRETRAIN_ARCH$TEACHER" "$TEACHER_PRETRAIN --max-update $PRUNE_UPDATES --lr $PRUNE_LR"
  flags=("${PRETRAIN[@]}" "${MODEL[@]}" --kd-teacher "$teacher" --kd-lambda "$KD_LAMBDA" --seed "$3" "${flags[@]}")
  if [[ $1 == oneshot ]]; then
    words=$(lightpaff prune-plan --path "$teacher" "${target[@]/#--prune-/--}" | sed -n 's/^architecture: //p')
    read -ra small <<<"$words"
    if [[ ! -f $OUT/small.pt ]]; then
      lightpaff init-student --teacher "$teacher" "${small[@]}" --width-by importance \
        --data "${PRETRAIN[0]}" --out "$OUT/small.pt"
    fi
    train "$name$2" "${flags[@]}" "${small[@]}" --finetune-from-model "$OUT/small.pt"
  else
    FINISH=compact train "$name$2" "${flags[@]}" --task "prunable_$(sed -E 's/.*--task ([a-z0-9_]+).*/\1/' <<<"${PRETRAIN[*]}")" \
      --finetune-from-model "$teacher" --kd-hidden-weight "$HIDDEN_WEIGHT" --kd-embedding-weight "$EMBEDDING_WEIGHT" \
      "${target[@]}" --prune-importance "$1" --prune-start "$((PRUNE_UPDATES / 20))" --prune-end "$((PRUNE_UPDATES * 7 / 10))" \
      --prune-interval "${PRUNE_INTERVAL:-10}" --validate-after-updates "$((PRUNE_UPDATES * 7 / 10))"
  fi
  START=(--init "$OUT/$name$2.pt")
  student "${name}_kd$2" "seed=$3"
}
