# shellcheck shell=bash disable=SC2034
# Sourced by the steps: what they share. Every value can be set from outside, as in
#   OUT=/some/folder STUDENT="tiny --encoder-layers 6 --decoder-layers 1" bash pretrain.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
OUT=${OUT:-$ROOT/outputs/tatoeba_sv_en}
VOCAB=${VOCAB:-4000}           # SentencePiece pieces, of both languages together
POSITIONS=${POSITIONS:-128}    # longest sentence, in pieces
MAX_TOKENS=${MAX_TOKENS:-1000} # a batch: small batches learn more from little data
WARMUP=${WARMUP:-200}          # updates until the peak of the learning rate
# a size of mass_* / transformer_mass_*, and flags that change it
read -ra TEACHER <<<"${TEACHER:-small}"
read -ra STUDENT <<<"${STUDENT:-tiny --encoder-layers 4 --decoder-layers 1}"

TRAIN=(--optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 1.0 --label-smoothing 0.1
  --lr-scheduler polynomial_decay --warmup-updates "$WARMUP" --max-tokens "$MAX_TOKENS"
  --max-source-positions "$POSITIONS" --max-target-positions "$POSITIONS")
PRETRAIN=("$OUT/mono" --task masked_seq2seq --tokens-per-sample "$POSITIONS"
  --sample-break-mode eos --criterion kd_mssm)
FINETUNE=("$OUT/data" --task translation -s sv -t en --criterion kd_ss)

# length N: sets LENGTH; at update N training ends and the learning rate is zero
length() { LENGTH=(--max-update "$1" --total-num-update "$1"); }
# distill LAMBDA CHECKPOINT: sets KD; LAMBDA 0 is no distillation
distill() {
  KD=(--kd-lambda "$1")
  if [[ $1 != 0 ]]; then KD+=(--kd-teacher "$2"); fi
}
