# shellcheck shell=bash disable=SC2153,SC2154
# The steps teacher, pretrain, finetune and evaluate of a recipe, from the stages.
source "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

teacher() {
  model "$TEACHER" "$TEACHER_PRETRAIN_UPDATES" "$TEACHER_PRETRAIN_LR" "$PRETRAIN_ARCH"
  first_stage teacher_pretrained --kd-lambda 0
  model "$TEACHER" "$TEACHER_FINETUNE_UPDATES" "$TEACHER_FINETUNE_LR" "$FINETUNE_ARCH"
  second_stage teacher teacher_pretrained --kd-lambda 0
}
pretrain() { # the student, from the pre-trained teacher
  model "$STUDENT" "$STUDENT_PRETRAIN_UPDATES" "$STUDENT_PRETRAIN_LR" "$PRETRAIN_ARCH"
  distill student_pretrained "$PRETRAINING/teacher_pretrained.pt"
  first_stage "$NAME" "${KD[@]}"
}
finetune() { # the student, from the fine-tuned teacher
  model "$STUDENT" "$STUDENT_FINETUNE_UPDATES" "$STUDENT_FINETUNE_LR" "$FINETUNE_ARCH"
  distill "student_$PRETRAINED" "$OUT/teacher.pt"
  if [[ $SEED != 1 ]]; then NAME+=_seed$SEED; fi
  second_stage "$NAME" "student_pretrained_$PRETRAINED" "${KD[@]}" --seed "$SEED"
}
# measure FLAG...: print the table of the teacher and all finished students; write OUT/results.json
measure() {
  local names=() groups=() paths=() title file
  while read -r title file; do
    for file in "$OUT/$file.pt" "$OUT/${file}_seed"*.pt; do
      if [[ ! -f $file ]]; then continue; fi
      paths+=("$file") groups+=("${title//_/ }")
      names+=("${title//_/ }$(sed -En 's/.*(_seed)([0-9]+).pt/, seed \2/p' <<<"$file")")
    done; done <<<"teacher teacher
no_KD student_plain_plain
pre-training_KD student_kd_plain
fine-tuning_KD student_plain_kd
two-stage_KD student_kd_kd
$(for by in sensitivity platon magnitude oneshot; do echo "pruned,_$by pruned_${by}_kd"; done)"
  lightpaff evaluate "$OUT/data" --path "${paths[@]}" --name "${names[@]}" --group "${groups[@]}" \
    --out "$OUT/results.json" "$@" >"$OUT/table.tmp"
  mv "$OUT/table.tmp" "$OUT/table.txt"
  cat "$OUT/table.txt"
}
