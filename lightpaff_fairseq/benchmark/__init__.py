"""Benchmarks: variants of one computation, interleaved, compared by medians of ratios."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
