"""How much each unit matters: from the weights, or from true gradients over many updates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .axes import Axes, shaped
from .width import FREE

KINDS = ("sensitivity", "platon", "magnitude")
Units = dict[str, Tensor]  # `(members,)` a group


def unit_sums(values: Mapping[str, Tensor], axes: Axes, kept: Mapping[str, Tensor]) -> Units:
    """Sums of non-negative tensors over all that belongs to a unit (the L1 norm of its rows and
    columns), in float32; along the other axis of a matrix only kept units count.

    Args:
        values: by parameter name; `axes`: their groups.
        kept: bool, `(members,)` a group.
    """
    found: Units = {}
    for name, value in values.items():
        value = value.float()
        for axis, group in enumerate(axes[name]):
            if group == FREE:
                continue
            share = value
            for other in range(value.dim() - 1, -1, -1):
                if other != axis:
                    share = _summed(share, other, kept.get(axes[name][other]))
            found[group] = found[group] + share if group in found else share
    return found


def _summed(value: Tensor, axis: int, kept: Any) -> Tensor:
    if kept is None or bool(kept.all()):
        return value.sum(axis)
    summed: Tensor = (value * shaped(kept.to(value.dtype), axis, value.dim())).sum(axis)
    return summed


@dataclass
class Importance:
    """Scores of all units.

    `magnitude`: the L1 norm of a unit's weights. `sensitivity`: a moving average of
    I = sum |weight * gradient| over a unit's weights. `platon`: that average times the moving
    average of how far I is from it. Both start at 0.

    A pruned unit has no gradient, so the two keep what it had. Gradients change in size during a
    training, and fairseq clips and scales them: an observation is scaled such that a group's kept
    units together weigh what they weighed before (at first 1 each). A factor common to all
    gradients therefore changes nothing.

    Source: HomoDistil (arXiv 2302.09632). There, and in PLATON, averages are of single weights; for
    the sensitivity of a unit that is the same.
    """

    kind: str
    decay: float = 0.85
    uncertainty_decay: float = 0.95
    mean: Units = field(default_factory=dict)
    spread: Units = field(default_factory=dict)
    level: Units = field(default_factory=dict)  # what a group's kept units weigh together

    @property
    def needs_gradients(self) -> bool:
        return self.kind != "magnitude"

    def observe(self, sensitivity: Units, kept: Mapping[str, Tensor]) -> None:
        """Takes one update's I of every unit; those that are not kept have none, nor does a group
        that is missing (a layer that was skipped, a head that is not used)."""
        for group, mask in kept.items():
            values = sensitivity.get(group, torch.zeros_like(mask, dtype=torch.float32))
            total = (values * mask).sum()
            level = self.level.setdefault(group, mask.sum().to(values.dtype))
            seen = torch.where(total > 0, values * (level / total), torch.zeros_like(values))
            mean = self.mean.setdefault(group, torch.zeros_like(values))
            spread = self.spread.setdefault(group, torch.zeros_like(values))
            new = mean.lerp(seen, 1 - self.decay)
            far = spread.lerp((seen - new).abs(), 1 - self.uncertainty_decay)
            self.mean[group] = torch.where(mask, new, mean)
            self.spread[group] = torch.where(mask, far, spread)

    def scores(self, magnitudes: Units) -> Units:
        """The scores, `(members,)` a group; `magnitudes` are those of all weights, masked ones as
        they were."""
        if self.kind == "magnitude":
            return magnitudes
        if self.kind == "sensitivity":
            return self.mean
        return {group: mean * self.spread[group] for group, mean in self.mean.items()}

    def keep(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
        """Other units are kept from now on: what they weigh together follows."""
        for group, level in self.level.items():
            mean = self.mean[group]
            share = (mean * after[group]).sum() / (mean * before[group]).sum()
            self.level[group] = level * share.nan_to_num(1.0, 1.0)

    def state(self) -> dict[str, Units]:
        """All that changes, for a checkpoint."""
        return {"mean": self.mean, "spread": self.spread, "level": self.level}

    def load(self, state: Mapping[str, Units], device: torch.device) -> None:
        """Takes what `state` gave."""
        for name in ("mean", "spread", "level"):
            values = {group: value.to(device) for group, value in state[name].items()}
            setattr(self, name, values)
