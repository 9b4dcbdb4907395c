# shellcheck shell=bash disable=SC2154
# Prepare the data of a GPT-2 recipe.
source "$(dirname "${BASH_SOURCE[0]}")/../corpus.sh"

# language_model TRAIN VALID TEST: files of the domain -> OUT/data; pre-training text, CORPUS_DIR's or
# else that of the domain -> OUT/mono. Blank lines are kept: the perplexity counts them.
language_model() {
  local i splits=(train valid test)
  for i in 0 1 2; do plain "${@:i+1:1}" >"$OUT/text/domain.${splits[i]}"; done
  vocabulary --lossless "$OUT/text/domain.train"
  binarize "$OUT/data" domain train valid test
  if [[ $PRETRAINING == "$OUT" ]]; then
    general_text "$OUT/text/domain"
    binarize "$OUT/mono" general train valid
  fi
  finish "$(wc -w <"$OUT/text/domain.train") words of the domain"
}
# wikitext ARCHIVE MD5 LINES...: DATA_DIR's archive, or the files in it, of so many lines
wikitext() {
  if [[ -f $DATA_DIR/$1 ]]; then
    checksum "$DATA_DIR/$1" "$2"
    unzip -qoj "$DATA_DIR/$1" -d "$OUT/text/unzipped"
    DATA_DIR=$OUT/text/unzipped
  fi
  files "$DATA_DIR" wiki.{train,valid,test}.tokens
  lines "${FILES[0]}" "$3" "${FILES[1]}" "$4" "${FILES[2]}" "$5"
  language_model "${FILES[@]}"
}
