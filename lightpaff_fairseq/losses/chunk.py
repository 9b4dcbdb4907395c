"""Loss and gradient of one chunk of positions, from its logits. Shape letters: n positions, k, V.

The gradient with respect to the student's logits is

    lambda T * (soft gradient at temperature T) + (1 - lambda) (p_s - label) - shift

`shift`, the part that label smoothing takes from every symbol, is the same number everywhere, and
left to `fused.py`: one step at the end instead of a pass over `(n, V)` a chunk.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .dense import LossSettings
from .divergences import value_and_gradient
from .top_k import Mix, outcomes, sparse_gradient_


class ChunkSums(NamedTuple):
    """What a chunk contributes: per-position values `(n,)` in nats and hits `(n,)`."""

    label: Tensor
    nll: Tensor
    kd: Tensor
    correct: Tensor


class Labels(NamedTuple):
    """Labels of a chunk: symbols `(n,)`, and, for label smoothing, the student's mean logits."""

    target: Tensor
    mean_logit: Tensor | None


class _Soft(NamedTuple):
    """The soft term: values and the student's log-sum-exp, `(n,)`; the gradient `(n, V)`."""

    value: Tensor
    normalizer: Tensor
    gradient: Tensor


def smoothing_share(settings: LossSettings, vocab: int) -> float:
    """What fairseq's label smoothing gives to every symbol."""
    return settings.label_smoothing / (vocab - 1)


def chunk_loss(
    buffers: tuple[Tensor, Tensor, Tensor],
    sparse: tuple[Tensor, Tensor] | None,
    labels: Labels,
    settings: LossSettings,
) -> tuple[ChunkSums, Tensor]:
    """Loss and gradient of one chunk.

    Args:
        buffers: three of `(n, V)`, all overwritten: the student's logits, the teacher's (anything
            for a top-k teacher), and room to work in.
        sparse: ids and log-probabilities of a top-k teacher; None: the second buffer counts.
        labels, settings: of these positions.
    Returns:
        the per-position values, and the gradient without `shift`, `(n, V)`.
    """
    logits_s, logits_t, work = buffers
    lam, temperature = settings.kd_lambda, float(settings.temperature)
    index = labels.target.unsqueeze(-1)
    label_logit = logits_s.gather(-1, index).squeeze(-1)
    best = logits_s.amax(-1)
    correct = torch.zeros_like(best, dtype=torch.bool)
    if settings.accuracy:  # of equals, fairseq takes the first
        correct = logits_s.argmax(-1).eq(labels.target)
    if temperature != 1:
        logits_s.div_(temperature)
        logits_t = logits_t.div_(temperature) if sparse is None else logits_t
    at_one = 1 - lam if temperature == 1 else 0.0
    student = Logits(logits_s, best / temperature)
    mix = Mix(lam * temperature, at_one, settings.divergence)
    if sparse is not None:
        soft, spare = _sparse_soft(student, sparse, work, mix), logits_t
    elif settings.divergence.kind == "forward_kl":
        soft, spare = _forward_kl(student, logits_t, work, mix), work
    else:
        soft, spare = _any_divergence(student, logits_t, work, mix), work
    grad, normalizer = soft.gradient, soft.normalizer
    if temperature != 1:
        logits_s.mul_(temperature)
        normalizer = softmax_and_normaliser(Logits(logits_s, best), out=spare)
        grad.add_(spare, alpha=1 - lam)
    nll = normalizer - label_logit
    share = smoothing_share(settings, logits_s.size(-1))
    weight = 1 - settings.label_smoothing - share
    label = weight * nll
    if labels.mean_logit is not None:
        label += share * logits_s.size(-1) * (normalizer - labels.mean_logit)
    if lam < 1:
        hit = torch.full_like(index, -(1 - lam) * weight, dtype=grad.dtype)
        grad.scatter_add_(-1, index, hit)
    return ChunkSums(label, nll, soft.value * temperature**2, correct), grad


class Logits(NamedTuple):
    """Logits `(n, V)` and the largest of each row, `(n,)`."""

    logits: Tensor
    best: Tensor


def softmax_and_normaliser(logits: Logits, out: Tensor) -> Tensor:
    """Softmax of `(n, V)` logits into `out`; returns log-sum-exp `(n,)`.

    The most probable symbol has p >= 1/V, so the normalizer is read off it without cancellation.
    """
    torch.softmax(logits.logits, dim=-1, out=out)
    return logits.best - out.amax(-1).log()


def _forward_kl(student: Logits, logits_t: Tensor, work: Tensor, mix: Mix) -> _Soft:
    """KL(teacher || student), with the fewest passes: the usual case."""
    # sum t (z_t - z_s)  -  (lse_t - lse_s); the gradient is p_s - t
    lse_t = softmax_and_normaliser(Logits(logits_t, logits_t.amax(-1)), out=work)
    gap = logits_t.sub_(student.logits).mul_(work).sum(-1)  # faster than a batched dot
    lse_s = softmax_and_normaliser(student, out=logits_t)
    grad = logits_t
    if mix.student == 1 - mix.soft:
        grad.sub_(work, alpha=mix.soft)
    else:
        grad.sub_(work).mul_(mix.soft)
    return _Soft(gap - lse_t + lse_s, lse_s, grad)


def _any_divergence(student: Logits, logits_t: Tensor, work: Tensor, mix: Mix) -> _Soft:
    lse_t = softmax_and_normaliser(Logits(logits_t, logits_t.amax(-1)), out=work)
    logits_t.sub_(lse_t.unsqueeze(-1))
    lse_s = softmax_and_normaliser(student, out=work)
    lprobs_s = student.logits - lse_s.unsqueeze(-1)
    value, grad = value_and_gradient(lprobs_s, logits_t, mix.divergence)
    grad.mul_(mix.soft).add_(work, alpha=mix.student)
    return _Soft(value, lse_s, grad)


def _sparse_soft(student: Logits, sparse: tuple[Tensor, Tensor], work: Tensor, mix: Mix) -> _Soft:
    """A top-k teacher: one softmax, one sum and one product over `(n, V)`."""
    lse_s = softmax_and_normaliser(student, out=work)
    lprobs_s, outside = outcomes(student.logits, lse_s, work, sparse[0])
    value = sparse_gradient_(work, lprobs_s, outside, sparse, mix)
    return _Soft(value, lse_s, work)
