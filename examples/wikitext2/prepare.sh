#!/usr/bin/env bash
# DATA_DIR/wiki.{train,valid,test}.tokens[.gz] and CORPUS_DIR -> OUT/data (WikiText-2), OUT/mono.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
DATA_DIR=${DATA_DIR:?the folder with wiki.train.tokens and so on, see README.md}
if prepared; then exit; fi
files=()
for split in train valid test; do
  file=$DATA_DIR/wiki.$split.tokens
  if [[ ! -f $file ]]; then file+=.gz; fi
  files+=("$file")
done
need "${files[@]}"
language_model "${files[@]}"
