# shellcheck shell=bash
# LightPAFF's GPT-2 sizes (355 M and 67.7 M, reconstructed), for eight GPUs. All other values
# are our own choice, common for GPT-2: 256 blocks of 512 tokens per update.
: "${VOCAB:=32000}" "${POSITIONS:=512}" "${TEACHER:=teacher}" "${STUDENT:=student}"
: "${TEACHER_PRETRAIN_UPDATES:=125000}" "${TEACHER_PRETRAIN_LR:=2.5e-4}"
: "${STUDENT_PRETRAIN_UPDATES:=125000}" "${STUDENT_PRETRAIN_LR:=5e-4}"
: "${TEACHER_FINETUNE_UPDATES:=5000}" "${TEACHER_FINETUNE_LR:=5e-5}"
: "${STUDENT_FINETUNE_UPDATES:=10000}" "${STUDENT_FINETUNE_LR:=1e-4}"
: "${PRETRAIN_BATCH:=--batch-size 8 --update-freq 4 --fp16}" "${WORKERS:=4}"
: "${FINETUNE_BATCH:=--batch-size 4 --update-freq 1 --fp16}"
