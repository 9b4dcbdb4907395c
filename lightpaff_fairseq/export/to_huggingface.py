"""The format `hf`: functions of the package `huggingface`."""

from ..huggingface.from_fairseq import write
from ..huggingface.hf_parity import largest_difference

__all__ = ["largest_difference", "write"]
