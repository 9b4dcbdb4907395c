"""Layers of a model, and what they computed in one forward pass. All tensors are batch-first.

Shape letters: B batch, T queries, S keys, C width, H heads.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn


@dataclass
class AttentionActivations:
    """An attention module and its `query` `(B, T, C)`, `key`, `value` `(B, S, C)`, projected."""

    module: Any
    projected: dict[str, Tensor] = field(default_factory=dict)

    def heads(self, which: str) -> Tensor:
        """`(B, H, T or S, C / H)`: the projected `query`, `key` or `value`, before any scaling."""
        projected = self.projected[which]
        batch, length, _ = projected.shape
        return projected.reshape(batch, length, self.module.num_heads, -1).transpose(1, 2)

    def scores(self) -> Tensor:
        """`(B, H, T, S)`: scaled dot products before masking and softmax."""
        scaling: float = self.module.scaling
        return (self.heads("query") * scaling) @ self.heads("key").transpose(-1, -2)


@dataclass
class LayerActivations:
    """One stack of layers: its input, the output of every layer, every attention.

    `hidden[i]` is `(B, T, C)`, what layer i hands on (in pre-norm models before any final
    LayerNorm). The side `cross` has attentions only.
    """

    embedding: Tensor | None = None
    hidden: list[Tensor] = field(default_factory=list)
    attention: list[AttentionActivations] = field(default_factory=list)


class LayerStack(NamedTuple):
    """The layers of a side, and its sizes."""

    layers: nn.ModuleList
    width: int
    heads: int
