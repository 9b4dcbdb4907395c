"""File to file: read a checkpoint, write an ordinary fairseq checkpoint, verify it."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
