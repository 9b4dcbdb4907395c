# shellcheck shell=bash disable=SC2154
# Unlabelled text as the data of a fine-tuning with lambda 1; validation stays the recipe's own.
unlabelled_log() { echo "$OUT/logs/unlabelled.log"; }

# classes_do_not_matter TEXT: with lambda 1 the label has no weight and no gradient, but
# sentence_prediction reads one: every sentence gets class 0 (of a regression: 0).
classes_do_not_matter() {
  local i=0 input
  mkdir -p "$OUT/unlabelled/label"
  for input in "$OUT"/data/input*; do
    i=$((i + 1))
    mkdir -p "$OUT/unlabelled/$(basename "$input")"
    cut -f "$i" "$1" >"$OUT/text/unlabelled$i.train"
    binarise "$OUT/unlabelled/$(basename "$input")" "unlabelled$i" train
    cp "$input"/valid.{bin,idx} "$OUT/unlabelled/$(basename "$input")"
  done
  sed "s/.*/${CLASSES[0]:-0}/" "$1" >"$OUT/unlabelled/label/train.label"
  cp "$OUT/data/label/valid.label" "$OUT/unlabelled/label"
  if [[ -n $LABELS ]]; then
    fairseq-preprocess --only-source --srcdict "$OUT/text/label.dict.txt" --destdir "$OUT/unlabelled/label" \
      --trainpref "$OUT/unlabelled/label/train.label" >>"$(unlabelled_log)" 2>&1
    cp "$OUT"/data/label/valid.{bin,idx} "$OUT/unlabelled/label"
  fi
}
# teacher_writes_targets TEXT: the soft loss is taken after each prefix of a target, so there must be
# a target that the student could write itself: the teacher's translation (or summary) of the text.
teacher_writes_targets() {
  local pieces=$OUT/text/unlabelled generate
  mkdir -p "$OUT/unlabelled"
  subwords encode --model "$OUT/spm.model" <"$1" >"$pieces.$SOURCE"
  read -ra generate <<<"${GENERATE:-}"
  fairseq-interactive "$OUT/data" -s "$SOURCE" -t "$TARGET" --path "$OUT/teacher.pt" --beam 5 \
    --input "$pieces.$SOURCE" --buffer-size 1000 --max-tokens 4000 --required-batch-size-multiple 1 \
    "${generate[@]}" 2>>"$(unlabelled_log)" | grep '^H-' | sed 's/^H-//' | sort -n | cut -f 3 >"$pieces.$TARGET"
  lines "$pieces.$TARGET" "$(wc -l <"$pieces.$SOURCE")"
  fairseq-preprocess -s "$SOURCE" -t "$TARGET" --srcdict "$OUT/spm.dict.txt" --destdir "$OUT/unlabelled" \
    --tgtdict "$OUT/spm.dict.txt" --trainpref "$pieces" >>"$(unlabelled_log)" 2>&1
  cp "$OUT"/data/valid.* "$OUT/unlabelled"
}
