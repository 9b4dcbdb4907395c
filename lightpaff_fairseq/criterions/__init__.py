"""The criterions of LightPAFF's two stages; importing this registers them with fairseq."""

from . import finetuning, pretraining  # noqa: F401
