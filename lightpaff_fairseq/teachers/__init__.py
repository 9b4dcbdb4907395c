"""Where soft targets come from: a teacher model that runs beside the student."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
