# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# The two training stages, the same for every family. A recipe's settings.sh sets sizes and schedules
# and sources families/FAMILY.sh, which sets the flags of both stages (PRETRAIN, FINETUNE and their
# architectures) and sources this file.
PRETRAINING=${PRETRAINING:-$OUT} # folder of the recipe whose pre-trained models are used
KD_LAMBDA=${KD_LAMBDA:-0.5}      # 0: without distillation
PRETRAINED=${PRETRAINED:-kd}     # student to fine-tune: student_pretrained_kd or _plain
SEED=${SEED:-1}                  # seed of a student's fine-tuning; part of the name if not 1

# model NAME_SIZE UPDATES LR ARCH_PREFIX: set MODEL, the flags of size and schedule: warm-up over 8%
# of the updates, then linear decay to zero
model() {
  local size
  read -ra size <<<"$1"
  MODEL=(--arch "$4${size[0]}" "${size[@]:1}" --lr-scheduler polynomial_decay --lr "$3"
    --warmup-updates "$(($2 * 8 / 100))" --max-update "$2" --total-num-update "$2")
}
# distill NAME CHECKPOINT: set KD, and NAME with _kd or _plain
distill() {
  KD=(--kd-lambda "$KD_LAMBDA") NAME=$1_plain
  if [[ $KD_LAMBDA != 0 ]]; then KD+=(--kd-teacher "$2") NAME=$1_kd; fi
}
# first_stage NAME FLAG...: pre-train, unless PRETRAINING names a recipe that has done it
first_stage() {
  if [[ $PRETRAINING == "$OUT" ]]; then
    train "$1" "${PRETRAIN[@]}" "${MODEL[@]}" "${@:2}"
  elif [[ -f $PRETRAINING/$1.pt ]]; then
    say "$1" "taken from $PRETRAINING"
  else
    say "$1" "error: $PRETRAINING/$1.pt does not exist" >&2 && return 1
  fi
}
# second_stage NAME PRETRAINED_NAME FLAG...: fine-tune
second_stage() {
  train "$1" "${FINETUNE[@]}" "${MODEL[@]}" --finetune-from-model "$PRETRAINING/$2.pt" "${@:3}"
}
