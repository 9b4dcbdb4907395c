"""The MASS model and the presets of all families; importing this registers them with fairseq."""

from . import bert, gpt2, mass, students  # noqa: F401
