"""Recognize masked state dicts, and compare state dicts."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

# The additional tensor of each LayerNorm of a masked model.
KEPT = "kept_before_lightpaff_compact"
MASKED = (
    "is the masked model of a prunable task, which only that task runs correctly: run lightpaff "
    "compact on it first"
)


def is_masked(names: Iterable[str]) -> bool:
    """Return true if the names of a state dict are those of a masked model."""
    return any(name.endswith(KEPT) for name in names)


def first_mismatch(tensors: Mapping[str, Tensor], model: nn.Module) -> str | None:
    """Describe the first tensor whose shape is not the model's; return None if all fit."""
    for name, value in model.state_dict().items():
        stored = tensors.get(name)
        if stored is not None and stored.shape != value.shape:
            return f"{name} is {tuple(stored.shape)} in the checkpoint, {tuple(value.shape)} here"
    return None


def check_equal_tensors(expected: Mapping[str, Tensor], written: Mapping[str, Tensor]) -> None:
    """Compare two state dicts bit by bit (a NaN equals itself).

    Raises:
        ValueError: names all differing tensors.
    """
    differing = expected.keys() ^ written.keys()
    for name in expected.keys() & written.keys():
        if not _same_bits(expected[name], written[name]):
            differing.add(name)
    if differing:
        names = ", ".join(sorted(differing))
        raise ValueError(f"the written file differs from its source in: {names}")


def _same_bits(a: Tensor, b: Tensor) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return torch.equal(_bytes(a), _bytes(b))


def _bytes(x: Tensor) -> Tensor:
    return x.detach().contiguous().reshape(-1).view(torch.uint8)
