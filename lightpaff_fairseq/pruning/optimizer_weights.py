"""The weights that the optimizer changes: those of the model, or their float32 masters."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Weight:
    """One parameter.

    Attributes:
        value: what the optimizer changes.
        grad: its gradient, possibly clipped and scaled; None: it has none.
        copy: the model's own tensor of lower precision, if `value` is its master.
    """

    value: Tensor
    grad: Tensor | None
    copy: Tensor | None = None

    def publish(self) -> None:
        """Gives the model what `value` has become."""
        if self.copy is not None:
            self.copy.copy_(self.value)


def optimized_weights(optimizer: Any, parameters: Mapping[str, Any]) -> dict[str, Weight]:
    """The weights behind a model's parameters, by the same names.

    Args:
        optimizer: fairseq's, possibly the wrapper for `--fp16`.
        parameters: the model's.
    """
    masters = {id(p): (value, grad) for p, value, grad in _masters(optimizer)}
    found = {}
    for name, p in parameters.items():
        if id(p) in masters:
            value, grad = masters[id(p)]
            found[name] = Weight(value, grad, p.data)
        else:
            found[name] = Weight(p.data, p.grad)
    return found


def _masters(optimizer: Any) -> Iterator[tuple[Any, Tensor, Tensor | None]]:
    """(parameter, master, gradient of the master) of `--fp16`; nothing otherwise."""
    masters = getattr(optimizer, "fp32_params", None)
    if masters is None:
        return
    if isinstance(masters, dict):  # one flat tensor a device
        offsets = dict.fromkeys(masters, 0)
        for p in optimizer.fp16_params:
            flat, start = masters[p.device.index], offsets[p.device.index]
            end = offsets[p.device.index] = start + p.numel()
            grad = None if flat.grad is None else flat.grad.data[start:end].view_as(p)
            yield p, flat.data[start:end].view_as(p), grad
        return
    for p, master in zip(optimizer.fp16_params, masters, strict=True):
        yield p, master.data, master.grad


def sensitivity(weights: Mapping[str, Weight]) -> dict[str, Tensor] | None:
    """|weight * gradient| in float32 of every parameter that has a gradient; None if one of the
    gradients is not finite."""
    found = {}
    for name, weight in weights.items():
        if weight.grad is not None:
            found[name] = (weight.value.float() * weight.grad.float()).abs_()
    if not found:
        return None
    largest = torch.stack([value.max() for value in found.values()])
    return found if bool(torch.isfinite(largest).all()) else None
