"""Pruning a teacher into its student while it distills: HomoDistil, arXiv 2302.09632."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
