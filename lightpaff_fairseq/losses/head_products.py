"""Products with the output layers, chunk by chunk: logits, and the student's gradients.

Matrix products are taken in the input's dtype, except the two gradient products of float16, which
are taken in float32: at that point the loss scale of mixed precision is not applied yet, and small
probabilities would underflow. Shape letters: N positions, n positions of a chunk, C width, V.
"""

import torch
from torch import Tensor

from .dense import at_least_float32
from .model_output import LinearOutput, ModelOutput, Rows


def mean_logits(student: LinearOutput, dtype: torch.dtype) -> Tensor:
    """Return `(N,)`: each position's logits, averaged over the vocabulary."""
    means = student.hidden.to(dtype) @ student.weight.mean(0, dtype=dtype)
    return means if student.bias is None else means + student.bias.mean(dtype=dtype)


def fill_logits(buffer: Tensor, output: ModelOutput, rows: Rows) -> None:
    """Write the logits of `rows` into `buffer` `(n, V)` with as few copies as the dtypes allow."""
    if isinstance(output, LinearOutput) and output.hidden.dtype == buffer.dtype:
        torch.mm(output.hidden[rows], output.weight.t(), out=buffer)
        if output.bias is not None:
            buffer += output.bias
    else:
        buffer.copy_(output.logits(rows))


class HeadGradients:
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

    def add(self, rows: Rows, grad_logits: Tensor) -> None:
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
