"""Read, build, strip and write fairseq checkpoints; write other files and folders."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
