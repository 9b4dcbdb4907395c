# shellcheck shell=bash disable=SC2034,SC2154
# GPT-2: language_modeling with kd_clm on general text, then with kd_lm on the text of the domain.
TRAIN=(--task language_modeling --sample-break-mode none --tokens-per-sample "$POSITIONS"
  --max-target-positions "$POSITIONS" --optimizer adam --adam-betas "(0.9, 0.98)"
  --weight-decay 0.01 --clip-norm 1.0 --dropout 0.1 --attention-dropout 0.1)
PRETRAIN_ARCH=transformer_lm_gpt2_ FINETUNE_ARCH=transformer_lm_gpt2_
PRETRAIN=("$PRETRAINING/mono" --criterion kd_clm "${TRAIN[@]}")
FINETUNE=("$OUT/data" --criterion kd_lm "${TRAIN[@]}")
EVALUATE=(--task language_modeling --tokens-per-sample "$POSITIONS" --references "$OUT/text/domain.test")
