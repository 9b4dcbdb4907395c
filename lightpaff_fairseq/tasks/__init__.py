"""Tasks that fairseq lacks; importing this registers them."""

from . import masked_seq2seq, prunable  # noqa: F401
