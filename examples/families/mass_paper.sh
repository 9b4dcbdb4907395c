# shellcheck shell=bash
# MASS-middle (6+6 layers, width 1024) and LightPAFF's student (about 67 M, reconstructed), for
# eight GPUs. Pre-training learning rate, warm-up, weight decay and dropout are from the group's papers;
# batch sizes and fine-tuning are our own choice.
: "${VOCAB:=32000}" "${POSITIONS:=512}" "${TEACHER:=middle}" "${STUDENT:=student}"
: "${TEACHER_PRETRAIN_UPDATES:=125000}" "${TEACHER_PRETRAIN_LR:=5e-4}"
: "${STUDENT_PRETRAIN_UPDATES:=125000}" "${STUDENT_PRETRAIN_LR:=5e-4}"
: "${TEACHER_FINETUNE_UPDATES:=50000}" "${TEACHER_FINETUNE_LR:=2e-4}"
: "${STUDENT_FINETUNE_UPDATES:=50000}" "${STUDENT_FINETUNE_LR:=5e-4}"
: "${PRETRAIN_BATCH:=--max-tokens 4096 --update-freq 2 --fp16}" "${WORKERS:=4}"
: "${FINETUNE_BATCH:=--max-tokens 4096 --update-freq 2 --fp16}"
