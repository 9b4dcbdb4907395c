"""MASS, BERT and the presets of all families; importing this registers them with fairseq."""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported

from . import bert, bert_presets, gpt2_presets, mass, presets  # noqa: F401
