# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# MASS: masked_seq2seq with kd_mssm on text, then translation (or summarization) with kd_ss.
# The recipe sets SOURCE and TARGET, its file extensions (such as sv and en), and TRUNCATE=yes to
# truncate long inputs (summarization).
TRAIN=(--optimizer adam --adam-betas "(0.9, 0.98)" --weight-decay 0.01 --clip-norm 1.0
  --dropout 0.1 --attention-dropout 0.1 --label-smoothing 0.1 --skip-invalid-size-inputs-valid-test
  --max-source-positions "$POSITIONS" --max-target-positions "$POSITIONS")
read -ra PRETRAIN_BATCH <<<"$PRETRAIN_BATCH"
read -ra FINETUNE_BATCH <<<"$FINETUNE_BATCH"
PRETRAIN_ARCH=mass_ FINETUNE_ARCH=transformer_mass_
PRETRAIN=("$OUT/mono" --task masked_seq2seq --criterion kd_mssm --tokens-per-sample "$POSITIONS"
  --sample-break-mode "${BREAK_MODE:-eos}" "${TRAIN[@]}" "${PRETRAIN_BATCH[@]}")
FINETUNE=("$OUT/data" --task translation -s "$SOURCE" -t "$TARGET" --criterion kd_ss
  "${TRAIN[@]}" "${FINETUNE_BATCH[@]}")
GENERATE="--max-source-positions $POSITIONS --max-target-positions $POSITIONS"
if [[ -n ${TRUNCATE:-} ]]; then FINETUNE+=(--truncate-source) GENERATE+=" --truncate-source"; fi
source "$(dirname "${BASH_SOURCE[0]}")/../corpus.sh"
source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"

# pairs: OUT/text/{SOURCE,TARGET}.{train,valid,test} -> OUT/data, and pre-training text:
# CORPUS_DIR's, or else both sides of the training pairs -> OUT/mono
pairs() {
  local side split text=$OUT/text
  general_text "$OUT/text/$SOURCE" "$OUT/text/$TARGET"
  vocabulary "$OUT/text/"{"$SOURCE","$TARGET"}.train
  if [[ $PRETRAINING == "$OUT" ]]; then binarize "$OUT/mono" general train valid; fi
  for split in train valid test; do
    for side in "$SOURCE" "$TARGET"; do
      lightpaff subwords encode --model "$OUT/spm.model" <"$OUT/text/$side.$split" >"$text/$split.spm.$side"
    done
  done
  fairseq-preprocess -s "$SOURCE" -t "$TARGET" --srcdict "$OUT/spm.dict.txt" \
    --tgtdict "$OUT/spm.dict.txt" --destdir "$OUT/data" --trainpref "$text/train.spm" \
    --validpref "$text/valid.spm" --testpref "$text/test.spm" >>"$OUT/logs/prepare.log" 2>&1
  finish "$(wc -l <"$OUT/text/$SOURCE.train") pairs"
}
