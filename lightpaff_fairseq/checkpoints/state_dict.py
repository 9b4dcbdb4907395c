"""Recognize masked state dicts, and compare state dicts."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

# The additional tensor of each LayerNorm of a masked model.
KEPT = "kept_before_lightpaff_compact"
SHAPES = re.compile(  # in PyTorch's message
    r"size mismatch for (\S+): copying a param with shape torch\.Size\(\[([^]]*)\]\) from "
    r"checkpoint, the shape in current model is torch\.Size\(\[([^]]*)\]\)"
)
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


def loading_problem(error: BaseException) -> str:
    """Return PyTorch's message about a state dict that does not fit on one line.

    It names the first tensor of another shape, else the first of those that are missing and the
    first of those that are left over, with the numbers of the others.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    shapes = SHAPES.findall(text)
    if shapes:
        name, stored, here = shapes[0]
        others = f" ({len(shapes) - 1} more differ)" if len(shapes) > 1 else ""
        return f"{name} is ({stored}) in the checkpoint, ({here}) here{others}"
    missing, left_over = (_quoted(text, kind) for kind in ("Missing", "Unexpected"))
    kinds = (("the checkpoint lacks", missing), ("the model here lacks", left_over))
    return ", ".join(f"{words} {_first(names)}" for words, names in kinds if names) or text


def _first(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _quoted(text: str, kind: str) -> list[str]:
    """Return the names after PyTorch's `Missing key(s) in state_dict:`, and the like."""
    _, _, names = text.partition(f"{kind} key(s) in state_dict:")
    return re.findall(r'"([^"]+)"', re.split(r"\w+ key\(s\)|size mismatch", names)[0])


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
