# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# GPT-2: language_modeling with kd_clm on general text, then with kd_lm on the text of the domain.
TRAIN=(--task language_modeling --sample-break-mode none --tokens-per-sample "$POSITIONS"
  --max-target-positions "$POSITIONS" --optimizer adam --adam-betas "(0.9, 0.98)"
  --weight-decay 0.01 --clip-norm 1.0 --dropout 0.1 --attention-dropout 0.1)
read -ra PRETRAIN_BATCH <<<"$PRETRAIN_BATCH"
read -ra FINETUNE_BATCH <<<"$FINETUNE_BATCH"
PRETRAIN_ARCH=transformer_lm_gpt2_ FINETUNE_ARCH=transformer_lm_gpt2_
PRETRAIN=("$OUT/mono" --criterion kd_clm "${TRAIN[@]}" "${PRETRAIN_BATCH[@]}")
FINETUNE=("$OUT/data" --criterion kd_lm "${TRAIN[@]}" "${FINETUNE_BATCH[@]}")
source "$(dirname "${BASH_SOURCE[0]}")/../corpus.sh"
source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"

# language_model TRAIN VALID TEST: files of the domain -> OUT/data; pre-training text, CORPUS_DIR's or
# else that of the domain -> OUT/mono. Blank lines are kept: the perplexity counts them.
language_model() {
  local i splits=(train valid test)
  for i in 0 1 2; do plain "${@:i+1:1}" >"$OUT/text/domain.${splits[i]}"; done
  vocabulary --lossless "$OUT/text/domain.train"
  binarize "$OUT/data" domain train valid test
  if [[ $PRETRAINING == "$OUT" ]]; then
    general_text "$OUT/text/domain"
    binarize "$OUT/mono" general train valid
  fi
  finish "$(wc -w <"$OUT/text/domain.train") words of the domain"
}
# perplexity FLAG...: measure perplexity per token and per word
perplexity() {
  measure --task language_modeling --tokens-per-sample "$POSITIONS" \
    --references "$OUT/text/domain.test" "$@"
}
