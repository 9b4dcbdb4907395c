"""The Triton kernels of a top-k teacher: `triton_kernel.py` describes them."""

import triton
import triton.language as tl

from .triton_kernel import add_block, load_block, store_block


@triton.jit
def student_rows(
    logits, values, stride, vocab, inverse_t, TEMPERED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write log-sum-exps `(n, 2)`: of the logits at the temperature, and at 1."""
    row = tl.program_id(0).to(tl.int64)
    peak_s, peak_1 = -float("inf"), -float("inf")
    sum_s, sum_1 = 0.0, 0.0
    for start in range(0, vocab, BLOCK):
        raw = load_block(logits + row * stride, start + tl.arange(0, BLOCK), vocab)
        peak_s, sum_s, _, _ = add_block(raw * inverse_t, peak_s, sum_s)
        if TEMPERED:
            peak_1, sum_1, _, _ = add_block(raw, peak_1, sum_1)
    lse_s = peak_s + tl.log(sum_s)
    lse_1 = lse_s
    if TEMPERED:
        lse_1 = peak_1 + tl.log(sum_1)
    tl.store(values + row * 2, lse_s)
    tl.store(values + row * 2 + 1, lse_1)


@triton.jit
def write_rows(
    logits, factors, targets, stride, vocab, inverse_t, hard, at_label, scale, limit, BLOCK:
    tl.constexpr,
):  # fmt: skip
    """Write `(factor * p_T + hard * p - at_label at the label) * scale` over the logits.

    `factors` is `(n, 3)`: the factor, and the log-sum-exps at the temperature and at 1.
    """
    row = tl.program_id(0).to(tl.int64)
    factor, lse_s = tl.load(factors + row * 3), tl.load(factors + row * 3 + 1)
    lse_1 = tl.load(factors + row * 3 + 2)
    target = tl.load(targets + row)
    row_s = logits + row * stride
    for start in range(0, vocab, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        raw = load_block(row_s, offsets, vocab)
        gradient = factor * tl.exp(raw * inverse_t - lse_s) + hard * tl.exp(raw - lse_1)
        gradient -= tl.where(offsets == target, at_label, 0.0)
        store_block(row_s, offsets, vocab, gradient, scale, limit)
