"""Scores of units, followed over updates, against naive references."""

import pytest
import torch

from lightpaff_fairseq.pruning.importance import Importance
from lightpaff_fairseq.pruning.selection import unit_sums
from unit_groups import AXES, everything, naive_sums, tensors

VALID = torch.tensor(True)


@pytest.mark.parametrize("kind", ["sensitivity", "platon"])
def test_scores_equal_a_naive_reference_whatever_scales_the_gradients(kind):
    """I, its mean, U and its mean as in the paper, each observation in units of its own mean."""
    factors = (1.0, 1e-3, 7.0, 65536.0)
    importance = Importance(kind, 0.85, 0.95)
    mean = {g: torch.zeros(len(k), dtype=torch.float64) for g, k in everything().items()}
    spread = {g: torch.zeros_like(x) for g, x in mean.items()}
    for step, factor in enumerate(factors):
        weights, grads = tensors(10 + step), tensors(50 + step)
        products = {n: (w * grads[n]).abs() for n, w in weights.items()}
        scaled = {n: x * factor for n, x in products.items()}
        importance.observe(unit_sums(scaled, AXES, everything()), everything(), VALID)
        for group, values in naive_sums(products, everything()).items():
            sensed = values / values.mean()
            mean[group] = 0.85 * mean[group] + 0.15 * sensed
            spread[group] = 0.95 * spread[group] + 0.05 * (sensed - mean[group]).abs()
    for group, found in importance.scores({}).items():
        wanted = mean[group] * (spread[group] if kind == "platon" else 1)
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["sensitivity", "platon"])
def test_a_group_without_any_gradient_has_no_scores_but_zero(kind):
    importance = Importance(kind)
    for values in ({"ffn": torch.arange(6.0)}, {"ffn": torch.zeros(6), "hidden": torch.zeros(4)}):
        importance.observe(values, everything(), VALID)
        importance.change_kept(everything(), everything())
    scores = importance.scores({})
    assert torch.equal(scores["hidden"], torch.zeros(4))
    assert scores["ffn"].isfinite().all() and scores["ffn"].argmax() == 5
    assert importance.level["hidden"] == 4


def test_pruned_units_keep_their_score_and_the_others_stay_comparable_with_it():
    """Gradients that shrink a hundredfold must not bring every pruned unit back."""
    importance, kept = Importance("sensitivity"), everything()
    steady = torch.tensor([1.0, 2.0, 3.0, 4.0])
    for _ in range(40):
        importance.observe({"hidden": steady}, kept, VALID)
    before = importance.mean["hidden"].clone()
    fewer = {**kept, "hidden": torch.tensor([False, True, True, True])}
    importance.change_kept(kept, fewer)
    for _ in range(40):
        importance.observe({"hidden": steady * fewer["hidden"] / 100}, fewer, VALID)
    torch.testing.assert_close(importance.mean["hidden"], before, rtol=1e-2, atol=0)
    assert importance.mean["hidden"][0] == before[0]
    importance.change_kept(fewer, kept)
    assert importance.level["hidden"] == pytest.approx(4.0, rel=1e-3)
