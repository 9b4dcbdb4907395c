"""Importance of units, averaged over many updates of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .selection import Units

KINDS = ("sensitivity", "platon", "magnitude")


@dataclass
class Importance:
    """Scores of all units.

    `magnitude`: the L1 norm of a unit's weights. `sensitivity`: a moving average of
    I = sum |weight * gradient| over a unit's weights. `platon`: that average times the moving
    average of the deviation of I from it. Both start at 0.

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

    def observe(self, sensitivity: Units, kept: Mapping[str, Tensor], is_valid: Tensor) -> None:
        """Update the average with the importance I of every unit at one update.

        Units that are not kept have none, nor has a group that is missing (a layer that was
        skipped, a head that is not used).

        Args:
            is_valid: bool scalar on the device of the rest; false: nothing is observed.
        """
        for group, mask in kept.items():
            values = sensitivity.get(group, torch.zeros_like(mask, dtype=torch.float32))
            total = (values * mask).sum()
            level = self.level.setdefault(group, mask.sum().to(values.dtype))
            observed = torch.where(total > 0, values * (level / total), torch.zeros_like(values))
            mean = self.mean.setdefault(group, torch.zeros_like(values))
            spread = self.spread.setdefault(group, torch.zeros_like(values))
            new_mean = mean.lerp(observed, 1 - self.decay)
            deviation = (observed - new_mean).abs()
            new_spread = spread.lerp(deviation, 1 - self.uncertainty_decay)
            self.mean[group] = torch.where(mask & is_valid, new_mean, mean)
            self.spread[group] = torch.where(mask & is_valid, new_spread, spread)

    def has_observed(self) -> bool:
        """Return whether any unit has had an importance so far; waits for a GPU."""
        largest = [mean.amax() for mean in self.mean.values()]
        return bool(largest) and bool(torch.stack(largest).amax() > 0)

    def scores(self, magnitudes: Units) -> Units:
        """Return the score of every unit.

        Args:
            magnitudes: sums of |weight| per unit, for pruned ones of what they were.
        """
        if self.kind == "magnitude":
            return magnitudes
        if self.kind == "sensitivity":
            return self.mean
        return {group: mean * self.spread[group] for group, mean in self.mean.items()}

    def change_kept(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
        """Let the levels follow when other units are kept from now on."""
        for group, level in self.level.items():
            mean = self.mean[group]
            share = (mean * after[group]).sum() / (mean * before[group]).sum()
            self.level[group] = level * share.nan_to_num(1.0, 1.0)

    def state(self) -> dict[str, Units]:
        """Return the state for a checkpoint."""
        return {"mean": self.mean, "spread": self.spread, "level": self.level}

    def load(self, state: Mapping[str, Units], device: torch.device) -> None:
        """Take what `state` returned, to a device."""
        for name in ("mean", "spread", "level"):
            values = {group: value.to(device) for group, value in state[name].items()}
            setattr(self, name, values)
