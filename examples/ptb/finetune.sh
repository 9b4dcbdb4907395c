#!/usr/bin/env bash
# The student's fine-tuning, distilled from the fine-tuned teacher. PRETRAINED (kd or plain) names
# the pre-trained student, KD_LAMBDA=0 is without distillation: OUT/student_{plain,kd}_{plain,kd}.pt.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
finetune
