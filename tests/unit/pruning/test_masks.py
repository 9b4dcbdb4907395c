"""Masks of pruning: units return with the weights that they had until pruning is over."""

import torch

from lightpaff_fairseq.pruning.axes import Groups
from lightpaff_fairseq.pruning.masks import Masks
from lightpaff_fairseq.pruning.optimizer_weights import Weight
from unit_groups import AXES, everything, tensors


def test_units_return_with_the_weights_that_they_had_until_they_are_released():
    values = {n: x.float() for n, x in tensors(4).items()}
    before = {n: x.clone() for n, x in values.items()}
    weights = {n: Weight(x, None) for n, x in values.items()}
    groups = Groups(AXES, {"hidden": 4, "ffn": 6}, {})
    masks = Masks(groups, {}, everything())
    fewer = everything()
    fewer["hidden"][1] = fewer["ffn"][3] = False
    masks.change(fewer, weights)
    assert values["w1"][3].abs().sum() == values["w2"][1].abs().sum() == values["b1"][3] == 0
    assert torch.equal(
        values["w1"][fewer["ffn"]][:, fewer["hidden"]], before["w1"][[0, 1, 2, 4, 5]][:, [0, 2, 3]]
    )
    for x in values.values():  # an optimizer's momentum moves them
        x.add_(0.5)
    moved = {n: x.clone() for n, x in values.items()}
    masks.apply(weights)
    assert values["w1"][3].abs().sum() == values["w2"][:, 3].abs().sum() == 0
    masks.change(everything(), weights)
    assert torch.equal(values["w1"][3], before["w1"][3]) and values["b1"][3] == before["b1"][3]
    assert torch.equal(values["w1"][0, 0], moved["w1"][0, 0]) and not masks.pruned_values
    masks.change(fewer, weights)
    masks.pruned_values.clear()
    masks.change(everything(), weights)
    assert values["w1"][3].abs().sum() == 0
