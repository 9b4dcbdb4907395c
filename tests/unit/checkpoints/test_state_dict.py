"""Comparisons of state dicts."""

import pytest
import torch

from lightpaff_fairseq.checkpoints.state_dict import check_equal_tensors


def test_differences_are_found_bit_by_bit():
    a = torch.tensor([0.0, float("nan"), 1.0])
    check_equal_tensors({"x": a}, {"x": a.clone()})
    wrong = [-a, a.double(), a[:2], a.reshape(1, 3)]
    for other in wrong:
        with pytest.raises(ValueError, match="x"):
            check_equal_tensors({"x": a}, {"x": other})
    with pytest.raises(ValueError, match="b, c"):
        check_equal_tensors({"a": a, "b": a}, {"a": a, "c": a})
