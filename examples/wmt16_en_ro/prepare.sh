#!/usr/bin/env bash
# DATA_DIR/train.{en,ro} (detokenized) and CORPUS_DIR -> OUT/data and OUT/mono.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../families/mass_data.sh"
: "${VOCAB:=32000}" "${SAMPLE:=10000000}" # SentencePiece reads that many lines
SOURCE=en TARGET=ro
DATA_DIR=${DATA_DIR:?the folder with train.en and train.ro, see README.md}
if prepared; then exit; fi
: "${CORPUS_DIR:?the folder with train.txt and valid.txt, both languages, see README.md}"
wmt wmt16/dev wmt16
