#!/usr/bin/env bash
# DATA_DIR/wiki.{train,valid,test}.tokens[.gz] or wikitext-103-v1.zip, and CORPUS_DIR -> OUT/data, OUT/mono.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../families/gpt2_data.sh"
: "${VOCAB:=32000}"
DATA_DIR=${DATA_DIR:?the folder with wikitext-103-v1.zip or the three files in it, see README.md}
if prepared; then exit; fi
wikitext wikitext-103-v1.zip 9ddaacaf6af0710eda8c456decff7832 1801350 3760 4358
