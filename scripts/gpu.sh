#!/usr/bin/env bash
# What can only be checked and measured on a machine with a GPU, into OUT (gpu_results): the doctor's
# report, the tests of precision, and the benchmarks of the loss (through torch.compile and beside
# other libraries', too), of an update, and of serving in half precision.
#   PYTHON=/some/environment/bin/python bash scripts/gpu.sh
# Takes an environment in which `pip install -e .[dev]` was done with a CUDA build of PyTorch; the
# extras bench and ctranslate2 add the peers and a server. A step that fails does not stop the others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-.venv/bin/python}
OUT=${OUT:-gpu_results}
"$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || {
  echo "[gpu] error: $PYTHON: PyTorch finds no GPU" >&2
  exit 1
}
has() { "$PYTHON" -c "import $1" 2>/dev/null; }
peers=(fused-compiled) backends=(fairseq-half)
if has liger_kernel.chunked_loss; then peers+=(liger liger-compiled); fi
if has ctranslate2; then backends+=(ctranslate2-float16 ctranslate2-int8); fi
mkdir -p "$OUT"
failed=()

step() { # NAME ARGUMENT...: of python -m, output to OUT/NAME.txt
  echo "[gpu] $1"
  "$PYTHON" -m "${@:2}" 2>&1 | tee "$OUT/$1.txt" || failed+=("$1")
}
benchmark() { # NAME KIND FLAG...: numbers to OUT/NAME.json, too
  step "$1" lightpaff_fairseq.cli.main benchmark "${@:2}" --device cuda --json "$OUT/$1.json"
}

step doctor lightpaff_fairseq.cli.main doctor
step tests pytest tests/contracts/test_host_waits.py tests/contracts/test_precision.py \
  tests/unit/losses/test_fused.py
for dtype in float32 bfloat16 float16; do
  benchmark "loss_$dtype" loss --dtype "$dtype" --tokens 8192 --chunk-tokens 1024 --peers "${peers[@]}"
done
for chunk in 256 512 2048 8192; do
  benchmark "loss_chunk_$chunk" loss --dtype bfloat16 --tokens 8192 --chunk-tokens "$chunk"
done
for family in mass bert gpt2; do
  benchmark "step_$family" step --family "$family" --sentences 64 --length 128 --vocab 32000
done
benchmark inference inference --random --teacher-arch transformer_mass_teacher \
  --student-arch transformer_mass_student --sentences 256 --latency-sentences 8 --batch 64 --memory \
  --backends "${backends[@]}"

echo "[gpu] results in $OUT"
if ((${#failed[@]})); then
  echo "[gpu] error: failed, see their .txt: ${failed[*]}" >&2
  exit 1
fi
