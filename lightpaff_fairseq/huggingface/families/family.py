"""What all families share: activations, checks of options, and the record of one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..tables import Row

Config = Mapping[str, Any]

# Hugging Face's name -> fairseq's (`gelu_accurate` is the tanh approximation).
ACTIVATIONS = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_accurate",
    "gelu_pytorch_tanh": "gelu_accurate",
    "tanh": "tanh",
    "linear": "linear",
    "swish": "swish",
    "silu": "swish",
}
THEIR_ACTIVATIONS = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_accurate": "gelu_new",
    "gelu_fast": "gelu_new",
    "tanh": "tanh",
    "linear": "linear",
    "swish": "silu",
}
LAYER_NORM_EPS = 1e-5  # torch's default, the only one that fairseq can have


@dataclass(frozen=True)
class Wanted:
    """What the user asked for.

    Attributes:
        segment: fold this row of BERT's segment embeddings into the positions; None: refuse them.
    """

    segment: int | None = None


@dataclass(frozen=True)
class Family:
    """How the models of one Hugging Face model type lie in fairseq, and back.

    Attributes:
        model_type: `model_type` of the configuration.
        classes: the classes of transformers that can be converted; the first is written.
        task: fairseq's task; `alphabet`: how tokens are named, see `vocabulary`.
        problems: all options of a configuration that fairseq has no counterpart for.
        flags: what fairseq-train needs to build the model.
        rows: the table of names; `layers`: layers a side.
        prepare: changes a Hugging Face state dict before the table is applied, or None.
        unused: names in a Hugging Face state dict that need no counterpart.
        zero: names that must be zero, as fairseq has no place for them.
    """

    model_type: str
    classes: tuple[str, ...]
    task: str
    alphabet: str
    problems: Callable[[Config, Wanted], list[str]]
    flags: Callable[[Config], list[str]]
    rows: Callable[[Config, Tensor, str], list[Row]]
    layers: Callable[[Config], dict[str, int]]
    prepare: Callable[[Config, dict[str, Tensor]], dict[str, Tensor]] | None = None
    unused: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()


def wrong_values(config: Config, allowed: Mapping[str, Sequence[Any]]) -> list[str]:
    """`option: expected ..., found ...` for each option that has another value than allowed.

    An option that the configuration lacks has its first allowed value.
    """
    return [
        f"{name}: expected {' or '.join(map(repr, values))}, found {config.get(name)!r}"
        for name, values in allowed.items()
        if config.get(name, values[0]) not in values
    ]


def wrong_activation(config: Config, key: str) -> list[str]:
    """A complaint if fairseq lacks the activation function."""
    if config.get(key) in ACTIVATIONS:
        return []
    return [f"{key}: expected one of {', '.join(ACTIVATIONS)}, found {config.get(key)!r}"]


def as_flags(config: Config, table: Mapping[str, str]) -> list[str]:
    """`--flag value` for each option of a table option -> flag."""
    return [word for key, flag in table.items() for word in (flag, str(config[key]))]
