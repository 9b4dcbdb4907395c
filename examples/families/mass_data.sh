# shellcheck shell=bash disable=SC2153,SC2154
# Prepare the data of a MASS recipe, which sets SOURCE and TARGET, its file extensions.
source "$(dirname "${BASH_SOURCE[0]}")/../corpus.sh"

# pairs: OUT/text/{SOURCE,TARGET}.{train,valid,test} -> OUT/data, and pre-training text:
# CORPUS_DIR's, or else both sides of the training pairs -> OUT/mono
pairs() {
  local side split text=$OUT/text
  general_text "$text/$SOURCE" "$text/$TARGET"
  vocabulary "$text/"{"$SOURCE","$TARGET"}.train
  if [[ $PRETRAINING == "$OUT" ]]; then binarize "$OUT/mono" general train valid; fi
  for split in train valid test; do
    for side in "$SOURCE" "$TARGET"; do
      lightpaff subwords encode --model "$OUT/spm.model" <"$text/$side.$split" >"$text/$split.spm.$side"
    done
  done
  fairseq-preprocess -s "$SOURCE" -t "$TARGET" --srcdict "$OUT/spm.dict.txt" \
    --tgtdict "$OUT/spm.dict.txt" --destdir "$OUT/data" --trainpref "$text/train.spm" \
    --validpref "$text/valid.spm" --testpref "$text/test.spm" >>"$OUT/logs/prepare.log" 2>&1
  finish "$(wc -l <"$text/$SOURCE.train") pairs"
}
# wmt VALID TEST: DATA_DIR/train.{SOURCE,TARGET}, and two sets that sacrebleu downloads and checks
wmt() {
  local i splits=(valid test)
  files "$DATA_DIR" "train.$SOURCE" "train.$TARGET"
  plain "${FILES[0]}" >"$OUT/text/$SOURCE.train"
  plain "${FILES[1]}" >"$OUT/text/$TARGET.train"
  lines "$OUT/text/$SOURCE.train" "$(wc -l <"$OUT/text/$TARGET.train")"
  for i in 0 1; do
    sacrebleu -t "${@:i+1:1}" -l "$SOURCE-$TARGET" --echo src >"$OUT/text/$SOURCE.${splits[i]}"
    sacrebleu -t "${@:i+1:1}" -l "$SOURCE-$TARGET" --echo ref >"$OUT/text/$TARGET.${splits[i]}"
  done
  pairs
}
