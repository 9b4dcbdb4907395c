"""Pruned units are zeroed; what they were is held until they return or pruning is over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .axes import Axes, Groups, kind_of, shaped
from .layer_norm import KeptDimensions
from .optimizer_weights import Weight


@dataclass
class Masks:
    """Which units are kept, and the weights of those that are not.

    Both sides of a pruned unit are zero - what writes it and what reads it - so it is gone from
    every tensor that the model computes, and no gradient reaches it. (Sinusoidal positions are no
    weights: they stay in the stream, where nothing that is kept reads them.)

    Attributes:
        kept: bool, `(members,)` a group.
        held: the weights of pruned units, zero elsewhere, by parameter.
        active: `kept` of the groups that miss a unit.
    """

    groups: Groups
    norms: Mapping[str, list[KeptDimensions]]  # a hidden group's
    kept: dict[str, Tensor]
    held: dict[str, Tensor] = field(default_factory=dict)
    active: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module, groups: Groups) -> "Masks":
        """Everything is kept."""
        kept = {g: torch.ones(size, dtype=torch.bool) for g, size in groups.sizes.items()}
        return cls(groups, norms_of(model, groups.axes), kept)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is pruned."""
        return not self.active

    def apply(self, weights: Mapping[str, Weight]) -> None:
        """Zeroes the pruned units again, after an optimizer step."""
        for name, weight in weights.items():
            if _zero(weight.value, self.groups.axes[name], self.active):
                weight.publish()

    def change(self, kept: Mapping[str, Tensor], weights: Mapping[str, Weight]) -> None:
        """Keeps other units: those that return have the weights that they had."""
        self.apply(weights)  # the step has just moved what is zero
        self.set_kept(kept)
        for name, weight in weights.items():
            if name in self.held:
                weight.value.add_(self.held.pop(name))
            if any(group in self.active for group in self.groups.axes[name]):
                whole = weight.value.clone()
                _zero(weight.value, self.groups.axes[name], self.active)
                self.held[name] = whole.sub_(weight.value)
            weight.publish()
        for group, norms in self.norms.items():
            for norm in norms:
                norm.keep(self.kept[group])

    def set_kept(self, kept: Mapping[str, Tensor]) -> None:
        """Sets which units are kept, without touching any weight."""
        self.kept = dict(kept)
        self.active = {group: mask for group, mask in kept.items() if not bool(mask.all())}

    def release(self) -> None:
        """Forgets what pruned units were: none returns from now on."""
        self.held.clear()

    def whole(self, weights: Mapping[str, Weight]) -> dict[str, Tensor]:
        """|weight| of every parameter, of pruned units what they were."""
        return {n: (w.value + self.held.get(n, 0)).abs_() for n, w in weights.items()}

    def to(self, device: torch.device) -> None:
        """Moves all tensors."""
        self.set_kept({group: kept.to(device) for group, kept in self.kept.items()})
        self.held = {name: held.to(device) for name, held in self.held.items()}


def _zero(value: Tensor, groups: tuple[str, ...], masks: Mapping[str, Tensor]) -> bool:
    """Zeroes pruned units of a parameter in place; whether it may have any."""
    touched = False
    for axis, group in enumerate(groups):
        if group in masks:
            value.mul_(shaped(masks[group].to(value.dtype), axis, value.dim()))
            touched = True
    return touched


def norms_of(model: nn.Module, axes: Axes) -> dict[str, list[KeptDimensions]]:
    """The LayerNorms over each hidden dimension."""
    modules: dict[str, Any] = dict(model.named_modules())
    found: dict[str, list[KeptDimensions]] = {}
    for name, groups in axes.items():
        module = modules[name.rpartition(".")[0]]
        if isinstance(module, nn.LayerNorm) and name.endswith(".weight"):
            assert kind_of(groups[0]) == "hidden"
            found.setdefault(groups[0], []).append(module)  # type: ignore[arg-type]
    return found
