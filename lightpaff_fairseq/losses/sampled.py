"""Teachers given by draws: how often each token came up in N draws, with replacement.

With c a position's shares of the draws, an unbiased estimate of the teacher's probabilities, and s
the student, the soft loss is sum c log(c / s), whose gradient s - c is that of the forward KL in
the mean over draws; or its skewed form sum c log(c / (a c + (1 - a) s)). Other divergences need
also the tokens that were not drawn. Letters: N positions, n of a chunk, k columns, V vocabulary.
Source: Sparse Logit Sampling (RS-KD, arXiv 2503.16870).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .divergences import Divergence, tempered_lprobs
from .model_output import ALL, ModelOutput, Rows
from .top_k import Mix, TopKOutput

DIVERGENCES_OF_DRAWS = ("forward_kl", "skew_kl")  # `Divergence.kind`


@dataclass(frozen=True)
class SampledOutput:
    """Draws from a teacher at N positions, at the temperature of the loss.

    Attributes:
        ids: `(N, k)` int64 tokens, each once in a row, except in columns of share 0.
        shares: `(N, k)` of the draws, float; the shares of each row sum to 1.
        vocab_size: V.
    """

    ids: Tensor
    shares: Tensor
    vocab_size: int

    def rows(self, rows: Rows = ALL) -> tuple[Tensor, Tensor]:
        """Return `ids` and `shares` for some of the N positions."""
        return self.ids[rows], self.shares[rows]

    def at(self, rows: Rows) -> "SampledOutput":
        """Return the output at some of the N positions."""
        return SampledOutput(*self.rows(rows), self.vocab_size)


SPARSE = TopKOutput, SampledOutput
SoftTargets = ModelOutput | TopKOutput | SampledOutput


def sampled_divergence(
    logits_s: Tensor, teacher: SampledOutput, temperature: float, divergence: Divergence
) -> Tensor:
    """Return the divergence `(N,)` from draws, without T^2; autograd gives its gradient.

    Args:
        logits_s: `(N, V)` in the dtype of the computation.
    Raises:
        ValueError: the divergence needs more than draws.
    """
    lprobs = tempered_lprobs(logits_s, temperature).gather(-1, teacher.ids)
    return _value(lprobs, teacher.shares.to(lprobs.dtype), divergence)


def draws_gradient_(
    probs: Tensor,
    lprobs_s: Tensor,
    draws: tuple[Tensor, Tensor],
    mix: Mix,
) -> Tensor:
    """Turn the student's probabilities into the gradient of a chunk, in place.

    Args:
        probs: `(n, V)`; overwritten by
            `mix.soft * d divergence / d logits + mix.student * (student's probabilities)`.
        lprobs_s: `(n, k)`, the student's log-probabilities of the tokens.
        draws: ids and shares `(n, k)`.
    Returns:
        `(n,)` the divergence in nats.
    """
    ids, shares = draws[0], draws[1].to(probs.dtype)
    value, skew = _value(lprobs_s, shares, mix.divergence), _skew(mix.divergence)
    # with m = a c + (1 - a) s the derivative for the logits is s sum(pull) - pull, of which the
    # tokens that were not drawn get s sum(pull) only; at a = 0, pull = c
    pull = shares
    if skew:
        probs_s = lprobs_s.exp()
        mixture = (skew * shares + (1 - skew) * probs_s).clamp_min_(torch.finfo(probs.dtype).tiny)
        pull = (1 - skew) * shares * probs_s / mixture
        probs.mul_(mix.soft * pull.sum(-1, keepdim=True) + mix.student)
    elif mix.soft + mix.student != 1:
        probs.mul_(mix.soft + mix.student)
    probs.scatter_add_(-1, ids, pull * -mix.soft)
    return value


def _skew(divergence: Divergence) -> float:
    if divergence.kind not in DIVERGENCES_OF_DRAWS:
        raise ValueError(
            f"divergence {divergence.name}: expected {' or '.join(DIVERGENCES_OF_DRAWS)} from draws"
        )
    return divergence.skew if divergence.kind == "skew_kl" else 0.0


def _value(lprobs_s: Tensor, shares: Tensor, divergence: Divergence) -> Tensor:
    """Return the divergence `(n,)`; NaN where the student's log-probabilities are."""
    skew, log_shares = _skew(divergence), shares.log()
    against = lprobs_s
    if skew:
        of_draws = log_shares.clamp_min(-1e4) + math.log(skew)  # finite, for autograd
        against = torch.logaddexp(of_draws, lprobs_s + math.log1p(-skew))
    return torch.where(shares > 0, shares * (log_shares - against), 0.0).sum(-1)
