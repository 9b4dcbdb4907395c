"""The layers of a model, and their activations in one forward pass. All tensors are batch-first.

The modules of a model are its `encoder`, its `decoder`, and `cross`: the decoder's attention to the
encoder. Shape letters: B batch, T queries, S keys, C width, H heads.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn

from .features import pair_mask


class LayerStack(NamedTuple):
    """The layers of a module, and their sizes."""

    layers: nn.ModuleList
    width: int
    heads: int


@dataclass
class AttentionActivations:
    """The projected `query` `(B, T, C)`, `key` and `value` `(B, S, C)` of an attention module."""

    module: Any  # with `num_heads` and `scaling`, as fairseq's MultiheadAttention
    projected: dict[str, Tensor] = field(default_factory=dict)

    def heads(self, which: str) -> Tensor:
        """Return `(B, H, T or S, C / H)`: `query`, `key` or `value`, before any scaling."""
        projected = self.projected[which]
        batch, length, _ = projected.shape
        return projected.reshape(batch, length, self.module.num_heads, -1).transpose(1, 2)

    def scores(self) -> Tensor:
        """Return `(B, H, T, S)`: scaled dot products before masking and softmax."""
        scaling: float = self.module.scaling
        return (self.heads("query") * scaling) @ self.heads("key").transpose(-1, -2)


@dataclass
class LayerActivations:
    """The activations of one module: its input, every layer's output, every attention.

    `hidden[i]` is `(B, T, C)`, the output of layer i (in pre-norm models before any final
    LayerNorm). The module `cross` has attentions only.
    """

    embedding: Tensor | None = None
    hidden: list[Tensor] = field(default_factory=list)
    attention: list[AttentionActivations] = field(default_factory=list)


@dataclass(frozen=True)
class PaddingMasks:
    """True for tokens, false for padding: `(B, S)` of the encoder, `(B, T)` of the decoder."""

    encoder: Tensor | None
    decoder: Tensor | None

    def states(self, module: str) -> Tensor:
        """Return `(B, T)` for the states of a module."""
        mask = self.encoder if module == "encoder" else self.decoder
        assert mask is not None
        return mask

    def attention(self, module: str) -> Tensor:
        """Return `(B, T, S)` for the attentions of a module, causal for the decoder."""
        keys = self.states("encoder" if module == "cross" else module)
        pairs = pair_mask(self.states(module), keys)
        return pairs.tril() if module == "decoder" else pairs
