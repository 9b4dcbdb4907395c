"""What a cache stores of a position, and how exactly."""

import numpy as np
import pytest
import torch

from lightpaff_fairseq.teachers.cache.block_file import BlockFile, Item, write_block
from lightpaff_fairseq.teachers.cache.layout import DEEPEST, LPROBS, STEPS, TOP_K, VALUES, Layout

BOUND = DEEPEST / STEPS / 2  # of a logarithm: half a step


@pytest.mark.parametrize("vocab,size", [(50, 4), (65_536, 4), (65_537, 5), (150_000, 5)])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_top_k_keeps_symbols_and_probabilities(vocab, size, temperature):
    layout = Layout(TOP_K, vocab, 7, temperature)
    assert layout.dtype.itemsize == 7 * size + 2 <= 7 * 6 + 2
    logits = torch.randn(6, vocab, generator=torch.Generator().manual_seed(1)) * 3
    records = layout.encode(logits.clone())
    ids, lprobs = layout.decode(np.frombuffer(records.tobytes(), layout.dtype))
    probs = (logits.double() / temperature).softmax(-1)
    values, expected = probs.topk(7)
    assert torch.equal(ids, expected) and ids.dtype == torch.int64
    wanted = torch.cat([values, 1 - values.sum(-1, keepdim=True)], -1).log()
    assert (lprobs - wanted).abs().max() <= 2 * BOUND + 1e-5  # rounded, and made to sum to 1
    torch.testing.assert_close(lprobs.exp().sum(-1), torch.ones(6))


def test_every_probability_has_the_stated_error():
    probs = torch.exp(-torch.linspace(0, DEEPEST, 10_001, dtype=torch.float64)).float()
    layout = Layout(TOP_K, 3, 1, 1.0)
    lprobs = torch.stack([probs.log(), torch.log1p(-probs) - 0.7, torch.log1p(-probs) - 0.7], -1)
    codes = layout.encode(lprobs)["code"][:, 0]
    sure = probs > 0.5  # the first symbol is the most probable there
    decoded = torch.from_numpy(codes.astype(np.float64)) * -DEEPEST / STEPS
    exact = lprobs.log_softmax(-1)[:, 0].double()
    assert sure.sum() > 100
    assert (decoded[sure] - exact[sure]).abs().max() <= BOUND * 1.01
    assert BOUND < 1.9e-4


def test_a_sure_teacher_leaves_a_finite_rest():
    logits = torch.full((1, 40), -200.0)
    logits[0, 3] = 200.0
    ids, lprobs = Layout(TOP_K, 40, 2, 1.0).decode(Layout(TOP_K, 40, 2, 1.0).encode(logits))
    assert ids[0, 0] == 3 and lprobs[0, 0].abs() < 1e-6
    assert torch.allclose(lprobs[0, 1:], torch.full((2,), -DEEPEST), atol=1e-3)


@pytest.mark.parametrize("content", [LPROBS, VALUES])
def test_complete_records_are_float32(content):
    logits = torch.randn(5, 9)
    layout = Layout(content, 9, 9, 1.0)
    assert layout.dtype.itemsize == 9 * 4
    stored = layout.values(layout.encode(logits.clone()))
    expected = logits if content == VALUES else logits.log_softmax(-1)
    torch.testing.assert_close(stored, expected, rtol=1e-6, atol=1e-6)


def test_a_block_gives_back_what_was_written(tmp_path):
    layout = Layout(TOP_K, 20, 3, 1.0)
    items = [
        Item(layout.encode(torch.randn(n, 20)), text=n) if n is not None else None
        for n in (4, 0, None, 2)
    ]
    assert write_block(tmp_path / "b.bin", items) == 6
    block = BlockFile(tmp_path / "b.bin", layout)
    assert block.positions == 6 and block.skipped == 1
    for row, item in enumerate(items):
        read = block.read(row)
        if item is None:
            assert read is None
        else:
            assert read.tobytes() == item.records.tobytes()
            assert block.index["text"][row] == item.text
    assert [path.name for path in tmp_path.iterdir()] == ["b.bin"]
