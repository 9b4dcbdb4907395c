"""Architectures of stock models, whose checkpoints need no plug-in.

They write all their values and the stock model's name into `args`, which a checkpoint records, so
that fairseq alone can build the model.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fairseq.models import register_model_architecture


@dataclass(frozen=True)
class Preset:
    """Sizes of a stack of layers: their number, and width, heads and FFN width of each."""

    layers: int
    width: int
    heads: int
    ffn: int


def set_defaults(args: Any, values: Mapping[str, Any]) -> None:
    """Give `args` (a Namespace or an open DictConfig, changed in place) the values it lacks."""
    for name, value in values.items():
        setattr(args, name, getattr(args, name, value))


def register_on_stock_model(model: str, arch: str, defaults: Callable[[Any], None]) -> None:
    """Register `--arch ARCH`, recorded as fairseq's own `model`.

    Args:
        defaults: gives `args` every value of the model that the user did not set.
    """

    def architecture(args: Any) -> None:
        defaults(args)
        args.arch = model
        if "_name" in args:
            args._name = model

    register_model_architecture(model, arch)(architecture)
