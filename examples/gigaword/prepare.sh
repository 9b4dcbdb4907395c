#!/usr/bin/env bash
# DATA_DIR (Gigaword of Rush et al.) and CORPUS_DIR -> OUT/data and OUT/mono.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../families/mass_data.sh"
: "${VOCAB:=32000}" "${SAMPLE:=10000000}" # SentencePiece reads that many lines
SOURCE=article TARGET=summary
DATA_DIR=${DATA_DIR:?the folder sumdata, with train/ and Giga/, see README.md}
if prepared; then exit; fi
: "${CORPUS_DIR:?the folder with train.txt and valid.txt, text for the pre-training, see README.md}"
files "$DATA_DIR" train/{train.{article,title},valid.{article,title}.filter}.txt Giga/{input,task1_ref0}.txt
lines "${FILES[0]}" 3803957 "${FILES[1]}" 3803957 "${FILES[2]}" 189651 "${FILES[3]}" 189651
lines "${FILES[4]}" 1951 "${FILES[5]}" 1951
splits=(train valid test)
for i in 0 1 2; do
  plain "${FILES[2 * i]}" >"$OUT/text/article.${splits[i]}"
  plain "${FILES[2 * i + 1]}" >"$OUT/text/summary.${splits[i]}"
done
pairs
