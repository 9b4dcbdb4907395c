"""Prune a teacher into its student during distillation: HomoDistil, arXiv 2302.09632."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
