"""Write a fairseq checkpoint as a Hugging Face folder, and measure how far the two differ."""

from ..huggingface.from_fairseq import write
from ..huggingface.hf_parity import largest_difference

__all__ = ["largest_difference", "write"]
