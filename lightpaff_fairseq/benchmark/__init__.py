"""Measurements: variants of one computation, interleaved, compared by medians of ratios."""
