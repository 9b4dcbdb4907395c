"""LayerNorm over what is kept."""

import pytest
import torch
from torch import nn

from lightpaff_fairseq.checkpoints.state_dict import KEPT
from lightpaff_fairseq.pruning.layer_norm import make_maskable


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
