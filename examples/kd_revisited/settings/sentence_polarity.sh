# shellcheck shell=bash disable=SC2034,SC2154
# BERT on sentence_polarity: the recipe's teacher, students trained from scratch, short fine-tuning (about
# one epoch). Shapes have equal parameters, embeddings included, within 4%.
DEFAULT_VARY="knowledge=logits,embedding,hidden,attention,relation,all layer_map*knowledge=hidden"
DEFAULT_VARY+=" init*soft=0,0.5 soft=0,0.5,1,0.5_T2 shape*init=teacher_uniform"
DEFAULT_VARY+=" shape=4x80*init=random,teacher_important,homodistil"
STUDENT=tiny
: "${STUDENT_PRETRAIN:=--max-update 800 --lr 1e-3 --max-tokens 2048}"

sweep_settings() {
  SHAPES=("2x96" "$(shape 1 112)" "$(shape 3 88)" "$(shape 4 80)")
  PRUNED=("4x80 --task prunable_sentence_prediction --prune-target-width 80 --prune-start 0.05 --prune-end 0.7")
  SPLITS=(valid test) # neither is used in training: the last update is measured, none is chosen
  METRIC=accuracy
  stage roberta_tiny "--max-update ${UPDATES:-250} --lr 5e-4 --batch-size 32 --max-tokens 4096"
  ARCH=${MODEL[1]} TEACHER_ARCH=$FINETUNE_ARCH$TEACHER
  FLAGS=("${FINETUNE[@]}" "${MODEL[@]:2}")
}
shape() { # LAYERS WIDTH
  echo "$1x$2 --encoder-layers $1 --encoder-embed-dim $2 --encoder-ffn-embed-dim $((4 * $2))"
}
