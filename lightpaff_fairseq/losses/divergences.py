"""How far the student's distribution is from the teacher's: four divergences, one value a position.

With teacher t and student s over the same outcomes, in nats:

    forward_kl  sum t log(t / s)                        every mode of the teacher is covered
    reverse_kl  sum s log(s / t)                        the student stays where the teacher is
    jsd         beta sum t log(t / m) + (1 - beta) sum s log(s / m),  m = beta t + (1 - beta) s
    tvd         1/2 sum |t - s|

`jsd` with beta 0 means forward and with beta 1 reverse KL, the limits that it takes when it is
divided by beta, or by 1 - beta (at the ends themselves the formula is 0 everywhere). Source: GKD
(arXiv 2306.13649), in the form of TRL's GKD trainer.

An outcome is a symbol, or the bucket of all symbols that a top-k teacher does not name
(`sparse.py`). Shape letters: O outcomes.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

DIVERGENCES = ("forward_kl", "reverse_kl", "jsd", "tvd")


@dataclass(frozen=True)
class Divergence:
    """A divergence by name; `beta`, in [0, 1], matters to `jsd` only."""

    name: str = "forward_kl"
    beta: float = 0.5

    @property
    def kind(self) -> str:
        """The name, with the two ends of `jsd` resolved."""
        if self.name == "jsd" and self.beta in (0.0, 1.0):
            return "reverse_kl" if self.beta else "forward_kl"
        return self.name

    @property
    def finite_at_zero(self) -> bool:
        """Whether the teacher may give a possible outcome no probability at all."""
        return self.kind != "reverse_kl"


def divergence_of_lprobs(lprobs_s: Tensor, lprobs_t: Tensor, divergence: Divergence) -> Tensor:
    """The divergence per position; autograd gives its gradient.

    Args:
        lprobs_s, lprobs_t: `(..., O)` log-probabilities, finite (a large negative number where
            the teacher gives none), in the dtype of the computation.
        divergence: which.
    Returns:
        `(...)` in nats, non-negative up to rounding; the caller masks and sums.
    Source: see the module.
    """
    kind, beta = divergence.kind, divergence.beta
    if kind == "forward_kl":
        return (lprobs_t.exp() * (lprobs_t - lprobs_s)).sum(-1)
    if kind == "reverse_kl":
        return (lprobs_s.exp() * (lprobs_s - lprobs_t)).sum(-1)
    if kind == "tvd":
        return 0.5 * (lprobs_s.exp() - lprobs_t.exp()).abs().sum(-1)
    mixture = _mixture(lprobs_s, lprobs_t, beta)
    of_teacher = (lprobs_t.exp() * (lprobs_t - mixture)).sum(-1)
    of_student = (lprobs_s.exp() * (lprobs_s - mixture)).sum(-1)
    return beta * of_teacher + (1 - beta) * of_student


def _mixture(lprobs_s: Tensor, lprobs_t: Tensor, beta: float) -> Tensor:
    """log(beta t + (1 - beta) s)."""
    return torch.logaddexp(lprobs_t + math.log(beta), lprobs_s + math.log1p(-beta))


def value_and_gradient(
    lprobs_s: Tensor, lprobs_t: Tensor, divergence: Divergence
) -> tuple[Tensor, Tensor]:
    """The divergence, and its gradient in closed form, without autograd.

    With g the derivative for the student's probabilities, the one for the logits behind them is
    `s (g - sum s g)`; g is -t/s, log(s/t), (1 - beta) log(s/m) and sign(s - t) / 2.

    Args:
        lprobs_s, lprobs_t: `(n, O)`, as for `divergence_of_lprobs`.
        divergence: which.
    Returns:
        `(n,)` values in nats, and `(n, O)` derivatives with respect to logits of the student
        whose softmax is `exp(lprobs_s)`.
    """
    kind, beta = divergence.kind, divergence.beta
    probs_s = lprobs_s.exp()
    if kind == "forward_kl":
        probs_t = lprobs_t.exp()
        return _dot(probs_t, lprobs_t - lprobs_s), probs_s.sub_(probs_t)
    if kind == "tvd":
        difference = probs_s - lprobs_t.exp()
        value = 0.5 * torch.linalg.vector_norm(difference, ord=1, dim=-1)
        slope = difference.sign_().mul_(0.5)
    elif kind == "reverse_kl":
        slope = lprobs_s - lprobs_t
        value = _dot(probs_s, slope)
    else:
        mixture = _mixture(lprobs_s, lprobs_t, beta)
        value = beta * _dot(lprobs_t.exp(), lprobs_t - mixture)
        slope = torch.sub(lprobs_s, mixture, out=mixture).mul_(1 - beta)
        value += _dot(probs_s, slope)
    mean = _dot(probs_s, slope).unsqueeze(-1)
    return value, probs_s.mul_(slope.sub_(mean))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Row by row; on a CPU several times as fast as torch's batched dot."""
    return (a * b).sum(-1)


def tempered_lprobs(logits: Tensor, temperature: float | Tensor) -> Tensor:
    """log softmax(logits / T) over the last dimension; T a number, or `(...)`, one a position."""
    divisor = temperature.unsqueeze(-1) if isinstance(temperature, Tensor) else temperature
    return F.log_softmax(logits / divisor, dim=-1)
