#!/usr/bin/env bash
# DATA_DIR/{train,dev,test}.tsv[.gz], label <TAB> text -> OUT/mono (text) and OUT/data (labeled).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../families/bert_data.sh"
: "${VOCAB:=4000}" "${LABELS:=0 1}"
DATA_DIR=${DATA_DIR:?the folder with train.tsv.gz, dev.tsv and test.tsv, see README.md}
if prepared; then exit; fi
files "$DATA_DIR" {train,dev,test}.tsv
splits=(train valid test)
for i in 0 1 2; do
  plain "${FILES[i]}" | cut -f 1 >"$OUT/text/label.${splits[i]}"
  plain "${FILES[i]}" | cut -f 2- >"$OUT/text/input0.${splits[i]}"
done
sentences input0
