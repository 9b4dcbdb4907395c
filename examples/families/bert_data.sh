# shellcheck shell=bash disable=SC2153,SC2154
# Prepare the data of a BERT recipe, which sets LABELS: class names in the order of their ids, none for a
# regression.
source "$(dirname "${BASH_SOURCE[0]}")/../corpus.sh"

# sentences INPUT...: OUT/text/{INPUT,label}.{train,valid,test} (INPUT: input0, and input1 for pairs)
# -> OUT/mono, pre-training text: CORPUS_DIR's, or else the training sentences
# -> OUT/data, in the layout of sentence_prediction
sentences() {
  local input
  general_text "${@/#/$OUT/text/}"
  vocabulary "$OUT/text/general.train"
  if [[ $PRETRAINING == "$OUT" ]]; then binarize "$OUT/mono" general train valid; fi
  for input in "$@"; do binarize "$OUT/data/$input" "$input" train valid test; done
  labels "$OUT/text/label".{train,valid,test}
  finish "$(wc -l <"$OUT/text/label.train") labeled examples"
}
# labels TRAIN VALID TEST: regression targets unchanged, classes in the order of LABELS
labels() {
  local splits=(train valid test) i classes
  read -ra classes <<<"$LABELS"
  mkdir -p "$OUT/data/label"
  for i in 0 1 2; do cp "${@:i+1:1}" "$OUT/data/label/${splits[i]}.label"; done
  if [[ -z $LABELS ]]; then return; fi
  printf '%s 1\n' "${classes[@]}" >"$OUT/text/label.dict.txt"
  if grep -vxhF "$(printf '%s\n' "${classes[@]}")" "$@" >"$OUT/text/label.wrong"; then
    refuse "$(wc -l <"$OUT/text/label.wrong") labels are not in $LABELS, such as $(head -n 1 "$OUT/text/label.wrong")"
  fi
  fairseq-preprocess --only-source --srcdict "$OUT/text/label.dict.txt" --destdir "$OUT/data/label" \
    --trainpref "$1" --validpref "$2" --testpref "$3" >>"$OUT/logs/prepare.log" 2>&1
}
