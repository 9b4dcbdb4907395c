#!/usr/bin/env bash
# What can only be checked and measured on a machine with a GPU, into OUT (gpu_results): the doctor's
# report, the tests of precision, and the benchmarks of the loss (through torch.compile and beside
# other libraries', too), of an update, and of serving in half precision.
#   PYTHON=/some/environment/bin/python bash scripts/gpu.sh
# Takes an environment in which `pip install -e .[dev]` was done with a CUDA build of PyTorch; the
# extra bench adds the peers. Stopped early, it leaves what is done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-.venv/bin/python}
OUT=${OUT:-gpu_results}
read -ra PEERS <<<"${PEERS---peers fused-compiled liger liger-compiled}" # PEERS="" where Liger is not installed
mkdir -p "$OUT"

lightpaff() { "$PYTHON" -m lightpaff_fairseq.cli.main "$@"; }
"$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || {
  echo "[gpu] error: $PYTHON: PyTorch finds no GPU" >&2
  exit 1
}
lightpaff doctor | tee "$OUT/doctor.txt"
"$PYTHON" -m pytest tests/contracts/test_precision.py tests/unit/test_losses.py | tee "$OUT/tests.txt"
for dtype in float32 bfloat16 float16; do
  lightpaff benchmark loss --device cuda --dtype "$dtype" --tokens 8192 --chunk-tokens 1024 \
    "${PEERS[@]}" --json "$OUT/loss_$dtype.json" | tee "$OUT/loss_$dtype.txt"
done
for chunk in 256 512 2048 8192; do
  lightpaff benchmark loss --device cuda --dtype bfloat16 --tokens 8192 --chunk-tokens "$chunk" |
    tee "$OUT/loss_chunk_$chunk.txt"
done
for family in mass bert gpt2; do
  lightpaff benchmark step --family "$family" --device cuda --sentences 64 --length 128 --vocab 32000 \
    --json "$OUT/step_$family.json" | tee "$OUT/step_$family.txt"
done
lightpaff benchmark inference --device cuda --random --teacher-arch transformer_mass_teacher \
  --student-arch transformer_mass_student --sentences 256 --latency-sentences 8 --batch 64 --memory \
  --json "$OUT/inference.json" | tee "$OUT/inference.txt"
echo "[gpu] results in $OUT"
