# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by encoder.sh: the teacher. It is converted, and fine-tuned; with TWO_STAGE, it learns a masked-LM head between.
converted() {
  mkdir -p "$OUT/logs"
  if grep -qs '^text, as files' "$OUT/logs/convert.log"; then return; fi # its last line
  lightpaff convert --force --from hf "$HF" --to fairseq "$ENCODER" --num-classes "$((CLASSES ? CLASSES : 1))" |
    tee "$OUT/logs/convert.log"
}
encoder_stages() { # with the task's and the model's flags that the conversion printed
  local flags start=$ENCODER/model.pt
  flags=$(sed -n 's/^model: --task sentence_prediction --arch //p' "$OUT/logs/convert.log")
  if [[ -n ${TWO_STAGE:-} ]]; then
    stage "${flags% --num-classes*}" "$TEACHER_PRETRAIN"
    train teacher_pretrained "${PRETRAIN[@]}" "${MODEL[@]}" --kd-lambda 0 --finetune-from-model "$start"
    start=$OUT/teacher_pretrained.pt
  fi
  stage "$flags" "$TEACHER_FINETUNE"
  train teacher "${FINETUNE[@]}" "${MODEL[@]}" --kd-lambda 0 --finetune-from-model "$start"
}
