# shellcheck shell=bash disable=SC2154
# Check that a recipe's input files exist and are the official ones.
prepared() {
  mkdir -p "$OUT/text"
  if [[ -f $OUT/prepared ]]; then say prepare "finished before, reused"; else return 1; fi
}
finish() { touch "$OUT/prepared" && say prepare "$(wc -l <"$OUT/spm.dict.txt") tokens, $1"; }
refuse() { say prepare "error: $1" >&2 && return 1; }
plain() { gzip -dcf "$@"; } # plain text from plain or gzipped files
# files DIR NAME...: sets FILES to DIR/NAME or DIR/NAME.gz of each
files() {
  local name missing=()
  FILES=()
  for name in "${@:2}"; do
    if [[ -f $1/$name ]]; then FILES+=("$1/$name")
    elif [[ -f $1/$name.gz ]]; then FILES+=("$1/$name.gz")
    else missing+=("$name"); fi
  done
  if ((${#missing[@]})); then refuse "not in $1: ${missing[*]}; README.md says where they come from"; fi
}
# lines FILE COUNT...: compare line counts with the official data (CHECK_DATA=no: skip)
lines() {
  local file count
  if [[ ${CHECK_DATA:-yes} == no ]]; then return; fi
  while (($#)); do
    file=$1 count=$(plain "$1" | wc -l)
    if ((count != $2)); then refuse "$file: expected $2 lines, got $count"; fi
    shift 2
  done
}
# checksum FILE MD5
checksum() {
  local digest
  if [[ ${CHECK_DATA:-yes} == no ]]; then return; fi
  digest=$(md5sum <"$1")
  if [[ ${digest%% *} != "$2" ]]; then refuse "$1: expected MD5 $2, got ${digest%% *}"; fi
}
