"""From a fairseq checkpoint to what serves it: written, compared, put in place."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported
