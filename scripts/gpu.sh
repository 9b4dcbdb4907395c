#!/usr/bin/env bash
# What only a machine with a GPU can check and measure, the most valuable first, in ten minutes:
#   PYTHON=/some/environment/bin/python OUT=gpu_results bash scripts/gpu.sh
# OUT, a new folder, gets NAME.log of every step, NAME.json of every benchmark, steps.txt (seconds, exit codes) and
# results.tar.gz with all of these. A step that fails or runs out of time does not stop the others.
#   bash scripts/gpu.sh --dry-run
# runs the same steps on the CPU with toy sizes, in about three minutes on an idle core, to find typos before a GPU
# costs money. Left out, since they need CUDA or minutes: torch.compile, half precision of inference, tests on a GPU.
# The tests run its doctor and benchmarks alone, with FAMILIES=mass STEP_DTYPES=float16, and check the other commands.
# PYTHON has the packages of `pip install -e .[dev]` with a CUDA build of PyTorch; the extras bench and ctranslate2 add
# peers and a server. The distillation runs in bf16.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=$(command -v "${PYTHON:-.venv/bin/python}") && PYTHON=$(realpath -s "$PYTHON")
OUT=$(realpath -m "${OUT:-gpu_results/$(date +%Y%m%d_%H%M%S)}")
RECIPE=$PWD/examples/tatoeba_sv_en
export PYTHON OUT PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
fail() { echo "[gpu] error: $1" >&2 && exit 2; }
if (($# > 1)) || [[ ${1:---dry-run} != --dry-run ]]; then fail "$*: expected --dry-run or nothing"; fi
if [[ -n $(ls -A "$OUT" 2>/dev/null) ]]; then fail "OUT=$OUT: expected a new folder, got one with files"; fi
has() { "$PYTHON" -c "import $1" 2>/dev/null; }
source scripts/gpu_sizes.sh "$@"
failed=() budget=0
mkdir -p "$OUT/bin"
# the commands of the recipe, also where the packages are only on PYTHONPATH
for entry in python: lightpaff:"-m lightpaff_fairseq.cli.main" fairseq-{train,preprocess,generate}:; do
  name=${entry%%:*} words=${entry#*:}
  if [[ $name == fairseq-* ]]; then words="-m fairseq_cli.${name#*-}"; fi
  printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$PYTHON" "$words" >"$OUT/bin/$name"
  chmod +x "$OUT/bin/$name"
done
export BIN=$OUT/bin PATH=$OUT/bin:$PATH

step() { # SECONDS NAME COMMAND...: the seconds that earlier steps did not need are added
  local limit name=$2 start=$SECONDS code=0
  budget=$((budget + $1 * SLOWER)) limit=$((budget > SECONDS ? budget - SECONDS : 1))
  echo "[gpu] $name, at most $limit s"
  timeout --kill-after 5 "$limit" "${@:3}" >"$OUT/$name.log" 2>&1 </dev/null || code=$?
  cat "$OUT/$name.log"
  echo "$name: $((SECONDS - start)) s, exit code $code" >>"$OUT/steps.txt"
  if ((code == 124 || code == 137)); then failed+=("$name (time limit)"); elif ((code)); then failed+=("$name"); fi
  (cd "$OUT" && tar -czf results.tar.gz --ignore-failed-read steps.txt ./*.log ./*.json 2>/dev/null) || true
}
benchmark() { # SECONDS NAME KIND FLAG...
  step "$1" "$2" lightpaff benchmark "${@:3}" --device "$DEVICE" --json "$OUT/$2.json"
}

step 20 doctor lightpaff doctor
step 70 tests python -m pytest -q -m gpu tests/contracts/test_host_waits.py tests/contracts/test_precision.py
step 30 kernel python -m pytest -q tests/unit/losses/test_triton_kernel.py -k equals "${KERNEL[@]}"
for dtype in "${LOSS_DTYPES[@]}"; do
  benchmark 35 "loss_$dtype" loss --dtype "$dtype" "${LOSS[@]}"
done
for dtype in "${STEP_DTYPES[@]}"; do
  for family in "${FAMILIES[@]}"; do
    benchmark 25 "step_${family}_$dtype" step --family "$family" --dtype "$dtype" \
      --student "--arch ${STUDENTS[$family]}" --teacher "--arch ${TEACHERS[$family]}" "${STEP[@]}"
  done
done
benchmark 45 inference inference --random --backends "${BACKENDS[@]}" "${INFERENCE[@]}"
step 30 data env OUT="$OUT/tatoeba" SUBWORDS=shipped bash "$RECIPE/prepare.sh"
step 140 distill lightpaff distill --config "$RECIPE/config.yaml" --teacher "$RECIPE/teacher/teacher.pt" \
  --data "$OUT/tatoeba/data" --out "$OUT/distilled" "${DISTILL[@]}"

cat "$OUT/steps.txt"
echo "[gpu] results in $OUT"
if ((${#failed[@]})); then
  printf '[gpu] error: failed, see %s/NAME.log: %s\n' "$OUT" "$(IFS=,; echo "${failed[*]}")" >&2
  exit 1
fi
