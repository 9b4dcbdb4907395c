"""Encoding of cache records: sizes, and errors within the stated bounds, for any teacher."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lightpaff_fairseq.teachers.cache.layout import DEEPEST, LPROBS, STEPS, TOP_K, VALUES, Layout

HALF_STEP = DEEPEST / STEPS / 2  # of a logarithm
RELATIVE_ERROR = 1.9e-4  # of a probability, as docs/cache.md states it
VOCABULARIES = st.one_of(st.integers(2, 300), st.sampled_from([65_535, 65_536, 65_537, 150_000]))
SEEDS, TEMPERATURES = st.integers(0, 2**32 - 1), st.floats(0.05, 20)


def random_logits(seed, rows, vocab, scale):
    """Logits `(rows, vocab)`; at a large scale, one token has nearly all of the probability."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, vocab, generator=generator) * scale


@settings(max_examples=60, deadline=None)
@given(
    vocab=VOCABULARIES,
    share=st.floats(0, 1),
    temperature=TEMPERATURES,
    scale=st.sampled_from([0.0, 0.01, 1.0, 10.0, 1e3, 1e6]),
    seed=SEEDS,
)
@example(vocab=65_536, share=0.0001, temperature=1.0, scale=3.0, seed=1)
@example(vocab=65_537, share=0.0001, temperature=2.0, scale=3.0, seed=1)
@example(vocab=40, share=0.05, temperature=1.0, scale=1e6, seed=1)
def test_top_k_round_trip(vocab, share, temperature, scale, seed):
    """Records are as small, and as exact, as docs/cache.md states."""
    k = min(vocab - 1, 64, 1 + int(share * (vocab - 1)))
    layout = Layout(TOP_K, vocab, k, temperature)
    assert layout.dtype.itemsize == (4 if vocab <= 65_536 else 5) * k + 2
    logits = random_logits(seed, 3, vocab, scale)
    records = layout.encode(logits.clone())
    stored = records.tobytes()
    assert len(stored) == 3 * layout.dtype.itemsize
    ids, lprobs = layout.decode(np.frombuffer(stored, layout.dtype))

    probs = (logits / temperature).double().softmax(-1)
    assert ids.dtype == torch.int64 and all(len(set(row)) == k for row in ids.tolist())
    top = probs.gather(-1, ids)
    torch.testing.assert_close(top, probs.topk(k).values, rtol=1e-5, atol=1e-30)  # 0 in float32
    rest = probs.scatter(-1, ids, 0.0).sum(-1, keepdim=True)
    expected = torch.cat([top, rest], -1).log().clamp_min(-DEEPEST)
    codes = np.concatenate([records["code"], records["rest"][:, None]], 1).astype(np.float64)
    decoded = torch.from_numpy(codes) * (-DEEPEST / STEPS)
    rounding = 2e-5  # of float32, in the log-softmax of 150,000 tokens
    assert (decoded - expected).abs().max() <= HALF_STEP + rounding
    # every code is half a step off at most, so is their sum, by which a row is normalized
    assert (lprobs - expected).abs().max() <= 2 * HALF_STEP + 2 * rounding
    torch.testing.assert_close(lprobs.exp().sum(-1), torch.ones(3))


def test_every_probability_has_the_stated_error():
    """Of all probabilities from 1 to e^-24, in steps that are finer than the codes."""
    probs = torch.exp(-torch.linspace(0, DEEPEST, 10_001, dtype=torch.float64)).float()
    layout = Layout(TOP_K, 3, 1, 1.0)
    lprobs = torch.stack([probs.log(), torch.log1p(-probs) - 0.7, torch.log1p(-probs) - 0.7], -1)
    codes = layout.encode(lprobs)["code"][:, 0]
    likely = probs > 0.5  # the first token is the most probable there
    decoded = torch.from_numpy(codes.astype(np.float64)) * -DEEPEST / STEPS
    exact = lprobs.log_softmax(-1)[:, 0].double()
    assert likely.sum() > 100
    assert (decoded[likely] - exact[likely]).abs().max() <= HALF_STEP * 1.01
    assert HALF_STEP * 1.01 < RELATIVE_ERROR


def test_a_certain_teacher_leaves_a_finite_rest():
    logits = torch.full((1, 40), -200.0)
    logits[0, 3] = 200.0
    ids, lprobs = Layout(TOP_K, 40, 2, 1.0).decode(Layout(TOP_K, 40, 2, 1.0).encode(logits))
    assert ids[0, 0] == 3 and lprobs[0, 0].abs() < 1e-6
    assert torch.allclose(lprobs[0, 1:], torch.full((2,), -DEEPEST), atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(
    content=st.sampled_from([LPROBS, VALUES]),
    vocab=st.integers(1, 300),
    temperature=TEMPERATURES,
    scale=st.sampled_from([0.01, 1.0, 1e3]),
    seed=SEEDS,
)
def test_complete_records_are_float32(content, vocab, temperature, scale, seed):
    layout = Layout(content, vocab, vocab, temperature)
    assert layout.dtype.itemsize == vocab * 4
    logits = random_logits(seed, 3, vocab, scale)
    records = np.frombuffer(layout.encode(logits.clone()).tobytes(), layout.dtype).copy()
    tempered = (logits / temperature).log_softmax(-1)
    expected = logits if content == VALUES else tempered
    torch.testing.assert_close(layout.values(records), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("content,k", [(TOP_K, 2), (LPROBS, 5), (VALUES, 5)])
def test_nan_is_refused(content, k):
    logits = torch.zeros(4, 5)
    logits[2, 3] = torch.nan
    with pytest.raises(ValueError, match="got NaN or infinity at 1 of 4 positions"):
        Layout(content, 5, k, 1.0).encode(logits)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_regression_has_finite_values(value):
    with pytest.raises(
        ValueError, match="--path: expected finite outputs .* NaN or infinity at 1 of 2"
    ):
        Layout(VALUES, 1, 1, 1.0).encode(torch.tensor([[0.5], [value]]))


def test_a_logit_of_minus_infinity_is_a_probability_of_zero():
    logits = torch.tensor([[0.0, -float("inf"), 0.0]])
    layout = Layout(LPROBS, 3, 3, 1.0)
    assert layout.values(layout.encode(logits)).exp()[0].tolist() == pytest.approx([0.5, 0, 0.5])
    layout = Layout(TOP_K, 3, 2, 1.0)
    ids, lprobs = layout.decode(layout.encode(logits))
    assert sorted(ids[0].tolist()) == [0, 2] and lprobs[0, -1].item() == pytest.approx(
        -DEEPEST, rel=1e-4
    )
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="got NaN"):
            Layout(LPROBS, 3, 3, 1.0).encode(torch.tensor([[0.0, bad, 0.0]]))
