"""`--activation-fn swish` works."""

import fairseq.utils
import torch
from fairseq.modules import conformer_layer

import toy


def test_swish_is_computed_and_offered():
    x = torch.linspace(-3, 3, 7)
    assert torch.allclose(fairseq.utils.get_activation_fn("swish")(x), x * torch.sigmoid(x))
    assert torch.equal(fairseq.utils.get_activation_fn("relu")(x), x.relu())
    flags = ("--task", "translation", "--arch", "transformer", "--activation-fn", "swish")
    assert toy.parse("data", *flags).model.activation_fn == "swish"


def test_conformer_layers_build_swish_as_fairseq_does():
    """They call what is returned with a number of channels."""
    block = conformer_layer.ConvolutionModule(4, 4, 3, 0.0)
    assert isinstance(block.activation, torch.nn.SiLU)
    assert conformer_layer.get_activation_fn is fairseq.utils.get_activation_fn
