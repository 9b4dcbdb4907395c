#!/usr/bin/env bash
# DATA_DIR/{train,dev,test}.tsv: entailment, relatedness, two sentences -> OUT/mono and OUT/data.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../families/bert_data.sh"
: "${VOCAB:=4000}" "${LABELS=NEUTRAL ENTAILMENT CONTRADICTION}" # LABELS= : relatedness, a regression
DATA_DIR=${DATA_DIR:?the folder with train.tsv, dev.tsv and test.tsv, see README.md}
if prepared; then exit; fi
files "$DATA_DIR" {train,dev,test}.tsv
splits=(train valid test)
column=1
if [[ -z $LABELS ]]; then column=2; fi
for i in 0 1 2; do
  plain "${FILES[i]}" | cut -f "$column" >"$OUT/text/label.${splits[i]}"
  plain "${FILES[i]}" | cut -f 3 >"$OUT/text/input0.${splits[i]}"
  plain "${FILES[i]}" | cut -f 4 >"$OUT/text/input1.${splits[i]}"
done
sentences input0 input1
