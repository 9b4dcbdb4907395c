"""Masks of pruned units: their weights are zero, and stored until they return or pruning ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .axes import Axes, Groups, along, kind_of
from .layer_norm import KeptDimensions
from .optimizer_weights import Weight


@dataclass
class Masks:
    """The kept units, and the stored weights of the others.

    Both sides of a pruned unit are zero - what writes it and what reads it - so it is gone from
    every tensor that the model computes, and no gradient reaches it. (Sinusoidal positions are no
    weights: they stay in the stream, where nothing that is kept reads them.)

    Attributes:
        groups: of the model; `norms`: LayerNorms over each hidden group.
        kept: bool, `(members,)` per group.
        pruned_values: weights of pruned units, zero elsewhere, by parameter name.
        active: `kept` of the groups that lack a unit.
    """

    groups: Groups
    norms: Mapping[str, list[KeptDimensions]]
    kept: dict[str, Tensor]
    pruned_values: dict[str, Tensor] = field(default_factory=dict)
    active: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module, groups: Groups) -> "Masks":
        """Return masks that keep everything."""
        kept = {g: torch.ones(size, dtype=torch.bool) for g, size in groups.sizes.items()}
        return cls(groups, _norms(model, groups.axes), kept)

    def apply(self, weights: Mapping[str, Weight]) -> None:
        """Zero the pruned units again, after an optimizer step."""
        for name, weight in weights.items():
            if axes := self._active_axes(name):
                _zero(weight.value, axes)
                weight.publish()

    def change(self, kept: Mapping[str, Tensor], weights: Mapping[str, Weight]) -> None:
        """Change the kept units; units that return get their stored weights back."""
        self.apply(weights)  # the step has just moved what is zero
        self.set_kept(kept)
        for name, weight in weights.items():
            if name in self.pruned_values:
                weight.value.add_(self.pruned_values.pop(name))
            if axes := self._active_axes(name):
                full = weight.value.clone()
                _zero(weight.value, axes)
                self.pruned_values[name] = full.sub_(weight.value)
            weight.publish()
        for group, norms in self.norms.items():
            for norm in norms:
                norm.keep(self.kept[group])

    def set_kept(self, kept: Mapping[str, Tensor]) -> None:
        """Set which units are kept, without touching any weight."""
        self.kept = dict(kept)
        self.active = {group: mask for group, mask in kept.items() if not bool(mask.all())}

    def full_magnitudes(self, weights: Mapping[str, Weight]) -> dict[str, Tensor]:
        """Return |weight| of every parameter in float32, for pruned units of the stored weights."""
        return {
            name: (weight.value + self.pruned_values.get(name, 0)).abs_().float()
            for name, weight in weights.items()
        }

    def to(self, device: torch.device) -> None:
        """Move all tensors."""
        self.set_kept({group: kept.to(device) for group, kept in self.kept.items()})
        self.pruned_values = {name: value.to(device) for name, value in self.pruned_values.items()}

    def _active_axes(self, name: str) -> list[tuple[int, Tensor]]:
        """Return the axes of a parameter that lack a unit, each with its mask."""
        axes = enumerate(self.groups.axes[name])
        return [(axis, self.active[group]) for axis, group in axes if group in self.active]


def _zero(value: Tensor, axes: list[tuple[int, Tensor]]) -> None:
    for axis, mask in axes:
        value.mul_(along(mask.to(value.dtype), axis, value.dim()))


def _norms(model: nn.Module, axes: Axes) -> dict[str, list[KeptDimensions]]:
    """Return the LayerNorms over each hidden dimension."""
    norms: dict[str, list[KeptDimensions]] = {}
    for name, groups in axes.items():
        module = model.get_submodule(name.rpartition(".")[0])
        if isinstance(module, KeptDimensions) and name.endswith(".weight"):
            assert kind_of(groups[0]) == "hidden"
            norms.setdefault(groups[0], []).append(module)
    return norms
