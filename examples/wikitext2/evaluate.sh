#!/usr/bin/env bash
# Perplexity of the teacher and every finished student on the test set; also OUT/results.json.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
perplexity
