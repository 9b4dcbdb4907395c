"""LayerNorm over the kept dimensions only, as in the compact model.

Zeroed dimensions would change mean and variance. The mask is a buffer: a checkpoint whose
LayerNorms leave dimensions out has a tensor more for each, which a stock model refuses to load
rather than computing something else. As long as nothing is pruned there is no such tensor and the
stock forward runs.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints.state_dict import KEPT


class KeptDimensions(nn.LayerNorm):
    """Mixin for a LayerNorm class that can leave dimensions out."""

    share: float  # part of the dimensions that is kept

    @property
    def is_pruned(self) -> bool:
        return self.share < 1

    @property
    def kept(self) -> Tensor:
        """`(C,)` bool."""
        kept: Tensor = getattr(self, KEPT)
        return kept

    def keep(self, kept: Tensor) -> None:
        """Compute over the dimensions where `kept` `(C,)` is true from now on; others give 0."""
        setattr(self, KEPT, kept.to(self.kept.device))
        self.share = int(kept.sum()) / len(kept)

    def forward(self, input: Tensor) -> Tensor:
        """Normalize `(..., C)`, with zeros in the dimensions that are left out.

        They are filled with the mean of the others, so that the fused LayerNorm finds the right
        mean, and a variance that is too small by a known factor.
        """
        if not self.is_pruned:
            return super().forward(input)
        kept = self.kept.to(input.dtype)
        precise = torch.promote_types(input.dtype, torch.float32)
        mean = (input * kept).mean(-1, keepdim=True, dtype=precise) / self.share
        filled = torch.addcmul(input * kept, mean.to(input.dtype), 1 - kept)
        weight, bias = self.weight * kept * self.share**0.5, self.bias * kept
        return F.layer_norm(filled, self.normalized_shape, weight, bias, self.eps * self.share)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if not self.is_pruned:
            del destination[prefix + KEPT]

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        kept = state_dict.setdefault(prefix + KEPT, torch.ones_like(self.kept))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self.keep(kept)


@cache
def _extended(base: type) -> type:
    """Return the class for LayerNorms of class `base` (torch's, or apex' fused one)."""
    return type(f"Kept{base.__name__}", (KeptDimensions, base), {})


def make_maskable(model: nn.Module) -> None:
    """Make every LayerNorm of a model maskable, without changing its outputs yet."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm) and not isinstance(module, KeptDimensions):
            norm: Any = module
            kind: type = type(norm)
            norm.__class__ = _extended(kind)
            norm.register_buffer(KEPT, torch.ones(norm.normalized_shape, dtype=torch.bool))
            norm.share = 1.0
