#!/usr/bin/env bash
# shellcheck disable=SC2034
# Fine-tune an encoder from Hugging Face (a folder) as the teacher of a BERT recipe, and distill it:
#   HF=MiniLM DATA_DIR=... SEEDS="1 2 3" bash examples/encoder.sh sentence_polarity [SETTING=VALUE...]
# Rows: from random weights, without and with distillation; from the teacher's, without and with. See README.md.
# ABLATIONS=no: "from the teacher" alone. TWO_STAGE=yes: the encoder gets a masked-LM head first, and teaches both stages.
set -euo pipefail
RECIPE=${1:?the folder of a BERT recipe} HF=${HF:?a model of transformers, as a folder}
shift
export OUT=${OUT:-$PWD/outputs/${RECIPE}_encoder}
export ENCODER=$OUT/encoder PRETRAINING=$OUT
SEPARATOR="" # BERT has one between two sentences
: "${TEACHER_PRETRAIN:=--max-update 300 --lr 3e-4 --max-tokens 1024}"
: "${TEACHER_FINETUNE:=--max-update 500 --lr 5e-5 --batch-size 32 --max-tokens 4096}"
# shellcheck source=/dev/null
STEPS="" source "$(dirname "${BASH_SOURCE[0]}")/$RECIPE/run.sh" "$@"
source "$ROOT/examples/encoder_teacher.sh"
SETTINGS+=("tokenizer=$ENCODER")
rows() {
  for seed in $SEEDS; do
    START=(--init teacher)
    student "from_teacher$(suffix)" "seed=$seed"
    if [[ $ABLATIONS != yes ]]; then continue; fi
    student "cut_out$(suffix)" "seed=$seed" kd_lambda=0
    START=(--init random)
    student "no_kd$(suffix)" "seed=$seed" kd_lambda=0
    student "finetuning_kd$(suffix)" "seed=$seed"
  done
  if [[ -n ${TWO_STAGE:-} ]]; then ABLATIONS=no branch two_stage teacher ""; fi
}
lane converted && wait -n
prepare
OMP_NUM_THREADS=${TEACHER_THREADS:-2} lane encoder_stages && wait -n
lane rows && wait -n
evaluate
