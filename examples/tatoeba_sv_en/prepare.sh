#!/usr/bin/env bash
# Text -> SentencePiece -> binarized data: OUT/data (Swedish to English) and OUT/mono (both, for MASS).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
TSV=${TSV:-$ROOT/examples/tatoeba_sv_en/data}

if [[ -f $OUT/prepared ]]; then
  say prepare "finished before, reused"
  exit
fi
mkdir -p "$OUT/text" "$OUT/logs"
for split in train valid test; do
  gzip -dc "$TSV/$split.tsv.gz" | cut -f 1 >"$OUT/text/$split.en"
  gzip -dc "$TSV/$split.tsv.gz" | cut -f 2 >"$OUT/text/$split.sv"
done
if [[ ${SUBWORDS:-train} == shipped ]]; then # those of the teacher in teacher/
  cp "$ROOT/examples/tatoeba_sv_en/teacher/"spm.{model,dict.txt} "$OUT"
else
  lightpaff subwords train --force --vocab "$VOCAB" --out "$OUT/spm" "$OUT/text/train.sv" "$OUT/text/train.en"
fi
for split in train valid test; do
  for lang in sv en; do
    lightpaff subwords encode --model "$OUT/spm.model" <"$OUT/text/$split.$lang" >"$OUT/text/$split.spm.$lang"
  done
  LC_ALL=C sort -u "$OUT/text/$split.spm.sv" "$OUT/text/$split.spm.en" >"$OUT/text/$split.spm.mono"
done

rm -rf "$OUT/data" "$OUT/mono" # what an interrupted run may have left
dict=$OUT/spm.dict.txt         # one dictionary for both stages: it holds <mask>
pieces=$OUT/text/train.spm
{
  fairseq-preprocess -s sv -t en --srcdict "$dict" --tgtdict "$dict" --destdir "$OUT/data" \
    --trainpref "$pieces" --validpref "${pieces/train/valid}" --testpref "${pieces/train/test}"
  fairseq-preprocess --only-source --srcdict "$dict" --destdir "$OUT/mono" \
    --trainpref "$pieces.mono" --validpref "${pieces/train/valid}.mono"
} >"$OUT/logs/prepare.log" 2>&1
touch "$OUT/prepared"
say prepare "$(wc -l <"$OUT/text/train.en") sentence pairs, $(wc -l <"$dict") tokens"
