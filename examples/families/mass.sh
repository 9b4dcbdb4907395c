# shellcheck shell=bash disable=SC2034,SC2154
# MASS: masked_seq2seq with kd_mssm on text, then translation (or summarization) with kd_ss.
# The recipe sets POSITIONS, and SOURCE and TARGET, its file extensions (such as sv and en). For
# summarization: TRUNCATE=yes (long inputs), and REFERENCES if they are not the targets.
TRAIN=(--optimizer adam --adam-betas "(0.9, 0.98)" --weight-decay 0.01 --clip-norm 1.0
  --dropout 0.1 --attention-dropout 0.1 --label-smoothing 0.1 --skip-invalid-size-inputs-valid-test
  --max-source-positions "$POSITIONS" --max-target-positions "$POSITIONS")
PRETRAIN_ARCH=mass_ FINETUNE_ARCH=transformer_mass_
PRETRAIN=("$PRETRAINING/mono" --task masked_seq2seq --criterion kd_mssm --tokens-per-sample "$POSITIONS"
  --sample-break-mode "${BREAK_MODE:-eos}" "${TRAIN[@]}")
FINETUNE=("$OUT/data" --task translation -s "$SOURCE" -t "$TARGET" --criterion kd_ss "${TRAIN[@]}")
GENERATE="--max-source-positions $POSITIONS --max-target-positions $POSITIONS"
EVALUATE=(--references "${REFERENCES[@]:-$OUT/text/$TARGET.test}")
if [[ -n ${TRUNCATE:-} ]]; then
  FINETUNE+=(--truncate-source)
  GENERATE+=" --truncate-source"
  EVALUATE+=(--metrics rouge1 rouge2 rougeL --generate-flags "$GENERATE --no-repeat-ngram-size 3")
else
  EVALUATE+=(--generate-flags "$GENERATE")
  COMPARE=yes
fi
