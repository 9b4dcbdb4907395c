#!/usr/bin/env bash
# DATA_DIR/{train,dev}.tsv of GLUE SST-2 and CORPUS_DIR (text) -> OUT/mono and OUT/data.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../families/bert_data.sh"
: "${VOCAB:=30522}" "${LABELS:=0 1}"
DATA_DIR=${DATA_DIR:?the folder with train.tsv and dev.tsv of SST-2, see README.md}
if prepared; then exit; fi
: "${CORPUS_DIR:?the folder with train.txt and valid.txt, text for the pre-training, see README.md}"
files "$DATA_DIR" train.tsv dev.tsv
lines "${FILES[0]}" 67350 "${FILES[1]}" 873 # one of them the titles
# split NAME: lines from standard input become a split
split() {
  cat >"$OUT/text/rows.$1"
  cut -f 1 "$OUT/text/rows.$1" >"$OUT/text/input0.$1"
  cut -f 2 "$OUT/text/rows.$1" >"$OUT/text/label.$1"
}
plain "${FILES[0]}" | sed 1d | head -n -1000 | split train
plain "${FILES[0]}" | sed 1d | tail -n 1000 | split valid # dev is kept for the table
plain "${FILES[1]}" | sed 1d | split test
sentences input0
