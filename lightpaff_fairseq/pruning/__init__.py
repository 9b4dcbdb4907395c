"""Pruning a teacher into its student while it distils: HomoDistil, arXiv 2302.09632."""
