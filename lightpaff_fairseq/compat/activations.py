"""The activation function `swish`, which OPUS-MT models need."""

from collections.abc import Callable
from typing import Any

import fairseq.utils
import torch.nn.functional as F
from fairseq.dataclass import ChoiceEnum
from fairseq.models.transformer import TransformerConfig
from torch import Tensor, nn

from .patching import change, patch


@patch(
    fairseq.utils,
    "get_activation_fn",
    needed=lambda: fairseq.utils.get_activation_fn("swish") is nn.SiLU,
)
def compute_swish(original: Callable[[str], Any], activation: str) -> Any:
    """Return a function for `swish`: fairseq returns a class, and the layer fails when it runs."""
    return _swish if activation == "swish" else original(activation)


def _swish(x: Any) -> Any:
    """Return swish of a tensor; for a number, return the module, as conformer layers expect."""
    return F.silu(x) if isinstance(x, Tensor) else nn.SiLU(x)


def _is_swish_missing() -> bool:
    return "swish" not in fairseq.utils.get_available_activation_fns()


@patch(fairseq.utils, "get_available_activation_fns", issues=(4868,), needed=_is_swish_missing)
def list_swish(original: Callable[[], list[str]]) -> list[str]:
    """List `swish`, which `get_activation_fn` knows."""
    return [*original(), "swish"]


@change(
    "fairseq.models.transformer.TransformerConfig.activation_fn",
    issues=(4868,),
    needed=lambda: "swish" not in _choices(),
)
def accept_swish() -> None:
    """Accept `--activation-fn swish`: the choices were made from the list without it."""
    choices = ChoiceEnum([*_choices(), "swish"])
    TransformerConfig.__dataclass_fields__["activation_fn"].type = choices
    TransformerConfig.__annotations__["activation_fn"] = choices


def _choices() -> list[str]:
    kind = TransformerConfig.__dataclass_fields__["activation_fn"].type
    return [choice.value for choice in kind]
