"""Student head + teacher head + label -> loss and gradient, without a tensor of `(N, V)`.

The dense loss keeps about six `(N, V)` tensors. This one walks over the positions in chunks:
logits of both models for a chunk, the label and the soft term, and at once the gradient with
respect to the student's logits (`p_s` minus the mixed target), which is multiplied into the
gradients of hidden states and head before the next chunk overwrites it. Three buffers of
`(chunk, V)` serve the whole call, and `backward` only multiplies by the incoming gradient.

The arithmetic of a chunk is float32 (float64 for float64 input). Matrix products are taken in the
input's dtype, except the two gradient products of float16, which are taken in float32: at that
point the loss scale of mixed precision is not applied yet, and small probabilities would underflow.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor

from .losses import LossSettings, LossTerms, at_least_float32
from .readout import LinearReadout, Readout


class _Sums(NamedTuple):
    """What a chunk contributes: per-position values `(n,)` in nats and hits `(n,)`."""

    label: Tensor
    nll: Tensor
    kd: Tensor
    correct: Tensor


def fused_distillation_loss(
    student: LinearReadout, teacher: Readout, target: Tensor, settings: LossSettings
) -> LossTerms:
    """The distillation loss, forward and gradient chunk by chunk.

    Equal to `dense_distillation_loss(student.logits(), teacher.logits(), ...)`.

    Args:
        student: hidden states `(N, C)` and the output layer `(V, C)`; gradients reach both.
        teacher: anything that gives logits `(n, V)` for a slice of the N positions; no gradient.
        target: `(N,)` symbol indices, no padding among them.
        settings: lambda, temperature, label smoothing, chunk size.
    Returns:
        `LossTerms`, sums over the N positions. `loss` can be differentiated once.
    Raises:
        ValueError: the two models' vocabularies have different sizes.
    Source: the forward-and-gradient-by-chunk idea is that of fused linear cross entropy.
    """
    if teacher.vocab_size != student.vocab_size:
        raise ValueError(
            f"the teacher predicts {teacher.vocab_size} symbols and the student "
            f"{student.vocab_size}: distillation needs one vocabulary"
        )
    terms = _FusedLoss.apply(  # type: ignore[no-untyped-call]
        student.hidden, student.weight, student.bias, teacher, target, settings
    )
    return LossTerms(*terms)


class _FusedLoss(torch.autograd.Function):
    """Computes its gradient in forward; backward scales it."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Optional[Tensor],
        teacher: Readout,
        target: Tensor,
        settings: LossSettings,
    ) -> tuple[Tensor, ...]:
        student = LinearReadout(hidden.detach(), weight.detach(), _detached(bias))
        with torch.autocast(hidden.device.type, enabled=False):
            grads = _Gradients(student, ctx.needs_input_grad[:3])
            sums = _walk(student, teacher, target, settings, grads.add)
        ctx.grads = grads
        ctx.dtypes = hidden.dtype, weight.dtype
        ctx.mark_non_differentiable(*sums[1:])
        return sums

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, *_: Tensor) -> tuple[Optional[Tensor], ...]:
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


def _detached(x: Optional[Tensor]) -> Optional[Tensor]:
    return None if x is None else x.detach()


def _scaled(grad: Optional[Tensor], scale: Tensor, dtype: torch.dtype) -> Optional[Tensor]:
    return None if grad is None else grad.mul_(scale.to(grad.dtype)).to(dtype)


def _walk(
    student: LinearReadout,
    teacher: Readout,
    target: Tensor,
    settings: LossSettings,
    add_gradient: Callable[[slice, Tensor], None],
) -> tuple[Tensor, ...]:
    """Goes through the chunks; returns the four sums of `LossTerms`."""
    n = target.numel()
    chunk = max(1, min(settings.chunk_tokens, n))
    dtype = torch.float64 if student.hidden.dtype == torch.float64 else torch.float32
    buffers = student.hidden.new_empty((3, chunk, student.vocab_size), dtype=dtype)
    totals = student.hidden.new_zeros(3, dtype=dtype)
    correct = target.new_zeros(())
    for start in range(0, n, chunk):
        rows = slice(start, min(start + chunk, n))
        logits_s, logits_t, work = buffers[:, : rows.stop - start]
        _fill(logits_s, student, rows)
        _fill(logits_t, teacher, rows)
        sums, grad = _chunk(logits_s, logits_t, work, target[rows], settings)
        totals += torch.stack([sums.label.sum(), sums.nll.sum(), sums.kd.sum()])
        correct += sums.correct.sum()
        add_gradient(rows, grad)
    loss = (1 - settings.kd_lambda) * totals[0] + settings.kd_lambda * totals[2]
    return loss, totals[1], totals[2], correct


def _fill(buffer: Tensor, readout: Readout, rows: slice) -> None:
    """Writes the logits of `rows` into `buffer` `(n, V)` with as few copies as the dtypes allow."""
    if isinstance(readout, LinearReadout) and readout.hidden.dtype == buffer.dtype:
        torch.mm(readout.hidden[rows], readout.weight.t(), out=buffer)
        if readout.bias is not None:
            buffer += readout.bias
    else:
        buffer.copy_(readout.logits(rows))


def _softmax_and_normaliser(logits: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax of `logits` `(n, V)` into `out`; returns log-sum-exp and argmax, both `(n,)`.

    The most probable symbol has p >= 1/V, so the normaliser is read off it without cancellation.
    """
    torch.softmax(logits, dim=-1, out=out)
    best, index = logits.max(-1)
    return best - out.gather(-1, index.unsqueeze(-1)).squeeze(-1).log(), index


def _chunk(
    logits_s: Tensor, logits_t: Tensor, work: Tensor, target: Tensor, settings: LossSettings
) -> tuple[_Sums, Tensor]:
    """Loss and gradient of one chunk. The three `(n, V)` buffers are overwritten.

    Returns:
        the per-position values, and `(n, V)` d loss / d logits_s (one of the buffers).
    """
    lam, temperature = settings.kd_lambda, settings.temperature
    index = target.unsqueeze(-1)
    label_logit = logits_s.gather(-1, index).squeeze(-1)
    mean_logit = logits_s.mean(-1) if settings.label_smoothing else label_logit

    # soft term: sum q (z_t - z_s) / T  -  (lse_t - lse_s)
    if temperature != 1:
        logits_t.div_(temperature)
        logits_s.div_(temperature)
    lse_t, _ = _softmax_and_normaliser(logits_t, out=work)
    gap = torch.linalg.vecdot(work, logits_t.sub_(logits_s))
    probs = logits_t
    lse_s, best = _softmax_and_normaliser(logits_s, out=probs)
    kd = (gap - lse_t + lse_s) * temperature**2

    # gradient: lambda T (p_s^(1/T) - q)  +  (1 - lambda) (p_s - smoothed label)
    if temperature == 1:
        grad = probs.sub_(work, alpha=lam)
    else:
        soft = probs.sub_(work).mul_(lam * temperature)
        lse_s, best = _softmax_and_normaliser(logits_s.mul_(temperature), out=work)
        grad = soft.add_(work, alpha=1 - lam)
    nll = lse_s - label_logit
    epsilon, vocab = settings.label_smoothing, logits_s.size(-1)
    eps_i = epsilon / (vocab - 1)
    label = (1 - epsilon - eps_i) * nll + eps_i * vocab * (lse_s - mean_logit)
    if lam < 1:
        hit = torch.full_like(index, -(1 - lam) * (1 - epsilon - eps_i), dtype=grad.dtype)
        grad.scatter_add_(-1, index, hit)
        if epsilon:
            grad.sub_((1 - lam) * eps_i)
    return _Sums(label, nll, kd, best.eq(target)), grad


class _Gradients:
    """Gradients of hidden states, head weight and bias, for an incoming gradient of one.

    `hidden` `(N, C)` is written chunk by chunk, `weight` `(V, C)` and `bias` `(V,)` accumulate in
    float32 (float64 for float64 input); each is None where no gradient is asked for.
    """

    def __init__(self, student: LinearReadout, needed: tuple[bool, ...]) -> None:
        self.student = student
        dtype = at_least_float32(student.hidden[:0]).dtype
        self.hidden = torch.empty_like(student.hidden, dtype=dtype) if needed[0] else None
        self.weight = torch.zeros_like(student.weight, dtype=dtype) if needed[1] else None
        self.bias: Optional[Tensor] = None
        if student.bias is not None and needed[2]:
            self.bias = torch.zeros_like(student.bias, dtype=dtype)
        half = student.hidden.dtype == torch.float16
        self._head = student.weight.float() if half else student.weight

    def add(self, rows: slice, grad_logits: Tensor) -> None:
        """Multiplies `(n, V)` d loss / d logits of `rows` into the three gradients."""
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
            if grad_logits.dtype == self.weight.dtype:
                self.weight.addmm_(grad_logits.t(), hidden)
            else:
                self.weight += grad_logits.t() @ hidden
