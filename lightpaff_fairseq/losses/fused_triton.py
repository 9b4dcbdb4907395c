"""The walk over the chunks of the fused loss, with the Triton kernel.

Two buffers of `(chunk, V)`, one per model and in its own dtype, serve the whole call: matrix
products write the logits, and the kernel overwrites the student's by their gradient.
"""

import torch
from torch import Tensor

from .chunk import Labels
from .dense import LossSettings
from .head_products import HeadGradients, fill_logits, mean_logits
from .kernel_choice import Case, takes_triton
from .model_output import LinearOutput, ModelOutput
from .sampled import SampledOutput, SoftTargets
from .top_k import TopKOutput


def chosen_for(student: LinearOutput, teacher: SoftTargets, settings: LossSettings) -> bool:
    """Return whether the kernel computes a loss.

    Raises:
        ValueError: `settings.kernel` is `triton`, which cannot.
    """
    if settings.compiled or not len(student.hidden):
        return False
    if isinstance(teacher, SampledOutput):
        if settings.kernel == "triton":
            raise ValueError(
                "--kd-kernel triton: expected a complete or top-k teacher, got sampled"
            )
        return False
    return takes_triton(settings.kernel, case_of(student, teacher, settings))


def case_of(
    student: LinearOutput, teacher: ModelOutput | TopKOutput, settings: LossSettings
) -> Case:
    """Return the kind of a loss of one position or more."""
    dtype_t = None
    if isinstance(teacher, LinearOutput):
        dtype_t = teacher.hidden.dtype
    elif not isinstance(teacher, TopKOutput):
        dtype_t = teacher.logits(slice(0, 1)).dtype
    hidden, temperature = student.hidden, float(settings.temperature)
    sizes = hidden.device, hidden.dtype, dtype_t, student.vocab_size
    return Case(*sizes, settings.divergence, temperature)


def walk_triton(
    student: LinearOutput,
    teacher: ModelOutput | TopKOutput,
    target: Tensor,
    settings: LossSettings,
    grads: HeadGradients,
) -> tuple[Tensor, ...]:
    """Walk over the chunks; return the four sums of `LossTerms`.

    Args:
        student: without gradients; target: `(N,)`, N >= 1.
        grads: receives the gradients, except for the part of label smoothing.
    """
    from .triton_chunk import gradient_scale, triton_chunk_loss

    n, lam = target.numel(), settings.kd_lambda
    chunk = max(1, min(settings.chunk_tokens, n))
    buffer_s = student.hidden.new_empty((chunk, student.vocab_size))
    buffer_t = None
    if isinstance(teacher, LinearOutput):
        buffer_t = teacher.hidden.new_empty((chunk, teacher.vocab_size))
    totals = student.hidden.new_zeros(3, dtype=torch.float32)
    correct, target = target.new_zeros(()), target.contiguous()
    smoothed = settings.label_smoothing and lam < 1
    means = mean_logits(student, torch.float32) if smoothed else None
    scale = gradient_scale(student.hidden.dtype, settings)
    for start in range(0, n, chunk):
        rows = slice(start, min(start + chunk, n))
        logits = buffer_s[: rows.stop - start]
        fill_logits(logits, student, rows)
        labels = Labels(target[rows], None if means is None else means[rows])
        given = _teacher_rows(teacher, rows, buffer_t)
        sums = triton_chunk_loss(logits, given, labels, settings)
        totals += torch.stack([sums.task.sum(), sums.nll.sum(), sums.kd.sum()])
        correct += sums.correct.sum()
        grads.add(rows, logits, scale)
    loss = (1 - lam) * totals[0] + lam * totals[2]
    return loss, totals[1], totals[2], correct


def _teacher_rows(
    teacher: ModelOutput | TopKOutput, rows: slice, buffer: Tensor | None
) -> Tensor | tuple[Tensor, Tensor]:
    """Return what a teacher says of a chunk: its logits, in `buffer` if there is one, or top-k."""
    if isinstance(teacher, TopKOutput):
        return teacher.rows(rows)
    if buffer is None:
        logits = teacher.logits(rows)
        return logits if logits.stride(-1) == 1 else logits.contiguous()
    fill_logits(buffer[: rows.stop - rows.start], teacher, rows)
    return buffer[: rows.stop - rows.start]
