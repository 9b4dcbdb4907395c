#!/usr/bin/env bash
# Perplexity per token and per word on the test set of the teacher and every finished student; also OUT/results.json.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
perplexity "$@"
