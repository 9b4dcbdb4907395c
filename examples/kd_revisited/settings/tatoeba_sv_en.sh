# shellcheck shell=bash disable=SC2034,SC2154
# MASS on tatoeba_sv_en: a smaller teacher and fewer updates than the recipe's, and a student that is
# not deeper than its teacher. Shapes are encoder + decoder layers x width, with equal parameters
# within 3%.
export VOCAB=${VOCAB:-2000}
rates="--warmup-updates 80 --max-tokens 1000 --weight-decay 0"
width=(--{en,de}coder-embed-dim\ 192 --{en,de}coder-ffn-embed-dim\ 768)
TEACHER="small ${width[*]}"
: "${TEACHER_PRETRAIN:=--max-update 150 --lr 1.5e-3 $rates}"
: "${TEACHER_FINETUNE:=--max-update 1500 --lr 1.5e-3 $rates}"
STUDENT="tiny --encoder-layers 3 --decoder-layers 1"
: "${STUDENT_PRETRAIN:=--max-update 250 --lr 2e-3 $rates}"
DEFAULT_VARY="teacher soft=0,0.5,1 init=distilled,pretrained,random,teacher_first init=random*soft=0,0.5"
DEFAULT_VARY+=" shape=3+3x80*init=random,teacher_important,homodistil"
DEFAULT_VARY+=" knowledge=logits,embedding,hidden,attention,relation shape*init=random soft=0,0.5_T2"

sweep_settings() {
  SHAPES=("$(shape 3 1 96)" "$(shape 2 2 92)" "$(shape 1 1 124)" "$(shape 3 3 80)")
  PRUNED=("3+3x80 --task prunable_translation --prune-target-width 80 --prune-start 0.05 --prune-end 0.7")
  SPLITS=(test) # not used in training: the last update is measured, none is chosen
  METRIC=bleu
  stage transformer_mass_tiny "--max-update ${UPDATES:-900} --lr 2e-3 $rates"
  ARCH=${MODEL[1]} TEACHER_ARCH="$FINETUNE_ARCH$TEACHER"
  FLAGS=("${FINETUNE[@]}" "${MODEL[@]:2}" --max-tokens-valid 4000
    --eval-bleu --eval-bleu-args '{"beam": 5}' --eval-bleu-remove-bpe sentencepiece)
}
shape() { # ENCODER_LAYERS DECODER_LAYERS WIDTH
  echo "$1+$2x$3 --encoder-layers $1 --decoder-layers $2 --encoder-embed-dim $3 --decoder-embed-dim $3" \
    "--encoder-ffn-embed-dim $((4 * $3)) --decoder-ffn-embed-dim $((4 * $3))"
}
