#!/usr/bin/env bash
# The table: teacher and every finished student on the test set; also OUT/results.json.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
REPEATS=${REPEATS:-3} # runs of fairseq-generate a model; speed is their median
names=() groups=() paths=()
add() { # FILE NAME [NAME_OF_ALL_SEEDS]
  if [[ -f $OUT/$1.pt ]]; then names+=("$2") groups+=("${3:-$2}") paths+=("$OUT/$1.pt"); fi
}
add teacher "teacher"
add student_plain_plain "student, no KD"
add student_kd_plain "student, pre-training KD"
add student_plain_kd "student, fine-tuning KD"
add student_kd_kd "student, two-stage KD"
for by in sensitivity platon magnitude oneshot; do
  add "pruned_${by}_kd" "pruned, $by"
  for file in "$OUT/pruned_${by}_kd_seed"*.pt; do
    seed=${file##*_seed}
    add "pruned_${by}_kd_seed${seed%.pt}" "pruned, $by, seed ${seed%.pt}" "pruned, $by"
  done
done

compare=()
if [[ -f $OUT/student_plain_plain.pt && -f $OUT/student_kd_kd.pt ]]; then
  compare=(--compare "student, no KD" "student, two-stage KD")
fi

# evaluated before, and no model is newer: the table is shown again
if [[ -n $(find "${paths[@]}" -newer "$OUT/table.txt" 2>&1) ]]; then
  say evaluate "translating the test set $REPEATS times with ${#names[@]} models"
  lightpaff evaluate "$OUT/data" --path "${paths[@]}" --name "${names[@]}" --group "${groups[@]}" --repeats "$REPEATS" \
    --references "$OUT/text/test.en" --out "$OUT/results.json" "${compare[@]}" >"$OUT/table.tmp"
  mv "$OUT/table.tmp" "$OUT/table.txt"
fi
cat "$OUT/table.txt"
echo "The same as JSON: $OUT/results.json"
