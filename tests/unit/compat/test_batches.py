"""The last batch is kept, and buckets are computed with every numpy."""

import numpy as np
import pytest
from fairseq.data import data_utils

from lightpaff_fairseq.compat import batches


@pytest.mark.parametrize("count", [1, 7, 8, 30, 37])
@pytest.mark.parametrize("multiple", [1, 8])
def test_every_sentence_is_in_exactly_one_batch(count, multiple):
    sizes = np.random.default_rng(count).integers(1, 20, count)
    order = np.argsort(sizes, kind="stable")
    limits = {"max_tokens": 100, "max_sentences": 16, "required_batch_size_multiple": multiple}
    vector = data_utils.batch_by_size(order, lambda i: sizes[i], sizes[order], **limits)
    function = data_utils.batch_by_size(order.tolist(), lambda i: sizes[i], **limits)
    for batched in (vector, function):
        assert np.concatenate([*batched]).tolist() == order.tolist()
        assert all(len(b) * sizes[b].max() <= 100 and len(b) <= 16 for b in batched)


def test_batches_are_untouched_where_nothing_is_dropped():
    order, sizes = np.arange(16), np.full(16, 5)
    original = data_utils.batch_by_size.__wrapped__
    args = (order, lambda i: 5, sizes, 1000, 8, 8)
    patched, stock = data_utils.batch_by_size(*args), original(*args)
    assert [b.tolist() for b in patched] == [b.tolist() for b in stock]


@pytest.mark.parametrize("vector", [None, np.full(13, 3)])
def test_batches_of_fixed_shapes_are_fairseqs(vector):
    """--num-batch-buckets passes an array of shapes."""
    shapes, original = np.array([[4, 3], [2, 6]]), data_utils.batch_by_size.__wrapped__
    args = (np.arange(13), lambda i: 3, vector, 12, None, 8, shapes)
    expected = [list(map(int, b)) for b in original(*args)]
    names = "num_tokens_fn num_tokens_vec max_tokens max_sentences required_batch_size_multiple"
    named = dict(zip([*names.split(), "fixed_shapes"], args[1:], strict=True))
    for batched in (data_utils.batch_by_size(*args), data_utils.batch_by_size(args[0], **named)):
        assert [list(map(int, b)) for b in batched] == expected
    assert sum(expected, []) == list(range(13))


def test_no_sentence_at_all_makes_no_batch():
    empty = np.array([], dtype=np.int64)
    assert data_utils.batch_by_size(empty, lambda i: 1, max_tokens=9, max_sentences=8) == []


@pytest.mark.filterwarnings("ignore:.*interpolation:DeprecationWarning")  # of fairseq
@pytest.mark.parametrize("count", [1, 9, 500])
def test_buckets_hold_equally_many_samples(count):
    sizes = np.random.default_rng(0).integers(1, 100, count)
    in_order = sorted(sizes.tolist())
    bounds = {in_order[i * (count - 1) // 8] for i in range(1, 9)}
    computed = batches.compute_buckets.install(None, sizes, 8)
    assert computed.tolist() == sorted(bounds) == data_utils.get_buckets(sizes, 8).tolist()
