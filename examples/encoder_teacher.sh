# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by encoder.sh: the teacher. It is converted, fine-tuned, and with KEEP cut to so many tokens.
converted() {
  mkdir -p "$OUT/logs"
  if grep -qs '^text, as files' "$OUT/logs/convert.log"; then return; fi # its last line
  lightpaff convert --force --from hf "$HF" --to fairseq "$ENCODER" --num-classes "$((CLASSES ? CLASSES : 1))" |
    tee "$OUT/logs/convert.log"
}
fine_tuned() { # with the task's and the model's flags that the conversion printed
  read -ra BERT <<<"$(sed -n 's/^model: --task sentence_prediction --arch //p' "$OUT/logs/convert.log")"
  stage "${BERT[*]}" "$TEACHER_FINETUNE"
  train teacher "${FINETUNE[@]}" "${MODEL[@]}" --kd-lambda 0 --finetune-from-model "$ENCODER/model.pt"
}
trimmed() { # the teacher and its data, to OUT/keepN
  local out=$OUT/keep$KEEP # each folder appears when it is complete
  mkdir -p "$out"
  [[ -d $out/trimmed ]] ||
    lightpaff trim-vocab --path "$OUT/teacher.pt" --data "$OUT/data" --keep "$KEEP" --tokenizer "$ENCODER" --out "$out/trimmed"
  [[ -d $out/data ]] || lightpaff trim-vocab --like "$out/trimmed" --rebinarize "$OUT/data" --out "$out/data"
  ln -f "$out/trimmed/model.pt" "$out/teacher.pt"
}
