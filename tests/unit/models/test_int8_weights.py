"""The rounding of weights to int8 in training."""

import numpy as np
import pytest
import torch
from fairseq.modules import LearnedPositionalEmbedding
from fairseq.modules.checkpoint_activations import checkpoint_wrapper
from torch import nn

from lightpaff_fairseq.models.int8_weights import (
    check_int8_training,
    int8_weights,
    rounded_to_int8,
)


def naive(weight):
    """Row by row, in float64, without vectors."""
    rows = []
    for row in weight.double():
        unit = row.abs().max().item() / 127
        rows.append([round(x.item() / unit) * unit if unit else 0.0 for x in row])
    return torch.tensor(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rows_keep_whole_multiples_of_their_largest_value(dtype):
    torch.manual_seed(1)
    weight = torch.randn(50, 30) * torch.logspace(-6, 3, 50).unsqueeze(1)
    weight[7] = 0
    weight[8] = 1e-40  # its scale would be infinite
    weight = weight.to(dtype)
    got = rounded_to_int8(weight)
    assert got.dtype == dtype and got.isfinite().all() and not got[7:9].any()
    others = [i for i in range(50) if i not in (7, 8)]
    precision = torch.finfo(torch.promote_types(dtype, torch.bfloat16)).eps
    expected = naive(weight)[others]
    unit = weight[others].double().abs().amax(1, keepdim=True) / 127
    assert ((got[others] - expected).abs() <= 2 * precision * expected.abs() + 1e-3 * unit).all()
    torch.testing.assert_close(got.abs().amax(1)[others], weight.abs().amax(1)[others])


class Toy(nn.Module):
    """A tied table, a linear layer, positions and a LayerNorm."""

    def __init__(self):
        super().__init__()
        self.table, self.layer = nn.Embedding(11, 6, padding_idx=1), nn.Linear(6, 6)
        self.positions = LearnedPositionalEmbedding(9, 6, 1)
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 11, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens):
        hidden = self.table(tokens) + self.positions(tokens)
        return self.head(self.norm(self.layer(hidden)))


def test_the_gradient_is_that_of_the_float_model_at_the_rounded_weights():
    torch.manual_seed(2)
    model, reference, tokens = Toy(), Toy(), torch.randint(2, 11, (3, 5))
    state = {name: x.clone() for name, x in model.state_dict().items()}
    matrices = ("table.weight", "layer.weight", "head.weight")
    reference.load_state_dict(
        {name: rounded_to_int8(x) if name in matrices else x for name, x in state.items()}
    )
    with int8_weights(model):
        assert model.head.weight is model.table.weight  # as it was
        loss = model(tokens).square().sum()
    reference(tokens).square().sum().backward()
    loss.backward()  # after the block
    assert any(not torch.equal(reference.state_dict()[name], state[name]) for name in matrices)
    for (name, parameter), other in zip(
        model.named_parameters(), reference.parameters(), strict=True
    ):
        assert torch.equal(parameter.grad, other.grad), name
    assert model.head.weight is model.table.weight and isinstance(model.head.weight, nn.Parameter)
    assert all(torch.equal(x, state[name]) for name, x in model.state_dict().items())


def test_an_exception_leaves_the_float_weights():
    model = Toy()
    before = dict(model.named_parameters())
    with pytest.raises(KeyError), int8_weights(model):
        assert model.layer.weight is not before["layer.weight"]
        raise KeyError
    assert all(parameter is before[name] for name, parameter in model.named_parameters())


def test_what_is_rounded_is_logged(caplog):
    caplog.set_level("INFO")
    check_int8_training(Toy(), "--quantize-weights 8")
    rounded = 11 * 6 + 6 * 6
    stays = 6 + 9 * 6 + 12
    assert f"2 matrices, {rounded} parameters" in caplog.text
    assert f"the other {stays} (" in caplog.text


def test_layers_that_are_computed_again_in_backward_are_refused():
    model = Toy()
    model.layer = checkpoint_wrapper(model.layer)
    with pytest.raises(ValueError, match=r"--quantize-weights 8: --checkpoint-activations"):
        check_int8_training(model, "--quantize-weights 8")


def test_models_that_fairseq_quantizes_are_refused():
    from fairseq.modules.quantization.scalar.modules import IntLinear

    model = Toy()
    model.layer = IntLinear(6, 6)
    with pytest.raises(ValueError, match=r"--quantize-weights 8: --quant-noise-scalar"):
        check_int8_training(model, "--quantize-weights 8")


def test_halves_are_rounded_to_even_as_numpy_does():
    row = torch.tensor([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5]])
    expected = np.rint(row.numpy())
    assert np.array_equal(rounded_to_int8(row).numpy(), expected)
