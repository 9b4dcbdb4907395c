# shellcheck shell=bash disable=SC2154
# Turn unlabeled text into fine-tuning data for lambda 1; validation data stay the recipe's own.
unlabeled_log() { echo "$OUT/logs/unlabeled.log"; }

# classes_do_not_matter TEXT: with lambda 1 a label has no weight and no gradient, but
# sentence_prediction reads one: every sentence gets class 0 (regression: 0).
classes_do_not_matter() {
  local i=0 input
  mkdir -p "$OUT/unlabeled/label"
  for input in "$OUT"/data/input*; do
    i=$((i + 1))
    mkdir -p "$OUT/unlabeled/$(basename "$input")"
    cut -f "$i" "$1" >"$OUT/text/unlabeled$i.train"
    binarize "$OUT/unlabeled/$(basename "$input")" "unlabeled$i" train
    cp "$input"/valid.{bin,idx} "$OUT/unlabeled/$(basename "$input")"
  done
  sed "s/.*/${CLASSES[0]:-0}/" "$1" >"$OUT/unlabeled/label/train.label"
  cp "$OUT/data/label/valid.label" "$OUT/unlabeled/label"
  if [[ -n $LABELS ]]; then
    fairseq-preprocess --only-source --srcdict "$OUT/text/label.dict.txt" --destdir "$OUT/unlabeled/label" \
      --trainpref "$OUT/unlabeled/label/train.label" >>"$(unlabeled_log)" 2>&1
    cp "$OUT"/data/label/valid.{bin,idx} "$OUT/unlabeled/label"
  fi
}
# teacher_writes_targets TEXT: the soft loss compares both models after each prefix of a target, so
# the targets must be plausible: the teacher's translations (or summaries) of the text.
teacher_writes_targets() {
  local mono=$OUT/unlabeled_source generate
  rm -rf "$mono" "$OUT/unlabeled.hypotheses"
  mkdir -p "$mono"
  lightpaff subwords encode --model "$OUT/spm.model" <"$1" >"$OUT/text/unlabeled.$SOURCE"
  fairseq-preprocess -s "$SOURCE" -t "$TARGET" --only-source --srcdict "$OUT/spm.dict.txt" \
    --destdir "$mono" --trainpref "$OUT/text/unlabeled" >>"$(unlabeled_log)" 2>&1
  cp "$OUT/spm.dict.txt" "$mono/dict.$TARGET.txt"
  cp "$OUT"/data/valid.* "$mono"
  read -ra generate <<<"${GENERATE:-}"
  lightpaff seq-kd "$mono" -s "$SOURCE" -t "$TARGET" --path "$OUT/teacher.pt" --beam 5 --max-tokens 4000 \
    --keep-cut --out "$OUT/unlabeled" "${generate[@]}"
}
