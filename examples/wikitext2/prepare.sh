#!/usr/bin/env bash
# DATA_DIR/wiki.{train,valid,test}.tokens[.gz] or wikitext-2-v1.zip, and CORPUS_DIR -> OUT/data, OUT/mono.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../families/gpt2_data.sh"
if [[ ${SCALE:-small} == paper ]]; then : "${VOCAB:=32000}" "${CORPUS_LINES:=0}"; fi
: "${VOCAB:=8000}" "${CORPUS_LINES:=50000}"
DATA_DIR=${DATA_DIR:?the folder with wikitext-2-v1.zip or the three files in it, see README.md}
if prepared; then exit; fi
wikitext wikitext-2-v1.zip 542ccefacc6c27f945fb54453812b3cd 36718 3760 4358
