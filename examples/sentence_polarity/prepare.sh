#!/usr/bin/env bash
# DATA_DIR/{train.tsv.gz,dev.tsv,test.tsv}, label <TAB> text -> OUT/mono (text) and OUT/data (labelled).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
DATA_DIR=${DATA_DIR:?the folder with train.tsv.gz, dev.tsv and test.tsv, see README.md}
if prepared; then exit; fi
files=("$DATA_DIR"/{train.tsv.gz,dev.tsv,test.tsv})
need "${files[@]}"
mkdir -p "$OUT/text"
splits=(train valid test)
for i in 0 1 2; do
  plain "${files[i]}" | cut -f 1 >"$OUT/text/label.${splits[i]}"
  plain "${files[i]}" | cut -f 2- >"$OUT/text/input0.${splits[i]}"
done
vocabulary "$OUT/text/input0.train"
binarise "$OUT/mono" input0 train valid
labelled input0
finish "$(wc -l <"$OUT/text/label.train") labelled sentences"
