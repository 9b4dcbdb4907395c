# shellcheck shell=bash disable=SC2154
# Binarize text, for every family. All data of a recipe share one dictionary with <mask>, OUT/spm.dict.txt,
# so that weights carry over from pre-training to fine-tuning.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
source "$(dirname "${BASH_SOURCE[0]}")/inputs.sh"
OUT=${OUT:-$ROOT/outputs/$(basename "$(cd "$(dirname "$0")" && pwd)")} PRETRAINING=${PRETRAINING:-$OUT}

# vocabulary FLAG_OR_TEXT...: train SentencePiece, or take that of the folder PRETRAINING, SUBWORDS or ENCODER (converted)
vocabulary() {
  mkdir -p "$OUT/text" "$OUT/logs"
  rm -rf "$OUT/data" "$OUT/mono" # what an interrupted run may have left
  if [[ $PRETRAINING != "$OUT" ]]; then SUBWORDS=$PRETRAINING; fi
  if [[ -n ${ENCODER:-} ]]; then cp "$ENCODER/dict.txt" "$OUT/spm.dict.txt"
  elif [[ -n ${SUBWORDS:-} ]]; then cp "$SUBWORDS"/spm.{dict.txt,model} "$OUT"
  else lightpaff subwords train --force --vocab "$VOCAB" --sample "${SAMPLE:-0}" --out "$OUT/spm" "$@"; fi
}
# binarize DESTINATION PREFIX SPLIT...: OUT/text/PREFIX.SPLIT -> DESTINATION/SPLIT.{bin,idx}
binarize() {
  local destination=$1 prefix=$2 split flags=()
  for split in "${@:3}"; do
    lightpaff subwords encode --model "${ENCODER:-$OUT/spm.model}" <"$OUT/text/$prefix.$split" >"$OUT/text/$prefix.$split.spm"
    flags+=("--${split}pref" "$OUT/text/$prefix.$split.spm")
  done
  fairseq-preprocess --only-source --srcdict "$OUT/spm.dict.txt" --destdir "$destination" \
    "${flags[@]}" >>"$OUT/logs/prepare.log" 2>&1
}
# general_text FILE...: pre-training text -> OUT/text/general.{train,valid}: the first
# CORPUS_LINES lines of CORPUS_DIR/train.txt[.gz] (of valid.txt a twentieth), or else FILE.{train,valid}
general_text() {
  local split count=${CORPUS_LINES:-0}
  for split in train valid; do
    if [[ -n ${CORPUS_DIR:-} ]]; then
      files "$CORPUS_DIR" "$split.txt"
      plain "${FILES[0]}" | awk -v n="$count" '!n || NR <= n'
    else
      cat "${@/%/.$split}"
    fi >"$OUT/text/general.$split"
    count=$((count / 20))
  done
}
