"""The criterions of LightPAFF's two stages; importing this registers them with fairseq."""

from . import language_modeling, masked_lm, sentence_prediction, seq2seq  # noqa: F401
