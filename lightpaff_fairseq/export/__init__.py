"""Export fairseq checkpoints for serving, and compare the result with fairseq."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
