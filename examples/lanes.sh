# shellcheck shell=bash
# lane COMMAND...: run it in the background, in a process group of its own. `wait -n` waits for the next
# that ends; whatever ends the script ends the lanes.
set -m
lane() { "$@" </dev/null & }
# only running jobs: the id of a finished lane may belong to another program by now
end_lanes() { for id in $(jobs -pr); do kill -- "-$id" 2>/dev/null || true; done; }
trap end_lanes EXIT
trap 'exit 130' INT TERM HUP
