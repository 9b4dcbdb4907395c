#!/usr/bin/env bash
# DATA_DIR/{train,dev,test}.{dialogue,summary}[.gz], test.summary.refs.tsv -> OUT/data, OUT/mono.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../families/mass_data.sh"
: "${VOCAB:=4000}"
SOURCE=dialogue TARGET=summary
DATA_DIR=${DATA_DIR:?the folder with train.dialogue.gz and so on, see README.md}
if prepared; then exit; fi
files "$DATA_DIR" {train,dev,test}.{dialogue,summary} test.summary.refs.tsv
splits=(train valid test)
for i in 0 1 2; do
  plain "${FILES[2 * i]}" >"$OUT/text/dialogue.${splits[i]}"
  plain "${FILES[2 * i + 1]}" >"$OUT/text/summary.${splits[i]}"
  plain "${FILES[6]}" | cut -f "$((i + 1))" >"$OUT/text/reference$((i + 1))"
done
pairs
