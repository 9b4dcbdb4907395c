"""Augmented training data: words replaced by what a masked language model proposes."""
