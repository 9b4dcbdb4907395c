"""The activation function `swish`, which fairseq names and cannot compute."""

import fairseq.utils
import torch.nn.functional as F
from fairseq.dataclass import ChoiceEnum
from fairseq.models.transformer import TransformerConfig
from torch import nn


def compute_swish() -> None:
    """`--activation-fn swish` is x * sigmoid(x), and a choice of the flag.

    `fairseq.utils.get_activation_fn` returns the class `torch.nn.SiLU` where its callers want a
    function, so that a layer fails when it first runs; and the flag does not offer it. OPUS-MT
    models need it.
    """
    if fairseq.utils.get_activation_fn("swish") is not nn.SiLU:
        return
    stock, choices = fairseq.utils.get_activation_fn, fairseq.utils.get_available_activation_fns

    def get_activation_fn(activation: str):
        return F.silu if activation == "swish" else stock(activation)

    def get_available_activation_fns():
        return [*choices(), "swish"]

    offered = ChoiceEnum(get_available_activation_fns())
    TransformerConfig.__dataclass_fields__["activation_fn"].type = offered
    TransformerConfig.__annotations__["activation_fn"] = offered

    fairseq.utils.get_activation_fn = get_activation_fn
    fairseq.utils.get_available_activation_fns = get_available_activation_fns
