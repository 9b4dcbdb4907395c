"""Products with the output layers, chunk by chunk: logits, and the student's gradients.

Matrix products are taken in the input's dtype, except the two gradient products of float16, which
are taken in float32: at that point the loss scale of mixed precision is not applied yet, and small
probabilities would underflow. Shape letters: N positions, n positions of a chunk, C width, V.
"""

from functools import cache, cached_property

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


def product_in_float32(a: Tensor, b: Tensor) -> Tensor:
    """Return the product of two float16 matrices in float32, without copies where PyTorch can."""
    if _widens(a.device):
        product: Tensor = torch.mm(a, b, out_dtype=torch.float32)
        return product
    return a.float() @ b.float()


@cache
def _widens(device: torch.device) -> bool:
    """Return whether a product of float16 can be float32: on CUDA, since PyTorch 2.8."""
    ones = torch.ones((16, 16), dtype=torch.float16, device=device)
    try:  # the three errors of PyTorch versions and devices without this argument or this kernel
        torch.mm(ones, ones, out_dtype=torch.float32)
    except (NotImplementedError, RuntimeError, TypeError):
        return False
    return True


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

    @cached_property
    def _head(self) -> Tensor:
        weight = self.student.weight
        return weight.float() if self.student.hidden.dtype == torch.float16 else weight

    def add(self, rows: Rows, grad_logits: Tensor, scale: float = 1.0) -> None:
        """Multiply `(n, V)` d loss / d logits of `rows`, times `scale`, into the three gradients.

        A float16 gradient, which the Triton kernel scales, is multiplied as it is.
        """
        hidden = self.student.hidden[rows]
        if self.bias is not None:
            self.bias += grad_logits.sum(0, dtype=self.bias.dtype) / scale
        if grad_logits.dtype == torch.float16:
            return self._add_half(rows, grad_logits, scale)
        if hidden.dtype == torch.bfloat16:
            grad_logits = grad_logits.bfloat16()
        elif hidden.dtype == torch.float16:
            hidden = hidden.float()
        if self.hidden is not None:
            self.hidden[rows] = (grad_logits @ self._head).to(self.hidden.dtype)
        if self.weight is not None:
            self._add_weight(self.weight, grad_logits.t(), hidden)
        return None

    def _add_half(self, rows: Rows, grad_logits: Tensor, scale: float) -> None:
        if self.hidden is not None:
            self.hidden[rows] = product_in_float32(grad_logits, self.student.weight) / scale
        if self.weight is not None:
            if self._fresh:
                self.weight.zero_()
            product = product_in_float32(grad_logits.t(), self.student.hidden[rows])
            self.weight.add_(product, alpha=1 / scale)
            self._fresh = False

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
