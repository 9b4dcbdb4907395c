"""Divergences of the student's distribution from the teacher's, in nats, one value per position.

With teacher t and student s over the same outcomes:

    forward_kl  sum t log(t / s)                        cover every mode of the teacher
    reverse_kl  sum s log(s / t)                        avoid outcomes improbable for the teacher
    jsd         beta sum t log(t / m) + (1 - beta) sum s log(s / m),  m = beta t + (1 - beta) s
    tvd         1/2 sum |t - s|
    skew_kl     forward_kl of t and a t + (1 - a) s              finite, with a smoother gradient
    skew_reverse_kl  reverse_kl of (1 - a) t + a s and s         the same, finite where t is 0

An outcome is a token, or the bucket of all tokens that a top-k teacher does not name (`top_k.py`).
A divergence is one entry of `DIVERGENCES`; contract tests run over all of them. Shape letters:
n positions, O outcomes. Sources: GKD (arXiv 2306.13649), in the form of TRL's GKD trainer; DistiLLM
(arXiv 2402.03898) for the skew divergences, here with exact gradients.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

ValueAndGradient = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class DivergenceEntry:
    """The definition of one divergence.

    Attributes:
        value: `(lprobs_s, lprobs_t, parameter) -> (...)`, from log-probabilities `(..., O)`;
            differentiable by autograd.
        closed_form: value and gradient without autograd, as `value_and_gradient` returns them;
            None: autograd on the chunk.
        finite_at_zero: False if it is infinite where the teacher's probability is 0.
        parameter: the field of `Divergence` that it depends on, if any; limits: for some of its
            values, the name of the divergence to use instead.
    """

    value: Callable[[Tensor, Tensor, float], Tensor]
    closed_form: Callable[[Tensor, Tensor, float], ValueAndGradient] | None = None
    finite_at_zero: bool = True
    parameter: str | None = None
    limits: Mapping[float, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Divergence:
    """A divergence and its parameter.

    Attributes:
        name: key of `DIVERGENCES`.
        beta: weight of the teacher in `jsd`, in [0, 1]; other divergences ignore it.
        skew: share of the first distribution in the second, for the skew divergences, in [0, 1).
    """

    name: str = "forward_kl"
    beta: float = 0.5
    skew: float = 0.1

    @property
    def kind(self) -> str:
        """Return the name, or that of the limit that the parameter selects."""
        return self._entry(self.name).limits.get(self.parameter, self.name)

    @property
    def parameter(self) -> float:
        """Return the value of the entry's parameter; 0 if it has none."""
        name = self._entry(self.name).parameter
        return 0.0 if name is None else float(getattr(self, name))

    @property
    def entry(self) -> DivergenceEntry:
        """Return the entry of `kind`.

        Raises:
            ValueError: the name is not registered.
        """
        return self._entry(self.kind)

    @property
    def finite_at_zero(self) -> bool:
        """False if the divergence is infinite where the teacher's probability is 0."""
        return self.entry.finite_at_zero

    def _entry(self, name: str) -> DivergenceEntry:
        if name not in DIVERGENCES:
            raise ValueError(f"divergence {name!r}: expected one of {', '.join(DIVERGENCES)}")
        return DIVERGENCES[name]


def divergence_of_lprobs(lprobs_s: Tensor, lprobs_t: Tensor, divergence: Divergence) -> Tensor:
    """Return the divergence per position; autograd gives its gradient.

    Args:
        lprobs_s, lprobs_t: `(..., O)` log-probabilities, -inf where the teacher gives none, in the
            dtype of the computation.
    Returns:
        `(...)` in nats, non-negative up to rounding; the caller masks and sums. NaN in rows of NaN;
        inf where the teacher excludes what the student may say, and the divergence is not
        `finite_at_zero`.
    """
    value = divergence.entry.value(lprobs_s, lprobs_t, divergence.parameter)
    return _nan_of_rows(value, lprobs_s, lprobs_t)


def value_and_gradient(
    lprobs_s: Tensor, lprobs_t: Tensor, divergence: Divergence
) -> ValueAndGradient:
    """Return the divergence and its gradient, in closed form if there is one.

    Args:
        lprobs_s, lprobs_t: `(n, O)`, as for `divergence_of_lprobs`.
    Returns:
        `(n,)` in nats, and `(n, O)` derivatives for logits whose softmax is `exp(lprobs_s)`.
    """
    entry = divergence.entry
    if entry.closed_form is not None:
        value, gradient = entry.closed_form(lprobs_s, lprobs_t, divergence.parameter)
    else:
        with torch.enable_grad():
            leaf = lprobs_s.detach().requires_grad_()
            value = entry.value(leaf, lprobs_t, divergence.parameter)
            (slope,) = torch.autograd.grad(value.sum(), leaf)
        gradient = slope - lprobs_s.exp() * slope.sum(-1, keepdim=True)
    return _nan_of_rows(value.detach(), lprobs_s, lprobs_t), gradient


def _nan_of_rows(value: Tensor, *lprobs: Tensor) -> Tensor:
    """Return NaN for rows that softmax made NaN: of a NaN, a +inf, or nothing but -inf."""
    for row in lprobs:
        value = value.masked_fill(row[..., 0].isnan(), math.nan)
    return value


def tempered_lprobs(logits: Tensor, temperature: float | Tensor) -> Tensor:
    """Return log softmax(logits / T) over the last dimension; T a number, or one per position."""
    divisor = temperature.unsqueeze(-1) if isinstance(temperature, Tensor) else temperature
    return F.log_softmax(logits / divisor, dim=-1)


# Closed forms: with g the derivative with respect to the student's probabilities, that with respect
# to its logits is s (g - sum s g). g is -t/s, log(s/t), (1 - beta) log(s/m) and sign(s - t) / 2;
# for the skew divergences -(1 - a) t/m and log(s/m) - a s/m.


def _forward_kl(lprobs_s: Tensor, lprobs_t: Tensor, _: float) -> ValueAndGradient:
    probs_t = lprobs_t.exp()
    return weighted_sum(probs_t, lprobs_t - lprobs_s), lprobs_s.exp().sub_(probs_t)


def _reverse_kl(lprobs_s: Tensor, lprobs_t: Tensor, _: float) -> ValueAndGradient:
    probs_s, slope = lprobs_s.exp(), lprobs_s - lprobs_t
    return weighted_sum(probs_s, slope), _through_softmax_(probs_s, slope)


def _jsd(lprobs_s: Tensor, lprobs_t: Tensor, beta: float) -> ValueAndGradient:
    probs_s, mixture = lprobs_s.exp(), _mixture(lprobs_s, lprobs_t, beta)
    value = beta * weighted_sum(lprobs_t.exp(), lprobs_t - mixture)
    slope = torch.sub(lprobs_s, mixture, out=mixture).mul_(1 - beta)
    value += weighted_sum(probs_s, slope)
    return value, _through_softmax_(probs_s, slope)


def _tvd(lprobs_s: Tensor, lprobs_t: Tensor, _: float) -> ValueAndGradient:
    probs_s = lprobs_s.exp()
    difference = probs_s - lprobs_t.exp()
    value = torch.linalg.vector_norm(difference, ord=1, dim=-1) / 2
    return value, _through_softmax_(probs_s, difference.sign_().mul_(0.5))


def _skew_kl(lprobs_s: Tensor, lprobs_t: Tensor, skew: float) -> ValueAndGradient:
    probs_s, probs_t = lprobs_s.exp(), lprobs_t.exp()
    mixture = _linear_mixture(probs_s, probs_t, skew)
    value = weighted_sum(probs_t, lprobs_t - mixture.log())
    pull = torch.div(probs_s, mixture, out=mixture).mul_(probs_t).mul_(1 - skew)
    return value, probs_s.mul_(pull.sum(-1, keepdim=True)).sub_(pull)


def _skew_reverse_kl(lprobs_s: Tensor, lprobs_t: Tensor, skew: float) -> ValueAndGradient:
    probs_s = lprobs_s.exp()
    mixture = _linear_mixture(probs_s, lprobs_t.exp(), 1 - skew)
    slope = lprobs_s - mixture.log()
    value = weighted_sum(probs_s, slope)
    slope.sub_(torch.div(probs_s, mixture, out=mixture), alpha=skew)
    return value, _through_softmax_(probs_s, slope)


def _linear_mixture(probs_s: Tensor, probs_t: Tensor, share: float) -> Tensor:
    """Return `share` t + (1 - `share`) s, or the smallest number where both underflow."""
    mixture = torch.lerp(probs_s, probs_t, share)
    return mixture.clamp_min_(torch.finfo(mixture.dtype).tiny)


def _jsd_value(lprobs_s: Tensor, lprobs_t: Tensor, beta: float) -> Tensor:
    mixture = _mixture(lprobs_s, lprobs_t, beta)
    of_teacher = weighted_sum(lprobs_t.exp(), lprobs_t - mixture)
    return beta * of_teacher + (1 - beta) * weighted_sum(lprobs_s.exp(), lprobs_s - mixture)


def _mixture(lprobs_s: Tensor, lprobs_t: Tensor, beta: float) -> Tensor:
    """Return log(beta t + (1 - beta) s), finite also for tokens that both models exclude."""
    shares = lprobs_t + math.log(beta), lprobs_s + math.log1p(-beta)
    return torch.logaddexp(*(x.clamp_min_(torch.finfo(x.dtype).min) for x in shares))


def _through_softmax_(probs_s: Tensor, slope: Tensor) -> Tensor:
    """Turn the derivative for probabilities into that for logits, 0 at probability 0, in place."""
    slope.nan_to_num_(0.0, math.inf, torch.finfo(slope.dtype).min)
    mean = weighted_sum(probs_s, slope).unsqueeze(-1)
    return probs_s.mul_(slope.sub_(mean))


def weighted_sum(weights: Tensor, values: Tensor) -> Tensor:
    """Multiply row by row, a weight of 0 with anything to 0, as 0 log 0 is meant.

    On a CPU several times as fast as torch's batched dot. A NaN counts as 0: see `_nan_of_rows`.
    """
    if weights.requires_grad:  # nansum passes NaN to the gradient of the weights
        values = values.masked_fill(weights == 0, 0.0)
    return (weights * values).nansum(-1)


# jsd is 0 at beta 0 and 1; divided by beta and by 1 - beta, it tends to the two KLs, used instead.
DIVERGENCES: dict[str, DivergenceEntry] = {
    "forward_kl": DivergenceEntry(lambda s, t, _: weighted_sum(t.exp(), t - s), _forward_kl),
    "reverse_kl": DivergenceEntry(
        lambda s, t, _: weighted_sum(s.exp(), s - t), _reverse_kl, finite_at_zero=False
    ),
    "jsd": DivergenceEntry(
        _jsd_value, _jsd, parameter="beta", limits={0.0: "forward_kl", 1.0: "reverse_kl"}
    ),
    "tvd": DivergenceEntry(lambda s, t, _: 0.5 * (s.exp() - t.exp()).abs().sum(-1), _tvd),
    "skew_kl": DivergenceEntry(
        lambda s, t, a: weighted_sum(t.exp(), t - _mixture(s, t, a)),
        _skew_kl,
        parameter="skew",
        limits={0.0: "forward_kl"},
    ),
    "skew_reverse_kl": DivergenceEntry(
        lambda s, t, a: weighted_sum(s.exp(), s - _mixture(s, t, 1 - a)),
        _skew_reverse_kl,
        parameter="skew",
        limits={0.0: "reverse_kl"},
    ),
}
