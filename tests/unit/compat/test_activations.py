"""`--activation-fn swish` works."""

import fairseq.utils
import torch

import toy


def test_swish_is_computed_and_offered():
    x = torch.linspace(-3, 3, 7)
    assert torch.allclose(fairseq.utils.get_activation_fn("swish")(x), x * torch.sigmoid(x))
    assert torch.equal(fairseq.utils.get_activation_fn("relu")(x), x.relu())
    flags = ("--task", "translation", "--arch", "transformer", "--activation-fn", "swish")
    assert toy.parse("data", *flags).model.activation_fn == "swish"
