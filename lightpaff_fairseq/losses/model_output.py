"""The prediction of a model at N selected positions, as input of the losses.

`LinearOutput` keeps hidden states and output layer apart, so that the fused loss never computes all
logits at once; `LogitsOutput` holds complete logits. Shape letters: N selected positions, n
positions of a chunk, C width, V vocabulary.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

ALL = slice(None)
Rows = slice | Tensor  # some of N positions: a slice, or their numbers `(n,)`


class ModelOutput(Protocol):
    """Any object that gives logits, or log-probabilities, for some of N positions."""

    @property
    def vocab_size(self) -> int:
        """Return V."""

    def logits(self, rows: Rows = ALL) -> Tensor:
        """Return `(n, V)`, for some of the N positions."""


@dataclass(frozen=True)
class LinearOutput:
    """Hidden states `(N, C)` in front of a linear output layer `(V, C)` with optional bias."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None

    @property
    def vocab_size(self) -> int:
        return self.weight.size(0)

    def logits(self, rows: Rows = ALL) -> Tensor:
        """Return `(n, V)` in the dtype of the hidden states, for some of the N positions."""
        return nn.functional.linear(self.hidden[rows], self.weight, self.bias)


@dataclass(frozen=True)
class LogitsOutput:
    """Complete logits (or log-probabilities: the same up to softmax), `(N, V)`."""

    values: Tensor

    @property
    def vocab_size(self) -> int:
        return self.values.size(-1)

    def logits(self, rows: Rows = ALL) -> Tensor:
        """Return `(n, V)`, for some of the N positions."""
        return self.values[rows]
