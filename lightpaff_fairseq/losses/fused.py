"""The distillation loss and its gradient from hidden states and heads, without an `(N, V)` tensor.

The dense loss keeps about six `(N, V)` tensors. This one walks over the positions in chunks:
logits of both models for a chunk, the task and the soft loss, and at once the gradient with
respect to the student's logits (`p_s` minus the mixed target), which is multiplied into the
gradients of hidden states and head before the next chunk overwrites it. Three buffers of
`(chunk, V)` serve the whole call, and `backward` only multiplies by the incoming gradient.

The arithmetic of a chunk is float32 (float64 for float64 input), that of the products is in
`head_products.py`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .chunk import Labels, chunk_loss, smoothing_share
from .dense import LossSettings, LossTerms
from .fused_selected import walk_selected
from .fused_triton import chosen_for, walk_triton
from .head_products import HeadGradients, fill_logits, mean_logits
from .model_output import LinearOutput
from .position_selection import Teacher, complete_output
from .sampled import SPARSE, SampledOutput, SoftTargets


def fused_distillation_loss(
    student: LinearOutput, teacher: Teacher, target: Tensor, settings: LossSettings
) -> LossTerms:
    """Compute the distillation loss and its gradient chunk by chunk.

    Equal to `dense_distillation_loss(student.logits(), teacher.logits(), ...)`.

    Args:
        student: hidden states `(N, C)` and the output layer `(V, C)`; gradients reach both.
        teacher: gives logits `(n, V)` for some of the N positions, its k most probable
            tokens, or draws, or (with a selection) any of them later; receives no gradient.
        target: `(N,)` token indices, without padding.
        settings: lambda, temperature (a number), divergence, label smoothing, chunk size.
    Returns:
        `LossTerms`, sums over the N positions. `loss` can be differentiated once.
    Raises:
        ValueError: the vocabularies of the models, or the numbers of positions and labels, differ;
            or `settings.kernel` is `triton`, which cannot run.
        RuntimeError: `loss` is differentiated a second time.
    Source: fused linear cross entropy, which also computes its gradient in forward, in chunks.
    """
    if teacher.vocab_size != student.vocab_size:
        raise ValueError(
            f"distillation needs one vocabulary: the teacher predicts {teacher.vocab_size} tokens, "
            f"the student {student.vocab_size}"
        )
    if target.shape != student.hidden.shape[:1]:
        raise ValueError(
            f"target: expected one label for each of {len(student.hidden)} positions, got shape "
            f"{tuple(target.shape)}"
        )
    terms = _FusedLoss.apply(  # type: ignore[no-untyped-call]
        student.hidden, student.weight, student.bias, teacher, target, settings
    )
    return LossTerms(*terms)


class _FusedLoss(torch.autograd.Function):
    """Compute the gradient in forward, and scale it in backward."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        teacher: Teacher,
        target: Tensor,
        settings: LossSettings,
    ) -> tuple[Tensor, ...]:
        bias = None if bias is None else bias.detach()
        student = LinearOutput(hidden.detach(), weight.detach(), bias)
        with torch.autocast(hidden.device.type, enabled=False):
            grads = HeadGradients(student, ctx.needs_input_grad[:3])
            sums = _walk_chosen(student, teacher, target, settings, grads)
            share = smoothing_share(settings, student.vocab_size)
            grads.finish((1 - settings.kd_lambda) * share)
        ctx.grads = grads
        ctx.dtypes = hidden.dtype, weight.dtype
        ctx.mark_non_differentiable(*sums[1:])
        return sums

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.grads is None:
            raise RuntimeError("the fused distillation loss can be differentiated only once")
        grads, ctx.grads = ctx.grads, None
        dtype_h, dtype_w = ctx.dtypes
        return (
            _scaled(grads.hidden, grad_loss, dtype_h),
            _scaled(grads.weight, grad_loss, dtype_w),
            _scaled(grads.bias, grad_loss, dtype_w),
            None,
            None,
            None,
        )


def _walk_chosen(
    student: LinearOutput,
    teacher: Teacher,
    target: Tensor,
    settings: LossSettings,
    grads: HeadGradients,
) -> tuple[Tensor, ...]:
    """Walk as the selection needs it: one of all positions is none."""
    selection, n = settings.selection, target.numel()
    if selection is not None and selection.count(n) < n:
        return walk_selected(student, teacher, target, settings, grads)
    output = complete_output(teacher, target)
    if chosen_for(student, output, settings) and not isinstance(output, SampledOutput):
        return walk_triton(student, output, target, settings, grads)
    return _walk(student, output, target, settings, grads)


def _scaled(grad: Tensor | None, scale: Tensor, dtype: torch.dtype) -> Tensor | None:
    return None if grad is None else grad.mul_(scale.to(grad.dtype)).to(dtype)


def _walk(
    student: LinearOutput,
    teacher: SoftTargets,
    target: Tensor,
    settings: LossSettings,
    grads: HeadGradients,
) -> tuple[Tensor, ...]:
    """Walk over the chunks; return the four sums of `LossTerms`."""
    n, lam = target.numel(), settings.kd_lambda
    chunk = max(1, min(settings.chunk_tokens, n))
    dtype = torch.float64 if student.hidden.dtype == torch.float64 else torch.float32
    buffers = student.hidden.new_empty((3, chunk, student.vocab_size), dtype=dtype)
    totals = student.hidden.new_zeros(3, dtype=dtype)
    correct = target.new_zeros(())
    means = mean_logits(student, dtype) if settings.label_smoothing and lam < 1 else None
    loss_of = _compiled() if settings.compiled else chunk_loss
    for start in range(0, n, chunk):
        rows = slice(start, min(start + chunk, n))
        logits_s, logits_t, work = buffers[:, : rows.stop - start]
        fill_logits(logits_s, student, rows)
        sparse = teacher.rows(rows) if isinstance(teacher, SPARSE) else None
        if not isinstance(teacher, SPARSE):
            fill_logits(logits_t, teacher, rows)
        labels = Labels(target[rows], None if means is None else means[rows])
        sums, grad = loss_of((logits_s, logits_t, work), sparse, labels, settings)
        totals += torch.stack([sums.task.sum(), sums.nll.sum(), sums.kd.sum()])
        correct += sums.correct.sum()
        grads.add(rows, grad)
    loss = (1 - lam) * totals[0] + lam * totals[2]
    return loss, totals[1], totals[2], correct


@cache
def _compiled() -> Callable[..., Any]:
    """Compile `chunk_loss` once per process."""
    compiled: Callable[..., Any] = torch.compile(chunk_loss)
    return compiled
