"""The criterions of the plug-in; importing this registers them with fairseq."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported

from . import (  # noqa: F401
    embedding,
    language_modeling,
    masked_lm,
    sentence_prediction,
    seq2seq,
)
