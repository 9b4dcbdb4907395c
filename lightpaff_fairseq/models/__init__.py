"""The MASS model and the presets of all families; importing this registers them with fairseq."""

from . import bert_presets, gpt2_presets, mass, presets  # noqa: F401
