"""Loss and gradient of one chunk of positions, from its logits. Shape letters: n positions, V.

The gradient with respect to the student's logits is

    lambda T * (soft gradient at temperature T) + (1 - lambda) (p_s - label) - shift

`shift`, the contribution of label smoothing, is a constant, which `fused.py` subtracts once at the
end instead of in a pass over `(n, V)` per chunk.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .dense import LossSettings
from .divergences import value_and_gradient
from .sampled import draws_gradient_
from .top_k import Mix, student_outcomes, top_k_gradient_


class ChunkSums(NamedTuple):
    """The contribution of a chunk: values `(n,)` in nats, and hits `(n,)`, per position."""

    task: Tensor
    nll: Tensor
    kd: Tensor
    correct: Tensor


class Labels(NamedTuple):
    """Labels of a chunk: tokens `(n,)`, and, for label smoothing, the student's mean logits."""

    target: Tensor
    mean_logit: Tensor | None


class Logits(NamedTuple):
    """Logits `(n, V)` and the largest of each row, `(n,)`."""

    logits: Tensor
    best: Tensor


class _Soft(NamedTuple):
    """The soft loss: values, the student's log-sum-exp `(n,)`; gradient, spare buffer `(n, V)`."""

    value: Tensor
    normalizer: Tensor
    gradient: Tensor
    spare: Tensor


def smoothing_share(settings: LossSettings, vocab: int) -> float:
    """Return the probability that fairseq's label smoothing assigns to every token."""
    return settings.label_smoothing / (vocab - 1)


def chunk_loss(
    buffers: tuple[Tensor, Tensor, Tensor],
    sparse: tuple[Tensor, Tensor] | None,
    labels: Labels,
    settings: LossSettings,
) -> tuple[ChunkSums, Tensor]:
    """Compute loss and gradient of one chunk.

    Args:
        buffers: three of `(n, V)`, all overwritten: the student's logits, the teacher's (unused
            for a sparse teacher), and work space.
        sparse: ids and log-probabilities of a top-k teacher, ids and shares of draws, or None.
        labels: of these positions.
    Returns:
        the values per position, and the gradient without `shift`, `(n, V)`.
    """
    logits_s, logits_t, work = buffers
    lam, temperature = settings.kd_lambda, float(settings.temperature)
    label_logit = logits_s.gather(-1, labels.target.unsqueeze(-1)).squeeze(-1)
    best = logits_s.amax(-1)
    correct = torch.zeros_like(best, dtype=torch.bool)
    if settings.accuracy:  # argmax, since fairseq counts the first of equal logits
        correct = logits_s.argmax(-1).eq(labels.target)
    if temperature != 1:
        logits_s.div_(temperature)
        logits_t = logits_t.div_(temperature) if sparse is None else logits_t
    at_one = 1 - lam if temperature == 1 else 0.0
    student = Logits(logits_s, best / temperature)
    mix = Mix(lam * temperature, at_one, settings.divergence)
    soft = _soft_loss(student, logits_t, work, sparse, mix)
    grad, normalizer = soft.gradient, soft.normalizer
    if temperature != 1:
        logits_s.mul_(temperature)
        normalizer = softmax_into(soft.spare, Logits(logits_s, best))
        grad.add_(soft.spare, alpha=1 - lam)
    nll = normalizer - label_logit
    task = task_loss(nll, normalizer, labels, settings, grad.size(-1))
    add_label_gradient(grad, labels.target, settings)
    return ChunkSums(task, nll, soft.value * temperature**2, correct), grad


def task_loss(
    nll: Tensor, normalizer: Tensor, labels: Labels, settings: LossSettings, vocab: int
) -> Tensor:
    """Return the task loss `(n,)` from `-log p_s(label)` and the log-sum-exp of the logits."""
    share = smoothing_share(settings, vocab)
    task = (1 - settings.label_smoothing - share) * nll
    if labels.mean_logit is not None:
        task += share * vocab * (normalizer - labels.mean_logit)
    return task


def add_label_gradient(grad: Tensor, target: Tensor, settings: LossSettings) -> None:
    """Add the part of the labels `(n,)` to the gradient `(n, V)` in place."""
    weight = 1 - settings.label_smoothing - smoothing_share(settings, grad.size(-1))
    if settings.kd_lambda < 1:
        index = target.unsqueeze(-1)
        at_label = torch.full_like(index, -(1 - settings.kd_lambda) * weight, dtype=grad.dtype)
        grad.scatter_add_(-1, index, at_label)


def softmax_into(out: Tensor, logits: Logits) -> Tensor:
    """Write the softmax of `(n, V)` logits into `out`; return their log-sum-exp `(n,)`.

    The log-sum-exp follows without cancellation from the most probable token, whose p >= 1/V.
    """
    torch.softmax(logits.logits, dim=-1, out=out)
    return logits.best - out.amax(-1).log()


def _soft_loss(
    student: Logits, logits_t: Tensor, work: Tensor, sparse: tuple[Tensor, Tensor] | None, mix: Mix
) -> _Soft:
    if sparse is not None:
        has_rest = sparse[1].size(-1) > sparse[0].size(-1)  # the bucket of a top-k teacher
        return (_top_k if has_rest else _draws)(student, sparse, work, mix, logits_t)
    if mix.divergence.kind == "forward_kl":
        return _forward_kl(student, logits_t, work, mix)
    return _any_divergence(student, logits_t, work, mix)


def _forward_kl(student: Logits, logits_t: Tensor, work: Tensor, mix: Mix) -> _Soft:
    """Compute KL(teacher || student), the usual case, with the fewest passes."""
    # sum t (z_t - z_s)  -  (lse_t - lse_s); the gradient is p_s - t. A NaN or +inf of a model makes
    # its lse NaN; the only other NaN is 0 * -inf of a token that the teacher excludes, and means 0
    lse_t = softmax_into(work, Logits(logits_t, logits_t.amax(-1)))
    gap = logits_t.sub_(student.logits).mul_(work).nansum(-1)  # faster than a batched dot
    lse_s = softmax_into(logits_t, student)
    grad = logits_t
    if mix.student == 1 - mix.soft:
        grad.sub_(work, alpha=mix.soft)
    else:
        grad.sub_(work).mul_(mix.soft)
    return _Soft(gap - lse_t + lse_s, lse_s, grad, work)


def _any_divergence(student: Logits, logits_t: Tensor, work: Tensor, mix: Mix) -> _Soft:
    """Compute a divergence by its entry in the registry."""
    lse_t = softmax_into(work, Logits(logits_t, logits_t.amax(-1)))
    logits_t.sub_(lse_t.unsqueeze(-1))
    lse_s = softmax_into(work, student)
    lprobs_s = student.logits - lse_s.unsqueeze(-1)
    value, grad = value_and_gradient(lprobs_s, logits_t, mix.divergence)
    grad.mul_(mix.soft).add_(work, alpha=mix.student)
    return _Soft(value, lse_s, grad, work)


def _top_k(
    student: Logits, top_k: tuple[Tensor, Tensor], work: Tensor, mix: Mix, spare: Tensor
) -> _Soft:
    """Compute any divergence from a top-k teacher: three passes over `(n, V)`."""
    lse_s = softmax_into(work, student)
    lprobs_s, outside = student_outcomes(student.logits, lse_s, work, top_k[0])
    value = top_k_gradient_(work, lprobs_s, outside, top_k, mix)
    return _Soft(value, lse_s, work, spare)


def _draws(
    student: Logits, draws: tuple[Tensor, Tensor], work: Tensor, mix: Mix, spare: Tensor
) -> _Soft:
    """Compute a divergence from draws: two passes over `(n, V)`."""
    lse_s = softmax_into(work, student)
    lprobs_s = student.logits.gather(-1, draws[0]) - lse_s.unsqueeze(-1)
    value = draws_gradient_(work, lprobs_s, draws, mix)
    return _Soft(value, lse_s, work, spare)
