"""Describe a model family: its table of names, its options and what fairseq lacks of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...problems import Problems
from ..tables import Row, expand

Config = Mapping[str, Any]
State = dict[str, Tensor]

# Hugging Face's name -> fairseq's (`gelu_accurate` is the tanh approximation), and back.
SHARED_NAMES = {name: name for name in ("relu", "gelu", "tanh", "linear")}
TANH_GELU = {"gelu_new": "gelu_accurate", "gelu_pytorch_tanh": "gelu_accurate"}
FAIRSEQ_ACTIVATIONS = {**SHARED_NAMES, **TANH_GELU, "swish": "swish", "silu": "swish"}
TANH_GELU_BACK = {"gelu_accurate": "gelu_new", "gelu_fast": "gelu_new"}
HF_ACTIVATIONS = {**SHARED_NAMES, **TANH_GELU_BACK, "swish": "silu"}
MOST_LAYERS = 1000
LAYER_NORM_EPS = 1e-5  # torch's default, the only one that fairseq can have


@dataclass(frozen=True)
class Family:
    """Map the models of one Hugging Face model type to fairseq, and back.

    Attributes:
        model_type: `model_type` of the configuration.
        classes: transformers classes that can be converted; the first is written.
        task: fairseq's task.
        alphabet: how tokens are named, see `vocabulary`.
        layers: the option that holds the number of layers, per module.
        activation: the option with the activation function.
        allowed: the values of options for which fairseq has a counterpart.
        start: the option with the id that decoders start with in fairseq; None: not checked.
        check: return what else fairseq has no counterpart for, or None.
        flags: return the flags of fairseq-train that build the model.
        rows: return the table of names, layers as `{}`, from a configuration, the Hugging Face id
            of each token of fairseq's dictionary `(V,)`, and the transformers class.
        prepare: change a Hugging Face state dict before the table is applied; None: no change.
        unused: patterns of names in a Hugging Face state dict that need no counterpart.
        zero: names that must be zero, as fairseq has no place for them.
    """

    model_type: str
    classes: tuple[str, ...]
    task: str
    alphabet: str
    layers: Mapping[str, str]
    activation: str
    allowed: Mapping[str, Sequence[Any]]
    flags: Callable[[Config], list[str]]
    rows: Callable[[Config, Tensor, str], list[Row]]
    start: str | None = None
    check: Callable[[Config], str | None] = lambda config: None
    prepare: Callable[[Config, State], State] | None = None
    unused: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()

    def table(self, config: Config, order: Tensor, architecture: str) -> list[Row]:
        """Return one row per tensor of a model; see `rows`."""
        layers = {module: int(config[option]) for module, option in self.layers.items()}
        return expand(self.rows(config, order, architecture), layers)

    def unsupported(self, config: Config) -> Problems:
        """Collect the options that fairseq has no counterpart for."""
        allowed = {self.activation: tuple(FAIRSEQ_ACTIVATIONS), **self.allowed}
        problems = Problems([*wrong_values(config, allowed), self.check(config)])
        for option in self.layers.values():
            number = config.get(option)
            problems.unless(
                isinstance(number, int) and 1 <= number <= MOST_LAYERS,
                f"{option}: expected 1 to {MOST_LAYERS}, got {number}",
            )
        if self.start is not None:
            expected, start = config.get(self.start), config.get("decoder_start_token_id")
            problems.unless(
                start == expected,
                f"decoder_start_token_id: expected the {self.start} {expected}, got {start}",
            )
        return problems


def wrong_values(config: Config, allowed: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return a problem for each option that has another value than those allowed.

    An option that the configuration lacks has its first allowed value.
    """
    return [
        f"{name}: expected {' or '.join(map(repr, values))}, got {config.get(name)!r}"
        for name, values in allowed.items()
        if config.get(name, values[0]) not in values
    ]


def as_flags(config: Config, options: Mapping[str, str]) -> list[str]:
    """Return `--flag value` for each option of a mapping option -> flag."""
    return [word for key, flag in options.items() for word in (flag, str(config[key]))]


def as_options(section: Config, options: Mapping[str, str], known: Config) -> dict[str, Any]:
    """Return the options of a mapping option -> flag from a fairseq section; invert `as_flags`.

    Args:
        known: options whose values are given, and further ones.
    """
    fields = {key: flag.removeprefix("--").replace("-", "_") for key, flag in options.items()}
    return {key: section[name] for key, name in fields.items() if key not in known} | dict(known)
