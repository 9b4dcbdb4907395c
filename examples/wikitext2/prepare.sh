#!/usr/bin/env bash
# DATA_DIR/wiki.{train,valid,test}.tokens[.gz] or wikitext-2-v1.zip, and CORPUS_DIR -> OUT/data, OUT/mono.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
DATA_DIR=${DATA_DIR:?the folder with wikitext-2-v1.zip or the three files in it, see README.md}
if prepared; then exit; fi
if [[ -f $DATA_DIR/wikitext-2-v1.zip ]]; then
  checksum "$DATA_DIR/wikitext-2-v1.zip" 542ccefacc6c27f945fb54453812b3cd
  unzip -qoj "$DATA_DIR/wikitext-2-v1.zip" -d "$OUT/text/unzipped"
  DATA_DIR=$OUT/text/unzipped
fi
files "$DATA_DIR" wiki.{train,valid,test}.tokens
lines "${FILES[0]}" 36718 "${FILES[1]}" 3760 "${FILES[2]}" 4358
language_model "${FILES[@]}"
