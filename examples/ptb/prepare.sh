#!/usr/bin/env bash
# DATA_DIR/ptb.{train,valid,test}.txt and CORPUS_DIR -> OUT/data and OUT/mono.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../families/gpt2_data.sh"
: "${VOCAB:=32000}"
DATA_DIR=${DATA_DIR:?the folder with ptb.train.txt, ptb.valid.txt and ptb.test.txt, see README.md}
if prepared; then exit; fi
files "$DATA_DIR" ptb.{train,valid,test}.txt
checksum "${FILES[0]}" f26c4b92c5fdc7b3f8c7cdcb991d8420
checksum "${FILES[1]}" aa0affc06ff7c36e977d7cd49e3839bf
checksum "${FILES[2]}" 8b80168b89c18661a38ef683c0dc3721
language_model "${FILES[@]}"
