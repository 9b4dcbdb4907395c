"""The criterions of LightPAFF's two stages; importing this registers them with fairseq."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported

from . import language_modeling, masked_lm, sentence_prediction, seq2seq  # noqa: F401
