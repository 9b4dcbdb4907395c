#!/usr/bin/env bash
# Distill a finished recipe's two_stage student further on unlabeled text of the domain, with lambda 1:
#   bash examples/unlabeled.sh sentence_polarity TEXT     (sentence pairs: two columns, a tab between)
#   bash examples/unlabeled.sh dialogsum TEXT             (sentences of the source language)
# Writes OUT/unlabeled/student.pt and the table; see examples/README.md.
set -euo pipefail
RECIPE=${1:?the folder of a finished recipe} TEXT=${2:?a file of unlabeled text, one sentence per line}
shift 2 # further arguments are settings of lightpaff distill
# shellcheck source=/dev/null
STEPS="" source "$(dirname "${BASH_SOURCE[0]}")/$RECIPE/run.sh"
source "$(dirname "${BASH_SOURCE[0]}")/corpus.sh"
DATA=$OUT/unlabeled_data
# shellcheck disable=SC2034
START=(--init "$OUT/two_stage/student.pt" --data "$DATA")
if [[ ! -f $OUT/two_stage/student.pt ]]; then refuse "run $RECIPE first"; fi

case " ${FINETUNE[*]} " in
*" sentence_prediction "*) # reads labels; with lambda 1 they have no weight: all get the same one
  rm -rf "$DATA"
  cp -r "$OUT/data" "$DATA"
  for input in "$DATA"/input*; do
    name=${input##*/}
    cut -f "$((${name#input} + 1))" "$TEXT" >"$OUT/text/unlabeled_$name.train"
    binarize "$input" "unlabeled_$name" train
  done
  sed "s/.*/$(head -n 1 "$OUT/data/label/train.label")/" "$TEXT" >"$DATA/label/train.label"
  if ((CLASSES)); then
    fairseq-preprocess --only-source --srcdict "$OUT/text/label.dict.txt" --destdir "$DATA/label" \
      --trainpref "$DATA/label/train.label" >>"$OUT/logs/prepare.log" 2>&1
  fi ;;
*" translation "*) # compares both models after each prefix of a target: the teacher writes targets
  read -ra flags <<<"$GENERATE"
  lightpaff seq-kd "$OUT/data" -s "$SOURCE" -t "$TARGET" --path "$OUT/teacher.pt" --text "$TEXT" \
    --sentencepiece-model "$OUT/spm.model" --beam 5 --max-tokens 4000 --keep-cut --force --out "$DATA" "${flags[@]}" ;;
*) refuse "a language model needs no labels: run the recipe on the text" ;;
esac
lane student unlabeled kd_lambda=1
wait -n
evaluate
