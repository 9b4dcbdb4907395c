"""The MASS model and the presets of both stages; importing this registers them with fairseq."""

from . import mass, students  # noqa: F401
