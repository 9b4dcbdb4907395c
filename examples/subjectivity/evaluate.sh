#!/usr/bin/env bash
# Accuracy, F1 and MCC on the test set of the teacher and every finished student; also OUT/results.json.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
measure --task sentence_prediction "$@"
