"""Teachers given by their k most probable tokens and the mass of all others.

The divergence is over k + 1 outcomes: the k tokens, and one bucket with the rest. The gradient of
the bucket reaches its tokens in proportion to the student's own probabilities. Shape letters: N
positions, n positions of a chunk, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .divergences import Divergence, divergence_of_lprobs, tempered_lprobs, value_and_gradient
from .model_output import ALL, Rows

NOTHING = -1e4  # log of a probability of 0: finite, so that 0 log 0 is 0, and exp(NOTHING) == 0


@dataclass(frozen=True)
class TopKOutput:
    """A top-k teacher at N positions, already at the temperature of the loss.

    Attributes:
        ids: `(N, k)` int64, distinct tokens in each row.
        lprobs: `(N, k + 1)` log-probabilities of these tokens and, last, of all others together
            (`NOTHING` for probability 0); the probabilities of each row sum to 1.
        vocab_size: V; k < V.
    """

    ids: Tensor
    lprobs: Tensor
    vocab_size: int

    def rows(self, rows: Rows = ALL) -> tuple[Tensor, Tensor]:
        """Return `ids` and `lprobs` for some of the N positions."""
        return self.ids[rows], self.lprobs[rows]

    def at(self, rows: Rows) -> "TopKOutput":
        """Return the output at some of the N positions."""
        return TopKOutput(*self.rows(rows), self.vocab_size)


def top_k_divergence(
    logits_s: Tensor, teacher: TopKOutput, temperature: float, divergence: Divergence
) -> Tensor:
    """Return the divergence over k + 1 outcomes, without T^2; autograd gives its gradient.

    Args:
        logits_s: `(N, V)` in the dtype of the computation.
        teacher: of the same N positions, at `temperature`.
        temperature: divides the student's logits.
    Returns:
        `(N,)` in nats; the caller sums.
    """
    ids, lprobs_t = teacher.rows()
    lprobs_s = joined_outcomes(logits_s, ids, temperature)
    return divergence_of_lprobs(lprobs_s, lprobs_t.to(logits_s.dtype), divergence)


def joined_outcomes(logits_s: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """Return the student's log-probabilities `(N, k + 1)` of tokens `(N, k)` and all others."""
    lprobs = tempered_lprobs(logits_s, temperature)
    rest = lprobs.scatter(-1, ids, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.cat([lprobs.gather(-1, ids), rest.clamp_min(NOTHING)], -1)


def student_outcomes(
    logits_s: Tensor, normalizer: Tensor, probs: Tensor, ids: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the student's log-probabilities of k + 1 outcomes, and the mass of the last one.

    The mass outside is summed up, not taken as 1 - (mass inside), which would cancel.

    Args:
        logits_s: `(n, V)`.
        normalizer: `(n,)`, their log-sum-exp.
        probs: `(n, V)`, their softmax, of which the entries of `ids` are set to 0.
        ids: `(n, k)`.
    Returns:
        `(n, k + 1)` and `(n, 1)`.
    """
    inside = logits_s.gather(-1, ids) - normalizer.unsqueeze(-1)
    outside = probs.scatter_(-1, ids, 0.0).sum(-1, keepdim=True)
    outside.clamp_min_(torch.finfo(outside.dtype).tiny)
    return torch.cat([inside, outside.log()], -1), outside


@dataclass(frozen=True)
class Mix:
    """Weights of the soft gradient and of the student's probabilities in a chunk's gradient."""

    soft: float
    student: float
    divergence: Divergence


def top_k_gradient_(
    probs: Tensor, lprobs_s: Tensor, outside: Tensor, teacher: tuple[Tensor, Tensor], mix: Mix
) -> Tensor:
    """Turn the student's probabilities into the gradient of a chunk, in place.

    Args:
        probs: `(n, V)`, 0 at the k tokens; overwritten by
            `mix.soft * d divergence / d logits + mix.student * (student's probabilities)`.
        lprobs_s, outside: the results of `student_outcomes`.
        teacher: its ids `(n, k)` and log-probabilities `(n, k + 1)`.
    Returns:
        `(n,)` the divergence in nats.
    """
    ids, lprobs_t = teacher
    value, gradient = value_and_gradient(lprobs_s, lprobs_t.to(probs.dtype), mix.divergence)
    gradient.mul_(mix.soft)
    probs.mul_(gradient[:, -1:] / outside + mix.student)
    inside = gradient[:, :-1]
    if mix.student:
        inside = inside.add(lprobs_s[:, :-1].exp(), alpha=mix.student)
    probs.scatter_(-1, ids, inside)
    return value
