"""Check an installation: devices, packages, and the plug-in's place in fairseq."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
