#!/usr/bin/env bash
# Train on several GPUs of one or more machines. Run the same line on every machine; only NODE_RANK differs:
#   NODES=2 NODE_RANK=0 HEAD=machine1 GPUS=8 bash examples/cluster/torchrun.sh DATA --task translation ...
# Arguments are those of fairseq-train. On CPUs, GPUS is the number of processes, and the arguments need
# --cpu --distributed-backend gloo --ddp-backend legacy_ddp.
set -euo pipefail
: "${NODES:=1}" "${NODE_RANK:=0}" "${HEAD:=127.0.0.1}" "${PORT:=29500}" "${GPUS:=$(nvidia-smi -L | wc -l)}"
exec torchrun --nnodes "$NODES" --node_rank "$NODE_RANK" --nproc_per_node "$GPUS" \
  --master_addr "$HEAD" --master_port "$PORT" --no-python \
  fairseq-train "$@" --user-dir "$(lightpaff user-dir)"
