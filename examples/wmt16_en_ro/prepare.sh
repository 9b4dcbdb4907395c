#!/usr/bin/env bash
# DATA_DIR/train.{en,ro} (detokenized) and CORPUS_DIR -> OUT/data and OUT/mono.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
DATA_DIR=${DATA_DIR:?the folder with train.en and train.ro, see README.md}
if prepared; then exit; fi
: "${CORPUS_DIR:?the folder with train.txt and valid.txt, both languages, see README.md}"
files "$DATA_DIR" train.en train.ro
plain "${FILES[0]}" >"$OUT/text/en.train"
plain "${FILES[1]}" >"$OUT/text/ro.train"
lines "$OUT/text/en.train" "$(wc -l <"$OUT/text/ro.train")"
# official SET SPLIT: by sacrebleu, which downloads the set once and checks it
official() {
  sacrebleu -t "$1" -l en-ro --echo src >"$OUT/text/en.$2"
  sacrebleu -t "$1" -l en-ro --echo ref >"$OUT/text/ro.$2"
}
official wmt16/dev valid
official wmt16 test
pairs
