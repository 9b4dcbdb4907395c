# shellcheck shell=bash disable=SC2154
# evaluate: the table of teacher and all finished students, as OUT/table.txt and OUT/results.json.
# EVALUATE has the flags of the task.
add() { # FILE NAME NAME_OF_ALL_SEEDS
  [[ -f $1 ]] || return 0
  paths+=("$1") names+=("$2") groups+=("$3")
  if [[ -d ${1%/*}/trimmed_data ]]; then others+=("$2=${1%/*}/trimmed_data"); fi # keep_tokens
}
evaluate() {
  local paths=() names=() groups=() others=() compare=() row title file
  add "$OUT/teacher.pt" teacher teacher
  while read -r row title; do
    add "$OUT/$row/student.pt" "$title" "$title"
    for file in "$OUT/${row}_seed"*/student.pt; do
      add "$file" "$title, seed $(sed -E 's/.*_seed(.*).student.pt/\1/' <<<"$file")" "$title"
    done
  done <<<"no_kd no KD
pretraining_kd pre-training KD
finetuning_kd fine-tuning KD
two_stage two-stage KD
cut_out from the teacher, no KD
from_teacher from the teacher
unlabeled two-stage KD, unlabeled text
same_updates from the teacher, updates as below
augmented augmented data
two_phases augmented data, two phases
$(for by in sensitivity platon magnitude oneshot; do echo "pruned_${by}_kd pruned, $by"; done)"
  if [[ -n ${COMPARE:-} && " ${names[*]} " == *" no KD "*" two-stage KD "* ]]; then
    compare=(--compare "no KD" "two-stage KD")
  fi
  # evaluated before, and no model is newer: the table is shown again
  if [[ -n $(find "${paths[@]}" -newer "$OUT/table.txt" 2>&1) ]]; then
    say evaluate "running the test set with ${#names[@]} models"
    lane lightpaff evaluate "$OUT/data" --path "${paths[@]}" --name "${names[@]}" --group "${groups[@]}" \
      --out "$OUT/results.json" "${EVALUATE[@]}" ${others[0]:+--data-of "${others[@]}"} "${compare[@]}" >"$OUT/table.tmp"
    wait -n
    mv "$OUT/table.tmp" "$OUT/table.txt"
  fi
  cat "$OUT/table.txt"
}
