"""The format `hf`: functions of the package `huggingface`."""

from ..huggingface.from_fairseq import write
from ..huggingface.text_back import compare_back

__all__ = ["compare_back", "write"]
