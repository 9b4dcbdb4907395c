"""Several teachers as one: the mean of their probabilities."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .dense import at_least_float32
from .model_output import ALL, ModelOutput, Rows


@dataclass(frozen=True)
class EnsembleOutput:
    """The mean of the probabilities of two or more model outputs, computed chunk by chunk."""

    members: tuple[ModelOutput, ...]

    @property
    def vocab_size(self) -> int:
        return self.members[0].vocab_size

    def logits(self, rows: Rows = ALL) -> Tensor:
        """Return `(n, V)` log-probabilities in float32 (or float64) for some of the N positions."""
        total = self._lprobs(0, rows)
        for member in range(1, len(self.members)):
            total = torch.logaddexp(total, self._lprobs(member, rows))
        return total.sub_(math.log(len(self.members)))

    def _lprobs(self, member: int, rows: Rows) -> Tensor:
        return at_least_float32(self.members[member].logits(rows)).log_softmax(-1)
