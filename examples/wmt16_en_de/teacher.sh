#!/usr/bin/env bash
# The teacher: pre-trained on text (OUT/teacher_pretrained.pt), then fine-tuned (OUT/teacher.pt).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
teacher
