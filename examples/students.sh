# shellcheck shell=bash disable=SC2034,SC2154
# The students of a recipe, each made by one `lightpaff distill` in a folder of its own: two_stage and
# from_teacher, and for comparison pretraining_kd, no_kd and finetuning_kd, which are not exported.
INIT=${INIT:-teacher}       # where two_stage starts: weights cut out of the teacher, or random ones
ABLATIONS=${ABLATIONS:-yes} # no: two_stage alone
SEEDS=${SEEDS:-1}           # of the fine-tunings, as "1 2 3"
LANES=${LANES:-2}           # students at a time
students() {
  lane from_teachers
  if [[ $ABLATIONS == yes ]]; then
    if ((LANES == 1)); then wait -n; fi
    lane branch no_kd random kd_lambda=0 finetuning_kd ""
    if ((LANES > 1)); then wait -n; fi # the first that fails ends both
  fi
  wait -n
}
from_teachers() { # the pre-trained one, then the fine-tuned one, without pre-training
  branch two_stage "$INIT" "" pretraining_kd kd_lambda=0
  START=(--init teacher)
  if [[ $ABLATIONS == yes ]]; then for seed in $SEEDS; do student "from_teacher$(suffix)" "seed=$seed"; done; fi
}
suffix() { if [[ $seed != "${SEEDS%% *}" ]]; then echo "_seed$seed"; fi; }
# branch ROW INIT SETTING OTHER SETTING: ROW, pre-trained from INIT and fine-tuned; then, fine-tuned from
# the same pre-trained student, OTHER and further seeds of both
branch() {
  START=(--init "$2" --pretrained-teacher "$PRETRAINING/teacher_pretrained.pt" --text "$PRETRAINING/mono")
  if [[ $PRETRAINING != "$OUT" ]]; then START=(--init "$PRETRAINING/$1/pretrained.pt"); fi
  for seed in $SEEDS; do
    student "$1$(suffix)" "seed=$seed" ${3:+"$3"}
    START=(--init "$PRETRAINING/$1/pretrained.pt")
    if [[ $ABLATIONS == yes ]]; then student "$4$(suffix)" "seed=$seed" ${5:+"$5"}; fi
  done
}
student() { # NAME SETTING...: OUT/NAME/student.pt, from START
  local more=()
  if [[ $1 != two_stage && $1 != from_teacher ]]; then more+=(serve=none); fi
  if [[ ${START[1]} == *.pt ]]; then more+=(smaller= params= arch= encoder_layers= decoder_layers=); fi
  lightpaff distill --config "$CONFIG" --teacher "$OUT/teacher.pt" --data "$OUT/data" "${START[@]}" \
    --out "$OUT/$1" "${SETTINGS[@]}" "${more[@]}" "${@:2}" 2> >(sed -u "s/^/$1: /" >&2) | sed -u "s/^/$1: /"
}
