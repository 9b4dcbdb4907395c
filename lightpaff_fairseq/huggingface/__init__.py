"""Models of other libraries in fairseq's files, and back: Hugging Face and the official MASS."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
