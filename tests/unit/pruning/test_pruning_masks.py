"""Masks of pruning: LayerNorm over what is kept, weights that are held, float32 masters."""

import pytest
import torch
from test_pruning_parts import AXES, everything, tensors
from torch import nn

from lightpaff_fairseq.checkpoints.state_dict import KEPT
from lightpaff_fairseq.pruning.axes import Groups
from lightpaff_fairseq.pruning.layer_norm import make_maskable
from lightpaff_fairseq.pruning.masks import Masks
from lightpaff_fairseq.pruning.optimizer_weights import Weight, optimized_weights, sensitivity


@pytest.mark.parametrize("kept", [range(0, 10, 3), range(10), (4,), range(2, 10)])
def test_layer_norm_over_the_kept_dimensions(kept):
    torch.manual_seed(1)
    norm = nn.LayerNorm(10).double()
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    stock = nn.LayerNorm(10).double()
    stock.load_state_dict(norm.state_dict())
    x = (torch.randn(3, 5, 10, dtype=torch.float64) * 4 + 7).requires_grad_()
    mask = torch.zeros(10, dtype=torch.bool)
    mask[list(kept)] = True
    make_maskable(norm)
    norm.keep(mask)
    chosen = mask.nonzero().flatten()
    y = x[..., chosen]
    wanted = (y - y.mean(-1, keepdim=True)) / (
        y.var(-1, unbiased=False, keepdim=True) + 1e-5
    ).sqrt()
    wanted = wanted * norm.weight[chosen] + norm.bias[chosen]
    found = norm(x)
    torch.testing.assert_close(found[..., chosen], wanted, rtol=1e-7, atol=1e-7)
    assert found[..., ~mask].abs().sum() == 0
    weights = torch.randn_like(wanted)
    got = torch.autograd.grad((found[..., chosen] * weights).sum(), [x, norm.weight])
    want = torch.autograd.grad((wanted * weights).sum(), [x, norm.weight])
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    if mask.all():
        assert torch.equal(found, stock(x))


def test_a_mask_is_in_the_state_only_where_something_is_pruned():
    norm, other, stock = (nn.LayerNorm(4) for _ in range(3))
    for maskable in (norm, other):
        make_maskable(maskable)
    assert norm.state_dict().keys() == stock.state_dict().keys()
    norm.load_state_dict(stock.state_dict())  # a stock model's
    norm.keep(torch.tensor([True, False, True, True]))
    state = norm.state_dict()
    with pytest.raises(RuntimeError, match=f"Unexpected key.*{KEPT}"):
        stock.load_state_dict(state)
    other.load_state_dict(state)
    assert torch.equal(other.kept, norm.kept) and other.is_pruned
    other.load_state_dict(stock.state_dict())
    assert not other.is_pruned


class Flat:
    """What `--fp16` keeps on a GPU: one flat float32 master of all parameters of a device."""

    def __init__(self, parameters):
        self.fp16_params = parameters
        flat = nn.Parameter(torch.cat([p.detach().flatten().float() for p in parameters]))
        flat.grad = torch.cat([p.grad.flatten().float() for p in parameters])
        self.fp32_params = {None: flat}  # the index of the CPU


def test_flat_float32_masters_are_found_masked_and_copied_to_the_model():
    model = {n: nn.Parameter(x.half()) for n, x in tensors(4).items()}
    for name, grad in tensors(5).items():
        model[name].grad = grad.half()
    optimizer = Flat(list(model.values()))
    weights = optimized_weights(optimizer, model)
    for name, p in model.items():
        assert torch.equal(weights[name].value, p.detach().float())
        assert torch.equal(weights[name].grad, p.grad.float())
    products = sensitivity(weights)
    assert torch.equal(products["w1"], (model["w1"].float() * model["w1"].grad.float()).abs())
    masks = Masks(Groups(AXES, {"hidden": 4, "ffn": 6}, {}), {}, everything())
    fewer = everything()
    fewer["ffn"][2] = False
    with torch.no_grad():
        optimizer.fp32_params[None].add_(0.25)  # a step, not yet in the model
        masks.change(fewer, weights)
    assert model["w1"][2].abs().sum() == 0 and model["w2"][:, 2].abs().sum() == 0
    assert torch.equal(model["w1"].float(), weights["w1"].value.half().float())
    start = optimizer.fp32_params[None].detach()[:24].view(6, 4)  # w1 comes first
    assert start[2].abs().sum() == 0 and start[3].abs().min() > 0
    optimizer.fp32_params[None].grad[0] = float("inf")
    assert sensitivity(optimized_weights(optimizer, model)) == {}


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
