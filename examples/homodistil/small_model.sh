# shellcheck shell=bash disable=SC2154
# Sourced by the steps, after settings.sh.

small_model() { # the flags of what the teacher is pruned to
  local plan=()
  set -- "${PRUNE_TARGET[@]}" "${PRUNE_FLAGS[@]}"
  while (($#)); do
    case $1 in --prune-target-* | --prune-multiple | --prune-attention) plan+=("--${1#--prune-}" "$2") ;; esac
    shift
  done
  lightpaff prune-plan --path "$PRETRAINING/teacher_pretrained.pt" "${plan[@]}" |
    sed -n 's/^architecture: //p'
}
