"""Pages written from the registries, so that they cannot be out of date."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
