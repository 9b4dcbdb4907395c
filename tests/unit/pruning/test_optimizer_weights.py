"""Float32 masters of the weights."""

import torch
from torch import nn

from lightpaff_fairseq.pruning.axes import Groups
from lightpaff_fairseq.pruning.masks import Masks
from lightpaff_fairseq.pruning.optimizer_weights import optimized_weights, sensitivity
from unit_groups import AXES, everything, tensors


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
    products, is_finite = sensitivity(weights)
    assert is_finite
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
    assert not sensitivity(optimized_weights(optimizer, model))[1]
