"""Register the tasks that fairseq lacks."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported

from . import masked_seq2seq, prunable  # noqa: F401
