"""Tasks that fairseq lacks; importing this registers them."""

from . import masked_seq2seq  # noqa: F401
