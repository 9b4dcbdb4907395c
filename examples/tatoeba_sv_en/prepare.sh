#!/usr/bin/env bash
# Text -> SentencePiece -> binarized data: OUT/data (Swedish to English) and OUT/mono (both, for MASS).
# SUBWORDS=shipped takes the subwords of teacher/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../families/mass_data.sh"
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TSV=${TSV:-$HERE/data}
SOURCE=sv TARGET=en
: "${VOCAB:=4000}" # pieces of both languages together
if [[ ${SUBWORDS:-} == shipped ]]; then SUBWORDS=$HERE/teacher; fi
if prepared; then exit; fi
for split in train valid test; do
  plain "$TSV/$split.tsv.gz" | cut -f 1 >"$OUT/text/en.$split"
  plain "$TSV/$split.tsv.gz" | cut -f 2 >"$OUT/text/sv.$split"
  LC_ALL=C sort -u "$OUT/text/"{sv,en}."$split" >"$OUT/text/$split.txt"
done
CORPUS_DIR=${CORPUS_DIR:-$OUT/text}
pairs
