"""The distillation loss and its gradient from hidden states and heads, without an `(N, V)` tensor.

The dense loss keeps about six `(N, V)` tensors. This one walks over the positions in chunks:
logits of both models for a chunk, the task and the soft loss, and at once the gradient with
respect to the student's logits (`p_s` minus the mixed target), which is multiplied into the
gradients of hidden states and head before the next chunk overwrites it. Three buffers of
`(chunk, V)` serve the whole call, and `backward` only multiplies by the incoming gradient.

The arithmetic of a chunk is float32 (float64 for float64 input). Matrix products are taken in the
input's dtype, except the two gradient products of float16, which are taken in float32: at that
point the loss scale of mixed precision is not applied yet, and small probabilities would underflow.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .chunk import Labels, chunk_loss, smoothing_share
from .dense import LossSettings, LossTerms, at_least_float32
from .model_output import LinearOutput, ModelOutput
from .top_k import TopKOutput

Teacher = ModelOutput | TopKOutput


def fused_distillation_loss(
    student: LinearOutput, teacher: Teacher, target: Tensor, settings: LossSettings
) -> LossTerms:
    """Compute the distillation loss and its gradient chunk by chunk.

    Equal to `dense_distillation_loss(student.logits(), teacher.logits(), ...)`.

    Args:
        student: hidden states `(N, C)` and the output layer `(V, C)`; gradients reach both.
        teacher: gives logits `(n, V)` for a slice of the N positions, or its k most probable
            tokens; receives no gradient.
        target: `(N,)` token indices, without padding.
        settings: lambda, temperature (a number), divergence, label smoothing, chunk size.
    Returns:
        `LossTerms`, sums over the N positions. `loss` can be differentiated once.
    Raises:
        ValueError: the vocabularies of the models, or the numbers of positions and labels, differ.
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
            grads = _Gradients(student, ctx.needs_input_grad[:3])
            sums = _walk(student, teacher, target, settings, grads)
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


def _scaled(grad: Tensor | None, scale: Tensor, dtype: torch.dtype) -> Tensor | None:
    return None if grad is None else grad.mul_(scale.to(grad.dtype)).to(dtype)


def _walk(
    student: LinearOutput,
    teacher: Teacher,
    target: Tensor,
    settings: LossSettings,
    grads: "_Gradients",
) -> tuple[Tensor, ...]:
    """Walk over the chunks; return the four sums of `LossTerms`."""
    n, lam = target.numel(), settings.kd_lambda
    chunk = max(1, min(settings.chunk_tokens, n))
    dtype = torch.float64 if student.hidden.dtype == torch.float64 else torch.float32
    buffers = student.hidden.new_empty((3, chunk, student.vocab_size), dtype=dtype)
    totals = student.hidden.new_zeros(3, dtype=dtype)
    correct = target.new_zeros(())
    mean_logits = _mean_logits(student, dtype) if settings.label_smoothing and lam < 1 else None
    loss_of = _compiled() if settings.compiled else chunk_loss
    for start in range(0, n, chunk):
        rows = slice(start, min(start + chunk, n))
        logits_s, logits_t, work = buffers[:, : rows.stop - start]
        _fill(logits_s, student, rows)
        top_k = teacher.rows(rows) if isinstance(teacher, TopKOutput) else None
        if not isinstance(teacher, TopKOutput):
            _fill(logits_t, teacher, rows)
        labels = Labels(target[rows], None if mean_logits is None else mean_logits[rows])
        sums, grad = loss_of((logits_s, logits_t, work), top_k, labels, settings)
        totals += torch.stack([sums.task.sum(), sums.nll.sum(), sums.kd.sum()])
        correct += sums.correct.sum()
        grads.add(rows, grad)
    grads.finish((1 - lam) * smoothing_share(settings, student.vocab_size))
    loss = (1 - lam) * totals[0] + lam * totals[2]
    return loss, totals[1], totals[2], correct


@cache
def _compiled() -> Callable[..., Any]:
    """Compile `chunk_loss` once per process."""
    compiled: Callable[..., Any] = torch.compile(chunk_loss)
    return compiled


def _mean_logits(student: LinearOutput, dtype: torch.dtype) -> Tensor:
    """Return `(N,)`: each position's logits, averaged over the vocabulary."""
    means = student.hidden.to(dtype) @ student.weight.mean(0, dtype=dtype)
    return means if student.bias is None else means + student.bias.mean(dtype=dtype)


def _fill(buffer: Tensor, output: ModelOutput, rows: slice) -> None:
    """Write the logits of `rows` into `buffer` `(n, V)` with as few copies as the dtypes allow."""
    if isinstance(output, LinearOutput) and output.hidden.dtype == buffer.dtype:
        torch.mm(output.hidden[rows], output.weight.t(), out=buffer)
        if output.bias is not None:
            buffer += output.bias
    else:
        buffer.copy_(output.logits(rows))


class _Gradients:
    """Gradients of hidden states, head weight and bias, for an incoming gradient of one.

    `hidden` `(N, C)` is written chunk by chunk, `weight` `(V, C)` and `bias` `(V,)` accumulate in
    float32 (float64 for float64 input); each is None where no gradient is needed. The first chunk
    overwrites `weight`, which saves filling it with zeros.
    """

    def __init__(self, student: LinearOutput, needed: tuple[bool, ...]) -> None:
        self.student = student
        dtype = at_least_float32(student.hidden[:0]).dtype
        self.hidden = torch.empty_like(student.hidden, dtype=dtype) if needed[0] else None
        self.weight = torch.empty_like(student.weight, dtype=dtype) if needed[1] else None
        self._fresh = True
        self.bias: Tensor | None = None
        if student.bias is not None and needed[2]:
            self.bias = torch.zeros_like(student.bias, dtype=dtype)
        half = student.hidden.dtype == torch.float16
        self._head = student.weight.float() if half else student.weight

    def add(self, rows: slice, grad_logits: Tensor) -> None:
        """Multiply `(n, V)` d loss / d logits of `rows` into the three gradients."""
        hidden = self.student.hidden[rows]
        if self.bias is not None:
            self.bias += grad_logits.sum(0)
        if hidden.dtype == torch.bfloat16:
            grad_logits = grad_logits.bfloat16()
        elif hidden.dtype == torch.float16:
            hidden = hidden.float()
        if self.hidden is not None:
            self.hidden[rows] = grad_logits @ self._head
        if self.weight is not None:
            self._add_weight(self.weight, grad_logits.t(), hidden)

    def _add_weight(self, total: Tensor, grad_logits: Tensor, hidden: Tensor) -> None:
        if grad_logits.dtype == total.dtype:
            torch.addmm(
                total, grad_logits, hidden, beta=0 if self._fresh else 1, out=total
            )  # beta 0 ignores what is there, even a NaN
        elif self._fresh:
            total.copy_(grad_logits @ hidden)
        else:
            total += grad_logits @ hidden
        self._fresh = False

    def finish(self, share: float) -> None:
        """Subtract `share` from the derivative of every logit of every position."""
        student = self.student
        if self._fresh and self.weight is not None:  # no positions
            self.weight.zero_()
        if share == 0:
            return
        if self.hidden is not None:
            self.hidden -= share * student.weight.sum(0, dtype=self.hidden.dtype)
        if self.weight is not None:
            self.weight -= share * student.hidden.sum(0, dtype=self.weight.dtype)
        if self.bias is not None:
            self.bias -= share * len(student.hidden)
