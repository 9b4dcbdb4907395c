# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# BERT: masked_lm with kd_mlm on text, then sentence_prediction with kd_lu on labeled sentences.
# The recipe sets LABELS (class names in the order of their ids; empty: regression).
TRAIN=(--optimizer adam --adam-betas "(0.9, 0.98)" --adam-eps 1e-6 --weight-decay 0.01
  --clip-norm 1.0 --dropout 0.1 --attention-dropout 0.1 --max-positions "$POSITIONS")
read -ra PRETRAIN_BATCH <<<"$PRETRAIN_BATCH"
read -ra FINETUNE_BATCH <<<"$FINETUNE_BATCH"
read -ra CLASSES <<<"$LABELS"
PRETRAIN_ARCH=roberta_ FINETUNE_ARCH=roberta_
PRETRAIN=("$OUT/mono" --task masked_lm --criterion kd_mlm --sample-break-mode complete
  --tokens-per-sample "$POSITIONS" "${TRAIN[@]}" "${PRETRAIN_BATCH[@]}")
FINETUNE=("$OUT/data" --task sentence_prediction --criterion kd_lu --init-token 0
  --separator-token 2 --shorten-method truncate "${TRAIN[@]}" "${FINETUNE_BATCH[@]}")
if [[ -n $LABELS ]]; then
  FINETUNE+=(--num-classes "${#CLASSES[@]}" --best-checkpoint-metric accuracy
    --maximize-best-checkpoint-metric)
else
  FINETUNE+=(--num-classes 1 --regression-target)
fi
source "$(dirname "${BASH_SOURCE[0]}")/bert_data.sh"
source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"
