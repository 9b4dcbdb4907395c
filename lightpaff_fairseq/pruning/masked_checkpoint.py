"""Build models of checkpoints without the data of their training runs."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

import fairseq.models as models

from ..checkpoints.building import build, dummy_task, heads_in, load_weights, value_of
from ..checkpoints.state_dict import is_masked
from ..checkpoints.strip import stock_architecture, to_primitive
from .layer_norm import make_maskable


def load_model(state: dict[str, Any], flag: str) -> Any:
    """Build the model of a checkpoint, masked or not, in eval mode, with classification heads.

    Args:
        state: see `read_checkpoint`; its model section is complete.
        flag: the flag that named it, for the error messages.
    Raises:
        ValueError: the weights do not fit the model that the checkpoint describes.
    """
    cfg, tensors = state["cfg"].model, state["model"]
    model = build(cfg, dummy_task(tensors, flag), heads_in(tensors), flag)
    if is_masked(tensors):
        make_maskable(model)
    load_weights(model, tensors, cfg, flag)
    return model


def pruning_state(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the pruner's state in a checkpoint, or None."""
    extra: dict[str, Any] = state.get("extra_state") or {}
    for name, value in extra.items():
        if name.startswith("Prunable") and isinstance(value, dict) and "kept" in value:
            return value
    return None


def model_flags(cfg: Any) -> str:
    """Return the flags with which fairseq-train builds the model of a section, `--arch` first."""
    name = stock_architecture(str(value_of(cfg, "_name") or value_of(cfg, "arch")))
    parser, defaults = ArgumentParser(add_help=False), _defaults(name)
    models.ARCH_MODEL_REGISTRY[name].add_args(parser)
    values = to_primitive(cfg, "cfg.model")
    flags = [f"--arch {name}"]
    for action in parser._actions:
        value, default = values.get(action.dest), getattr(defaults, action.dest, action.default)
        if value is None or value == default or not action.option_strings:
            continue
        flags.append(action.option_strings[0] + ("" if action.nargs == 0 else f" {value}"))
    limit = values.get("max_target_positions")
    if limit is not None and not any(f.startswith("--max-target-positions") for f in flags):
        flags.append(f"--max-target-positions {limit}")  # a language model takes the task's
    return " ".join(dict.fromkeys(flags))


def _defaults(name: str) -> Any:
    """Return the default values of an architecture."""
    if name in models.MODEL_DATACLASS_REGISTRY:
        return models.MODEL_DATACLASS_REGISTRY[name]()
    defaults = Namespace()
    models.ARCH_CONFIG_REGISTRY[name](defaults)
    return defaults
