"""What is installed here, what of it is used, and what is wrong with it."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
