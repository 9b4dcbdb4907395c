"""Export a fairseq checkpoint to a format that serves it: write, compare, put in place."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
