"""The Triton kernels of one chunk: loss and gradient per position, the gradient in place.

One program per position walks over its row of logits in blocks of the vocabulary. `distill_rows`
serves a complete teacher: it reads both rows for their log-sum-exp, and reads them again for value
and gradient, which overwrites the student's logits. Divergences other than the two KLs need a mean
of the row between the two, a third read. For a top-k teacher `student_rows` reads the student's row
once, and `write_rows` reads and overwrites it; the k + 1 outcomes are left to `divergences.py`.

All arithmetic is float32, whatever the dtype of the logits. Only this module imports Triton.
Shape letters: n positions, V vocabulary.
"""

import triton
import triton.language as tl

FORWARD_KL = tl.constexpr(0)
REVERSE_KL = tl.constexpr(1)
JSD = tl.constexpr(2)
TVD = tl.constexpr(3)
SKEW_KL = tl.constexpr(4)
SKEW_REVERSE_KL = tl.constexpr(5)

KINDS = {  # of `Divergence.kind`
    "forward_kl": 0,
    "reverse_kl": 1,
    "jsd": 2,
    "tvd": 3,
    "skew_kl": 4,
    "skew_reverse_kl": 5,
}


@triton.jit
def load_block(row, offsets, vocab):
    """Load a block of a row in float32, -inf outside of the vocabulary."""
    return tl.load(row + offsets, mask=offsets < vocab, other=-float("inf")).to(tl.float32)


@triton.jit
def add_block(logits, peak, total):
    """Add a block to an online log-sum-exp; return its new peak and sum, and the old sum's factor.

    The block's weights are relative to the new peak. A row of nothing but -inf keeps a sum of 0.
    """
    higher = tl.maximum(peak, tl.max(logits, 0))
    base = tl.where(higher == -float("inf"), 0.0, higher)
    weights, factor = tl.exp(logits - base), tl.exp(peak - base)
    return higher, total * factor + tl.sum(weights, 0), weights, factor


@triton.jit
def _add_best(logits, offsets, best, place):
    """Keep the largest logit so far and its place, the first of equal ones."""
    highest = tl.max(logits, 0)
    here = tl.min(tl.where(logits == highest, offsets, 2147483647), 0)
    return tl.maximum(best, highest), tl.where(highest > best, here, place)


@triton.jit
def _terms(kind: tl.constexpr, lprob_s, lprob_t, parameter):
    """Return a block's summands of the divergence, and the student's p times the slope."""
    s, t = tl.exp(lprob_s), tl.exp(lprob_t)
    if kind == TVD:
        gap = s - t
        value = 0.5 * tl.abs(gap)
        slope = s * tl.where(gap > 0, 0.5, tl.where(gap < 0, -0.5, gap))  # a NaN stays one
    else:
        if kind == SKEW_REVERSE_KL:
            mixture = (1 - parameter) * t + parameter * s
        else:
            mixture = parameter * t + (1 - parameter) * s
        tiny = 1.1754943508222875e-38
        mixture = tl.where(mixture < tiny, tiny, mixture)
        log_mixture = tl.log(mixture)
        of_student = tl.where(s == 0, 0.0, s * (lprob_s - log_mixture))
        of_teacher = tl.where(t == 0, 0.0, t * (lprob_t - log_mixture))
        if kind == JSD:
            value = parameter * of_teacher + (1 - parameter) * of_student
            slope = (1 - parameter) * of_student
        elif kind == SKEW_KL:
            value = of_teacher
            slope = -(1 - parameter) * t * (s / mixture)
        else:
            value = of_student
            slope = of_student - parameter * s * (s / mixture)
    return value, slope


@triton.jit
def _statistics(
    row_s, row_t, vocab, inverse_t, KIND: tl.constexpr, TEMPERED: tl.constexpr, ACCURACY:
    tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Read both rows once; return their log-sum-exps, the mean for reverse KL, and the argmax."""
    low = -float("inf")
    peak_s, peak_t, peak_1, best = low, low, low, low
    sum_s, sum_t, sum_1, gap, place = 0.0, 0.0, 0.0, 0.0, 0
    for start in range(0, vocab, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        raw = load_block(row_s, offsets, vocab)
        z_s, z_t = raw * inverse_t, load_block(row_t, offsets, vocab) * inverse_t
        peak_s, sum_s, weights, factor = add_block(z_s, peak_s, sum_s)
        peak_t, sum_t, _, _ = add_block(z_t, peak_t, sum_t)
        if KIND == REVERSE_KL:
            gap = gap * factor + tl.sum(tl.where(weights == 0, 0.0, weights * (z_s - z_t)), 0)
        if TEMPERED:
            peak_1, sum_1, _, _ = add_block(raw, peak_1, sum_1)
        if ACCURACY:
            best, place = _add_best(raw, offsets, best, place)
    lse_s, lse_t = peak_s + tl.log(sum_s), peak_t + tl.log(sum_t)
    lse_1 = lse_s
    if TEMPERED:
        lse_1 = peak_1 + tl.log(sum_1)
    return lse_s, lse_t, lse_1, gap / sum_s - lse_s + lse_t, place


@triton.jit
def _mean_slope(
    row_s, row_t, vocab, inverse_t, lse_s, lse_t, parameter, KIND: tl.constexpr, BLOCK:
    tl.constexpr,
):  # fmt: skip
    """Read both rows once; return the divergence, and the mean slope under the student."""
    value, mean = 0.0, 0.0
    for start in range(0, vocab, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        lprob_s = load_block(row_s, offsets, vocab) * inverse_t - lse_s
        lprob_t = load_block(row_t, offsets, vocab) * inverse_t - lse_t
        summand, slope = _terms(KIND, lprob_s, lprob_t, parameter)
        value += tl.sum(summand, 0)
        mean += tl.sum(slope, 0)
    return value, mean


@triton.jit
def _block_gradient(KIND: tl.constexpr, lprob_s, lprob_t, parameter, mean):
    """Return the soft gradient of a block, and the summands of forward KL."""
    s = tl.exp(lprob_s)
    summand = s
    if KIND == FORWARD_KL:
        t = tl.exp(lprob_t)
        gradient = s - t
        summand = tl.where(t == 0, 0.0, t * (lprob_t - lprob_s))
    elif KIND == REVERSE_KL:
        gradient = tl.where(s == 0, 0.0, s * (lprob_s - lprob_t - mean))
    else:
        _, slope = _terms(KIND, lprob_s, lprob_t, parameter)
        gradient = slope - s * mean
    return gradient, summand


@triton.jit
def distill_rows(
    logits_s, logits_t, targets, values, stride_s, stride_t, vocab, inverse_t, soft, hard,
    at_label, parameter, scale, limit, KIND: tl.constexpr, TEMPERED: tl.constexpr, ACCURACY:
    tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write `(soft * soft gradient + hard * p - at_label at the label) * scale` over `logits_s`.

    `values` gets `(n, 4)`: the divergence, the log-sum-exp of the logits, the label's logit, and 1
    where the label is the argmax. Gradients beyond `limit` (of float16) are cut there.
    """
    row = tl.program_id(0).to(tl.int64)
    row_s, row_t = logits_s + row * stride_s, logits_t + row * stride_t
    target = tl.load(targets + row)
    is_token = (target >= 0) & (target < vocab)
    label = tl.load(row_s + target, mask=is_token, other=float("nan")).to(tl.float32)
    lse_s, lse_t, lse_1, mean, place = _statistics(
        row_s, row_t, vocab, inverse_t, KIND, TEMPERED, ACCURACY, BLOCK
    )
    value = mean
    if KIND != FORWARD_KL and KIND != REVERSE_KL:
        value, mean = _mean_slope(
            row_s, row_t, vocab, inverse_t, lse_s, lse_t, parameter, KIND, BLOCK
        )
    divergence = 0.0
    for start in range(0, vocab, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        raw = load_block(row_s, offsets, vocab)
        lprob_s = raw * inverse_t - lse_s
        lprob_t = load_block(row_t, offsets, vocab) * inverse_t - lse_t
        gradient, summand = _block_gradient(KIND, lprob_s, lprob_t, parameter, mean)
        divergence += tl.sum(tl.where(offsets < vocab, summand, 0.0), 0)
        gradient = gradient * soft + hard * tl.exp(raw - lse_1)
        gradient -= tl.where(offsets == target, at_label, 0.0)
        store_block(row_s, offsets, vocab, gradient, scale, limit)
    if KIND == FORWARD_KL:
        value = divergence
    tl.store(values + row * 4, value)
    tl.store(values + row * 4 + 1, lse_1)
    tl.store(values + row * 4 + 2, label)
    tl.store(values + row * 4 + 3, tl.where(place == target, 1.0, 0.0))


@triton.jit
def store_block(row, offsets, vocab, gradient, scale, limit):
    """Store a block of the gradient in the dtype of the logits."""
    scaled = gradient * scale
    cut = tl.where(scaled > limit, limit, tl.where(scaled < -limit, -limit, scaled))
    scaled = tl.where(tl.abs(scaled) < float("inf"), cut, scaled)  # inf and NaN stay
    tl.store(row + offsets, scaled.to(row.dtype.element_ty), mask=offsets < vocab)
