#!/usr/bin/env bash
# DATA_DIR/wiki.{train,valid,test}.tokens[.gz] or wikitext-103-v1.zip, and CORPUS_DIR -> OUT/data, OUT/mono.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
DATA_DIR=${DATA_DIR:?the folder with wikitext-103-v1.zip or the three files in it, see README.md}
if prepared; then exit; fi
if [[ -f $DATA_DIR/wikitext-103-v1.zip ]]; then
  checksum "$DATA_DIR/wikitext-103-v1.zip" 9ddaacaf6af0710eda8c456decff7832
  unzip -qoj "$DATA_DIR/wikitext-103-v1.zip" -d "$OUT/text/unzipped"
  DATA_DIR=$OUT/text/unzipped
fi
files "$DATA_DIR" wiki.{train,valid,test}.tokens
lines "${FILES[0]}" 1801350 "${FILES[1]}" 3760 "${FILES[2]}" 4358
language_model "${FILES[@]}"
