"""The weights that the optimizer updates: those of the model, or their float32 masters."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Weight:
    """One parameter.

    Attributes:
        value: what the optimizer changes, in place.
        grad: its gradient, possibly clipped and scaled; None: it has none.
        copy: the model's own tensor of lower precision, if `value` is its master.
    """

    value: Tensor
    grad: Tensor | None
    copy: Tensor | None = None

    def publish(self) -> None:
        """Copy `value` to the model."""
        if self.copy is not None:
            self.copy.copy_(self.value)


def optimized_weights(optimizer: Any, parameters: Mapping[str, Tensor]) -> dict[str, Weight]:
    """Return the weights behind a model's parameters, by the same names.

    Args:
        optimizer: fairseq's, possibly the wrapper for `--fp16`.
        parameters: the model's.
    """
    masters = {id(p): Weight(value, grad, p.data) for p, value, grad in _masters(optimizer)}
    return {n: masters.get(id(p)) or Weight(p.data, p.grad) for n, p in parameters.items()}


def _masters(optimizer: Any) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Yield (parameter, master, gradient of the master) of `--fp16`; nothing otherwise."""
    masters = getattr(optimizer, "fp32_params", None)
    if masters is None:
        return
    if isinstance(masters, dict):  # one flat tensor per device
        offsets = dict.fromkeys(masters, 0)
        for p in optimizer.fp16_params:
            flat, start = masters[p.device.index], offsets[p.device.index]
            end = offsets[p.device.index] = start + p.numel()
            grad = None if flat.grad is None else flat.grad.data[start:end].view_as(p)
            yield p, flat.data[start:end].view_as(p), grad
        return
    for p, master in zip(optimizer.fp16_params, masters, strict=True):
        yield p, master.data, master.grad


def sensitivity(weights: Mapping[str, Weight]) -> tuple[dict[str, Tensor], Tensor]:
    """Return |weight * gradient| in float32 of every parameter that has a gradient.

    Returns:
        the products, and whether all are finite, a bool scalar on their device.
    """
    products = {
        name: (weight.value.float() * weight.grad.float()).abs_()
        for name, weight in weights.items()
        if weight.grad is not None
    }
    if not products:
        return {}, torch.zeros((), dtype=torch.bool)
    largest = torch.stack([value.max() for value in products.values()])
    return products, torch.isfinite(largest).all()
