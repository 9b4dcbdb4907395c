#!/usr/bin/env bash
# DATA_DIR/{train,dev}.tsv of GLUE QQP and CORPUS_DIR (text) -> OUT/mono and OUT/data.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../families/bert_data.sh"
: "${VOCAB:=30522}" "${LABELS:=0 1}"
DATA_DIR=${DATA_DIR:?the folder with train.tsv and dev.tsv of QQP, see README.md}
if prepared; then exit; fi
: "${CORPUS_DIR:?the folder with train.txt and valid.txt, text for the pre-training, see README.md}"
files "$DATA_DIR" train.tsv dev.tsv
# split NAME: turn standard input, six columns per line, into a split
split() {
  local text=$OUT/text
  cat >"$text/rows.$1"
  if ! awk -F '\t' 'NF != 6 {exit 1}' "$text/rows.$1"; then refuse "$1: expected six columns on every line"; fi
  cut -f 4 "$text/rows.$1" >"$text/input0.$1"
  cut -f 5 "$text/rows.$1" >"$text/input1.$1"
  cut -f 6 "$text/rows.$1" >"$text/label.$1"
}
plain "${FILES[0]}" | sed 1d | head -n -10000 | split train
plain "${FILES[0]}" | sed 1d | tail -n 10000 | split valid # dev is kept for the table
plain "${FILES[1]}" | sed 1d | split test
sentences input0 input1
