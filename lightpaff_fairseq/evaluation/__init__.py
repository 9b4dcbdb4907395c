"""Evaluate finished models: quality, size and speed, in one table and one JSON file."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
