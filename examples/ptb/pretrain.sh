#!/usr/bin/env bash
# The student's pre-training, distilled from the pre-trained teacher:
# OUT/student_pretrained_kd.pt, or with KD_LAMBDA=0 OUT/student_pretrained_plain.pt.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
pretrain
