#!/usr/bin/env bash
# Run all steps of a recipe: bash examples/run.sh sentence_polarity
# Trains the teacher, then the students in two lanes of one core each (LANES=1: one at a time). Stop
# it at any time (Ctrl-C) and start it again: it continues.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/${1:?the folder of a recipe}" && pwd)
ABLATIONS=${ABLATIONS:-yes} # no: only the students without KD and with two-stage KD
TEACHER_THREADS=${TEACHER_THREADS:-2}
LANES=${LANES:-2}
read -ra SEEDS <<<"${SEEDS:-1}" # seeds of each student's fine-tuning
export KD_LAMBDA=${KD_LAMBDA:-0.5}

student() {
  for seed in "${SEEDS[@]}"; do SEED=$seed KD_LAMBDA=$2 PRETRAINED=$1 bash "$HERE/finetune.sh"; done
}
without() {
  KD_LAMBDA=0 bash "$HERE/pretrain.sh"
  student plain 0
  if [[ $ABLATIONS == yes ]]; then student plain "$KD_LAMBDA"; fi
}
with() {
  bash "$HERE/pretrain.sh"
  if [[ $ABLATIONS == yes ]]; then student kd 0; fi
  student kd "$KD_LAMBDA"
}
set -m # each lane is its own process group, so that it can be killed as a whole
lane() { "$@" </dev/null & }
# only running jobs: the id of a finished lane may belong to another program by now
end_lanes() { for id in $(jobs -pr); do kill -- "-$id" 2>/dev/null || true; done; }
trap end_lanes EXIT
trap 'exit 130' INT TERM HUP
bash "$HERE/prepare.sh"
THREADS=$TEACHER_THREADS lane bash "$HERE/teacher.sh"
wait -n
lane without
if ((LANES == 1)); then wait -n; fi
lane with
wait -n # the first that fails ends both
if ((LANES > 1)); then wait -n; fi
bash "$HERE/evaluate.sh"
