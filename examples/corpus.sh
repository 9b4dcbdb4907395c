# shellcheck shell=bash disable=SC2154
# Text to binarised data, for every family. All of a recipe's data has one dictionary, $OUT/spm.dict.txt,
# which holds <mask>: weights carry over from pre-training to fine-tuning.
prepared() { if [[ -f $OUT/prepared ]]; then say prepare "finished before, reused"; else return 1; fi; }
subwords() { python "$ROOT/examples/subwords.py" "$@"; }
plain() { gzip -dcf "$@"; } # gzipped or not
# need FILE...: the data that the user has to provide
need() {
  local file missing=()
  for file in "$@"; do [[ -f $file ]] || missing+=("$file"); done
  if ((${#missing[@]})); then say prepare "error: not found: ${missing[*]}; see README.md" >&2; return 1; fi
}
# vocabulary FLAG_OR_TEXT...: trains SentencePiece, or takes that of the pre-training
vocabulary() {
  mkdir -p "$OUT/text" "$OUT/logs"
  rm -rf "$OUT/data" "$OUT/mono" # what an interrupted run may have left
  if [[ ${PRETRAINING:-$OUT} == "$OUT" ]]; then
    subwords train --vocab "$VOCAB" --model "$OUT/spm" "$@"
  else
    cp "$PRETRAINING"/spm.{dict.txt,model} "$OUT"
  fi
}
# binarise DESTINATION TEXT_PREFIX SPLIT...: text/PREFIX.SPLIT -> DESTINATION/SPLIT.{bin,idx}
binarise() {
  local destination=$1 prefix=$2 split flags=()
  for split in "${@:3}"; do
    subwords encode --model "$OUT/spm.model" <"$OUT/text/$prefix.$split" >"$OUT/text/$prefix.$split.spm"
    flags+=("--${split}pref" "$OUT/text/$prefix.$split.spm")
  done
  fairseq-preprocess --only-source --srcdict "$OUT/spm.dict.txt" --destdir "$destination" \
    "${flags[@]}" >>"$OUT/logs/prepare.log" 2>&1
}
finish() { touch "$OUT/prepared" && say prepare "$(wc -l <"$OUT/spm.dict.txt") symbols, $1"; }
# general_text: the first CORPUS_LINES lines of CORPUS_DIR/{train,valid}.txt[.gz] -> text/general.*
general_text() {
  local split
  for split in train valid; do
    plain "${CORPUS_DIR:?the folder with train.txt and valid.txt, see README.md}/$split.txt"* |
      awk -v n="${CORPUS_LINES:-0}" '!n || NR <= n' >"$OUT/text/general.$split"
  done
}
