# shellcheck shell=bash disable=SC2034
# Sourced by gpu.sh: the sizes of every step, those of the papers on a GPU or toy ones for --dry-run.
declare -A STUDENTS TEACHERS
if [[ ${1:-} == --dry-run ]]; then
  export CUDA_VISIBLE_DEVICES='' TRITON_INTERPRET=1
  DEVICE=cpu SLOWER=10 # a busy machine
  KERNEL=(--collect-only)
  LOSS_DTYPES=(bfloat16)
  LOSS=(--tokens 8 --student-dim 4 --teacher-dim 8 --topk 3 --over vocab 20 30 40 --repeats 1 --no-memory)
  LOSS+=(--peers fused-torch cached-torch)
  if has triton; then LOSS+=(fused-triton); fi
  STUDENTS=([mass]=mass_tiny [bert]=roberta_tiny [gpt2]=transformer_lm_gpt2_micro)
  TEACHERS=([mass]=mass_tiny [bert]=roberta_tiny [gpt2]=transformer_lm_gpt2_micro)
  STEP=(--vocab 40 --sentences 2 --length 6 --topk 5 --repeats 1)
  BACKENDS=(fairseq)
  if has ctranslate2; then BACKENDS+=(ctranslate2-int8); fi
  INFERENCE=(--teacher-arch transformer_mass_tiny --student-arch transformer_mass_tiny --vocab 40 --sentences 2
    --latency-sentences 1 --batch 2 --length 4 --beam 2 --repeats 1)
  export TSV=$OUT/tsv
  mkdir -p "$TSV"
  for split in train valid test; do
    gzip -dc "$RECIPE/data/$split.tsv.gz" | awk 'NR <= 8' | gzip >"$TSV/$split.tsv.gz"
  done
  DISTILL=(--updates 2 --decoder-layers 1 --train-flags=--bf16 --serve none --cache no)
else
  "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
    fail "$PYTHON: PyTorch finds no GPU; bash scripts/gpu.sh --dry-run needs none"
  DEVICE=cuda SLOWER=1 KERNEL=()
  LOSS_DTYPES=(bfloat16 float16 float32)
  LOSS=(--tokens 8192 --chunk-tokens 1024 --over vocab 8000 32000 128000)
  LOSS+=(--peers fused-torch fused-triton cached-torch fused-compiled)
  if has liger_kernel.chunked_loss; then LOSS+=(liger liger-compiled); fi
  STUDENTS=([mass]=mass_student [bert]=roberta_student [gpt2]=transformer_lm_gpt2_student)
  TEACHERS=([mass]=mass_teacher [bert]=roberta_base [gpt2]=transformer_lm_gpt2_teacher)
  STEP=(--vocab 32000 --sentences 64 --length 128 --chunk-tokens 1024 --memory)
  BACKENDS=(fairseq fairseq-half)
  if has ctranslate2; then BACKENDS+=(ctranslate2-float16 ctranslate2-int8_float16); fi
  INFERENCE=(--teacher-arch transformer_mass_teacher --student-arch transformer_mass_student --sentences 128
    --latency-sentences 4 --batch 64 --repeats 2)
  DISTILL=(--updates 1800 --decoder-layers 3 --train-flags=--bf16 --serve none --cache no)
fi
read -ra FAMILIES <<<"${FAMILIES:-mass bert gpt2}"
read -ra STEP_DTYPES <<<"${STEP_DTYPES:-bfloat16 float16}"
