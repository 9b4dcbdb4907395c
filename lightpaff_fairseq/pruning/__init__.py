"""Pruning a teacher into its student while it distills: HomoDistil, arXiv 2302.09632."""
