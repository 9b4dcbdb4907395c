"""Distances of intermediate activations of student and teacher, one value per sentence.

Each returns `(B,)`, a mean over the sentence's own valid positions, so that padding and the
composition of a batch change nothing. All compute in float32. Shape letters: B batch, T queries,
S keys, C width, H heads, D width of a head; `_s` student, `_t` teacher. `mask` is true at valid
positions (not padding): `(B, T)` of states, `(B, T, S)` of attentions.

Source: Lu et al., arXiv 2206.14366, as their code (OFA-Compress) and TextBrewer define them; query,
key and value relations as in MiniLM.
"""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .dense import at_least_float32

Distance = Callable[[Tensor, Tensor, Tensor], Tensor]


def in_float32(distance: Distance) -> Distance:
    """Make a distance compute in float32, without autocast: float16 products may overflow."""

    @functools.wraps(distance)
    def call(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        with torch.autocast(student.device.type, enabled=False):
            return distance(at_least_float32(student), at_least_float32(teacher), mask)

    return call


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Average `values` `(B, ...)` where `mask` (same shape) is true; 0 where it never is."""
    dims = tuple(range(1, values.dim()))
    total = torch.where(mask, values, 0).sum(dims)
    return total / mask.sum(dims).clamp(min=1)


@in_float32
def hidden_mse(hidden_s: Tensor, hidden_t: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared difference of two `(B, T, C)`, over C and valid positions."""
    return masked_mean((hidden_s - hidden_t).square().mean(-1), mask)


@in_float32
def hidden_cosine(hidden_s: Tensor, hidden_t: Tensor, mask: Tensor) -> Tensor:
    """Return `1 - cosine` of two `(B, T, C)`, over valid positions: 0 to 2."""
    return masked_mean(1 - F.cosine_similarity(hidden_s, hidden_t, dim=-1), mask)


@in_float32
def hidden_pkd(hidden_s: Tensor, hidden_t: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared difference of the first valid token's states, scaled to length 1.

    Source: patient knowledge distillation (Sun et al. 2019), with a mean over C as in TextBrewer.
    """
    rows = torch.arange(mask.size(0), device=mask.device)
    first = mask.int().argmax(1)
    state_s, state_t = (F.normalize(x[rows, first], dim=-1) for x in (hidden_s, hidden_t))
    return (state_s - state_t).square().mean(-1)


@in_float32
def attention_mse(scores_s: Tensor, scores_t: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared difference of scores `(B, H, T, S)`, over heads and valid pairs."""
    return masked_mean((scores_s - scores_t).square().mean(1), mask)


@in_float32
def attention_mse_sum(scores_s: Tensor, scores_t: Tensor, mask: Tensor) -> Tensor:
    """Compare scores summed over heads, whose number may differ, by `attention_mse`."""
    return attention_mse(scores_s.sum(1, keepdim=True), scores_t.sum(1, keepdim=True), mask)


@in_float32
def attention_ce(scores_s: Tensor, scores_t: Tensor, mask: Tensor) -> Tensor:
    """Return the cross entropy of the student's attention probabilities, given the teacher's.

    In nats, summed over valid keys, averaged over heads and valid queries. Its minimum is the
    entropy of the teacher's probabilities.
    """
    lprobs_s, lprobs_t = (_log_softmax(x, mask) for x in (scores_s, scores_t))
    entropy = -torch.where(mask.unsqueeze(1), lprobs_t.exp() * lprobs_s, 0).sum(-1)
    return masked_mean(entropy.mean(1), mask.any(-1))


@in_float32
def attention_ce_mean(scores_s: Tensor, scores_t: Tensor, mask: Tensor) -> Tensor:
    """Compare scores averaged over heads, whose number may differ, by `attention_ce`."""
    return attention_ce(scores_s.mean(1, keepdim=True), scores_t.mean(1, keepdim=True), mask)


@in_float32
def token_relation(hidden_s: Tensor, hidden_t: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared difference of `X X^T / C`, over valid pairs; C may differ."""
    gram_s, gram_t = (x @ x.transpose(1, 2) / x.size(-1) for x in (hidden_s, hidden_t))
    return masked_mean((gram_s - gram_t).square(), pair_mask(mask, mask))


@in_float32
def channel_relation(hidden_s: Tensor, hidden_t: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared difference of `X^T X / length` `(C, C)`, over channel pairs."""
    length = mask.sum(1).clamp(min=1).view(-1, 1, 1)
    real = (torch.where(mask.unsqueeze(-1), x, 0) for x in (hidden_s, hidden_t))
    gram_s, gram_t = (x.transpose(1, 2) @ (x / length) for x in real)
    return (gram_s - gram_t).square().mean((1, 2))


@in_float32
def head_relation(heads_s: Tensor, heads_t: Tensor, mask: Tensor) -> Tensor:
    """Return KL(teacher || student) of `softmax(X X^T / sqrt D)`, over heads and valid queries.

    Args:
        heads_s, heads_t: `(B, R, T, D)` queries, keys or values of R relation heads; D may differ.
        mask: `(B, T)`.
    Source: MiniLM, arXiv 2002.10957.
    """
    pairs = pair_mask(mask, mask)
    lprobs_s, lprobs_t = (
        _log_softmax(x @ x.transpose(-1, -2) / x.size(-1) ** 0.5, pairs) for x in (heads_s, heads_t)
    )
    gap = torch.where(pairs.unsqueeze(1), lprobs_t.exp() * (lprobs_t - lprobs_s), 0).sum(-1)
    return masked_mean(gap.mean(1), mask)


def pair_mask(queries: Tensor, keys: Tensor) -> Tensor:
    """Return `(B, T, S)`: true where both a query `(B, T)` and a key `(B, S)` are valid."""
    return queries.unsqueeze(2) & keys.unsqueeze(1)


def regroup(heads: Tensor, count: int) -> Tensor:
    """Concatenate `(B, H, T, D)` heads and split them again: `(B, count, T, H D / count)`."""
    batch, _, length, _ = heads.shape
    return heads.transpose(1, 2).reshape(batch, length, count, -1).transpose(1, 2)


def _log_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Normalize the last dimension of `(B, H, T, S)` where `mask` `(B, T, S)` is true."""
    lowest = torch.finfo(scores.dtype).min / 2
    return F.log_softmax(scores.masked_fill(~mask.unsqueeze(1), lowest), dim=-1)


HIDDEN = {"mse": hidden_mse, "cosine": hidden_cosine, "pkd": hidden_pkd}
ATTENTION = {
    "mse": attention_mse,
    "mse_sum": attention_mse_sum,
    "ce": attention_ce,
    "ce_mean": attention_ce_mean,
}
PER_HEAD = ("mse", "ce")  # attention distances that need equal numbers of heads
RELATIONS = ("query", "key", "value", "token", "channel")
