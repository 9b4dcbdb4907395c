# shellcheck shell=bash disable=SC2034,SC2154
# BERT: masked_lm with kd_mlm on text, then sentence_prediction with kd_lu on labeled sentences.
# The recipe sets POSITIONS and CLASSES (their number; 0: regression).
TRAIN=(--optimizer adam --adam-betas "(0.9, 0.98)" --adam-eps 1e-6 --weight-decay 0.01
  --clip-norm 1.0 --dropout 0.1 --attention-dropout 0.1 --max-positions "$POSITIONS")
PRETRAIN_ARCH=roberta_ FINETUNE_ARCH=roberta_
PRETRAIN=("$PRETRAINING/mono" --task masked_lm --criterion kd_mlm --sample-break-mode complete
  --skip-invalid-size-inputs-valid-test --tokens-per-sample "$POSITIONS" "${TRAIN[@]}")
read -ra separator <<<"${SEPARATOR---separator-token 2}"
FINETUNE=("$OUT/data" --task sentence_prediction --criterion kd_lu
  --find-unused-parameters --init-token 0 "${separator[@]}" --shorten-method truncate "${TRAIN[@]}")
if ((CLASSES)); then
  FINETUNE+=(--num-classes "$CLASSES" --best-checkpoint-metric accuracy --maximize-best-checkpoint-metric)
else
  FINETUNE+=(--num-classes 1 --regression-target)
fi
EVALUATE=(--task sentence_prediction)
