"""Sources of soft targets: models that run beside the student, or a cache of their outputs."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
