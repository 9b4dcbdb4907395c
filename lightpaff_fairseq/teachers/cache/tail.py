"""Soft targets for the tokens outside the teacher's top k (`--kd-tail`).

With p the stored probabilities of the k tokens K, r = 1 - sum(p) the stored rest, V the size of the
vocabulary, s the student and D the divergence, the soft loss of a position is

    ghost    D over k + 1 outcomes: (p, r) against (s of K, sum of s outside K)
    drop     D over V outcomes: p / sum(p) on K and 0 outside, against s
    uniform  D over V outcomes: p on K and r / (V - k) outside, against s

ghost is a lower bound of the full divergence, unbiased inside K; it does not teach how the rest is
distributed. drop teaches that the rest is impossible: every p is too large by 1 / sum(p), and the
student becomes overconfident. uniform teaches that the rest is equally likely: the mass is right,
but rare tokens get too much of it and the next most probable ones too little.
Shape letters: N positions, n positions of a chunk, V vocabulary.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...losses.dense import FORWARD_KL
from ...losses.divergences import Divergence
from ...losses.model_output import ALL, Rows
from ...losses.position_selection import Selection
from ...losses.top_k import NOTHING, TopKOutput
from .layout import Layout

TAILS = ("ghost", "drop", "uniform")


@dataclass(frozen=True)
class UniformTailOutput:
    """Log-probabilities of all V tokens, computed chunk by chunk.

    Attributes:
        ids: `(N, k)` tokens; lprobs: `(N, k + 1)`, of these, and of all others together.
        vocab_size: V; temperature: of `lprobs`, by which the loss divides.
    """

    ids: Tensor
    lprobs: Tensor
    vocab_size: int
    temperature: float = 1.0

    def logits(self, rows: Rows = ALL) -> Tensor:
        """Return `(n, V)`, for some of the N positions."""
        lprobs = self.lprobs[rows]
        each = lprobs[:, -1:] - math.log(self.vocab_size - self.ids.size(1))
        complete = each.expand(-1, self.vocab_size).contiguous()
        return complete.scatter_(-1, self.ids[rows], lprobs[:, :-1]).mul_(self.temperature)


@dataclass(frozen=True)
class CacheUse:
    """Flags of a training run that uses a cache.

    Attributes:
        tail: `--kd-tail`, one of `TAILS`; temperature: `--kd-temperature`.
        divergence: of the loss; selection: `--kd-select`, None: all positions.
    """

    tail: str
    temperature: float
    divergence: Divergence = FORWARD_KL
    selection: Selection | None = None


def with_tail(
    ids: Tensor, lprobs: Tensor, layout: Layout, use: CacheUse
) -> UniformTailOutput | TopKOutput:
    """Return the soft targets of N positions.

    Args:
        ids: `(N, k)` int64; lprobs: `(N, k + 1)`, of these and of all others together.
        layout: of the cache, with V and the temperature of `lprobs`.
        use: tail, and the temperature of the loss. If it differs from that of `lprobs`, they must
            be at 1 and the tail not ghost (a bucket cannot be tempered).
    """
    if use.tail == "uniform":
        return UniformTailOutput(ids, lprobs, layout.vocab, layout.temperature)
    if use.tail == "drop":
        kept = (lprobs[:, :-1] * (layout.temperature / use.temperature)).log_softmax(-1)
        lprobs = torch.cat([kept, torch.full_like(lprobs[:, -1:], NOTHING)], -1)
    return TopKOutput(ids, lprobs, layout.vocab)
