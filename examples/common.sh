# shellcheck shell=bash
# Sourced by the recipes: sets ROOT, PATH and threads, and defines `train`, which never repeats a
# finished step.
# BIN is the folder of the commands (python, fairseq-train, lightpaff).
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH=${BIN:-$ROOT/.venv/bin}:$PATH
export OMP_NUM_THREADS="${THREADS:-1}" # small models: runs side by side beat threads
say() { printf '  %-26s %s\n' "$1" "$2"; }
failed() { say "$1" "failed; the end of $2:" >&2 && tail -n 3 "$2" >&2; }

# train NAME FLAG...: lightpaff train in OUT/NAME; the best checkpoint, stripped (or FINISH), as OUT/NAME.pt
train() {
  local name=$1 log=$OUT/logs/$1.log lock
  shift
  mkdir -p "$OUT/logs" "$OUT/$name"
  same_flags "$name" "$@" || return 1
  if [[ -f $OUT/$name.pt ]]; then say "$name" "finished before, reused"; return; fi
  exec {lock}>"$OUT/$name/lock"
  flock --nonblock "$lock" || { say "$name" "error: another process is training it" >&2; return 1; }
  if [[ ! -f $OUT/$name/trained ]]; then
    if [[ -f $OUT/$name/checkpoint_last.pt ]]; then say "$name" "was interrupted, continues"; fi
    lightpaff train --name "$name" --log "$log" "$@" --save-dir "$OUT/$name" --no-epoch-checkpoints \
      --num-workers "${WORKERS:-0}" --log-interval 50 --required-batch-size-multiple 1 --update-epoch-batch-itr True || return 1
    touch "$OUT/$name/trained"
  fi
  lightpaff "${FINISH:-strip}" --path "$OUT/$name/checkpoint_best.pt" --out "$OUT/$name.pt" >>"$log" 2>&1 ||
    { failed "$name" "$log"; return 1; }
  exec {lock}>&-
}
# same_flags NAME FLAG...: refuse to reuse or continue a model that was trained with other flags.
same_flags() {
  local file=$OUT/$1/flags flags="${*//$OUT/OUT}"
  if [[ ! -f $file || $(<"$file") == "$flags" ]]; then echo "$flags" >"$file" && return; fi
  say "$1" "error: was trained with other flags; remove $OUT/$1 and $OUT/$1.pt, or set OUT" >&2
  diff <(tr ' ' '\n' <"$file") <(tr ' ' '\n' <<<"$flags") | grep '^[<>]' >&2
  return 1
}
