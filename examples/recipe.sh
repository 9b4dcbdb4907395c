# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# Sourced by the run.sh of every recipe, which sets size and schedules of its teacher and then calls
# `recipe FAMILY`. README.md explains the variables.
HERE=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
# shellcheck source=/dev/null
for file in common lanes students table; do source "$(dirname "${BASH_SOURCE[0]}")/$file.sh"; done
export OUT=${OUT:-$ROOT/outputs/${HERE##*/}}
PRETRAINING=${PRETRAINING:-$OUT} # folder of the recipe whose pre-trained models are used
CONFIG=${CONFIG:-$HERE/config.yaml}
STEPS=${STEPS-prepare teacher students evaluate}

# recipe FAMILY [SETTING=VALUE...]: run the steps; the settings are those of lightpaff distill
recipe() {
  local step
  SETTINGS=("${@:2}")
  # shellcheck source=/dev/null
  source "$ROOT/examples/families/$1.sh"
  for step in $STEPS; do "$step"; done
}
prepare() { lane bash "$HERE/prepare.sh" && wait -n; }
teacher() {
  OMP_NUM_THREADS=${TEACHER_THREADS:-2} lane both_stages
  wait -n # not `&&`, after which a failure in the lane would not end it
}
both_stages() {
  stage "$PRETRAIN_ARCH$TEACHER" "$TEACHER_PRETRAIN"
  if [[ $PRETRAINING == "$OUT" ]]; then train teacher_pretrained "${PRETRAIN[@]}" "${MODEL[@]}" --kd-lambda 0; fi
  stage "$FINETUNE_ARCH$TEACHER" "$TEACHER_FINETUNE"
  train teacher "${FINETUNE[@]}" "${MODEL[@]}" --kd-lambda 0 --finetune-from-model "$PRETRAINING/teacher_pretrained.pt"
}
# stage ARCH FLAGS: set MODEL, the flags of size and schedule: warm-up over 8% of the updates, then
# linear decay to zero; FLAGS may say otherwise
stage() {
  local updates arch flags
  read -ra arch <<<"$1"
  read -ra flags <<<"$2"
  updates=$(sed -E 's/.*--max-update ([0-9]+).*/\1/' <<<"$2")
  MODEL=(--arch "${arch[@]}" --lr-scheduler polynomial_decay --total-num-update "$updates"
    --warmup-updates "$((updates * 8 / 100))" "${flags[@]}")
}
