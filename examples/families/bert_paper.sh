# shellcheck shell=bash
# BERT-base and LightPAFF's student (25.6 M, reconstructed), for eight GPUs. From the
# group's papers: peak learning rate 5e-4, 125k updates, 10k of them warm-up, weight decay 0.01,
# dropout 0.1, 512 tokens. Batch size (256 blocks) and fine-tuning are our own choice.
: "${VOCAB:=30522}" "${POSITIONS:=512}" "${TEACHER:=base}" "${STUDENT:=student}"
: "${TEACHER_PRETRAIN_UPDATES:=125000}" "${TEACHER_PRETRAIN_LR:=5e-4}"
: "${STUDENT_PRETRAIN_UPDATES:=125000}" "${STUDENT_PRETRAIN_LR:=5e-4}"
: "${TEACHER_FINETUNE_LR:=2e-5}" "${STUDENT_FINETUNE_LR:=5e-5}"
: "${PRETRAIN_BATCH:=--batch-size 16 --update-freq 2 --fp16}" "${WORKERS:=4}"
: "${FINETUNE_BATCH:=--batch-size 4 --fp16}"
