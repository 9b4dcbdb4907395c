"""A masked-LM head for encoders without one: fairseq's `roberta` always has a head.

It passes hidden states through, so that it is recognized by its identity matrix.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

PREFIX = "encoder.lm_head."


def untrained_head(words: Tensor, tied: bool) -> dict[str, Tensor]:
    """Return the tensors of a head that was never trained.

    Args:
        words: `(V, C)` embeddings; `tied`: whether they are the output layer, else a copy.
    """
    size, width = words.shape
    head = {
        "dense.weight": torch.eye(width, dtype=words.dtype),
        "dense.bias": words.new_zeros(width),
        "layer_norm.weight": words.new_ones(width),
        "layer_norm.bias": words.new_zeros(width),
        "weight": words if tied else words.clone(),
        "bias": words.new_zeros(size),
    }
    return {f"{PREFIX}{name}": tensor for name, tensor in head.items()}


def has_untrained_head(tensors: Mapping[str, Tensor]) -> bool:
    """Return true if the head of a state dict is that of `untrained_head`."""
    dense = tensors.get(f"{PREFIX}dense.weight")
    if dense is None or dense.shape[0] != dense.shape[1]:
        return False
    return bool(torch.equal(dense, torch.eye(len(dense), dtype=dense.dtype, device=dense.device)))
