"""Build the model of a checkpoint's configuration, and load its weights."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import fairseq.models as models
from fairseq.data import Dictionary
from omegaconf import OmegaConf, open_dict
from torch import Tensor

from .state_dict import loading_problem

Heads = dict[str, tuple[int, int]]  # (classes, inner width) of classification heads by name
_TABLES = (
    "encoder.embed_tokens.weight",
    "encoder.sentence_encoder.embed_tokens.weight",
    "decoder.sentence_encoder.embed_tokens.weight",  # RoBERTa, as it was released
    "decoder.embed_tokens.weight",
)


def value_of(cfg: Any, name: str) -> Any:
    """Return a value of a section of fairseq's configuration, or None if it is missing."""
    return getattr(cfg, name, None)


def apply_arch_defaults(model_cfg: Any) -> None:
    """Give a model section the defaults of its architecture, as building the model does."""
    name = value_of(model_cfg, "_name") or value_of(model_cfg, "arch")
    if name in models.ARCH_CONFIG_REGISTRY and name not in models.MODEL_DATACLASS_REGISTRY:
        with writable(model_cfg):
            models.ARCH_CONFIG_REGISTRY[name](model_cfg)


def writable(cfg: Any) -> AbstractContextManager[Any]:
    """Return a context in which a section of a configuration takes new keys."""
    context: AbstractContextManager[Any] = (
        open_dict(cfg) if OmegaConf.is_config(cfg) else nullcontext()
    )
    return context


def build(cfg: Any, task: Any, heads: Heads, what: str) -> Any:
    """Build the model of a model section, with classification heads."""
    try:
        model = models.build_model(cfg, task)
    except Exception as error:  # models raise exceptions of many types
        name = value_of(cfg, "_name") or value_of(cfg, "arch")
        raise ValueError(f"{what}: fairseq cannot build its model {name!r}: {error!r}") from error
    for name, (classes, inner) in heads.items():
        model.register_classification_head(name, num_classes=classes, inner_dim=inner)
    return model.eval()


def load_weights(model: Any, tensors: dict[str, Tensor], cfg: Any, what: str) -> None:
    """Load a state dict of any version into a model.

    Raises:
        ValueError: it does not fit the model of `cfg`, a model section.
    """
    try:
        model.load_state_dict(tensors, strict=True, model_cfg=cfg)
    except RuntimeError as error:
        reason = loading_problem(error)
        raise ValueError(
            f"{what}: the weights do not fit the model configuration of the checkpoint: {reason}"
        ) from error


def heads_in(tensors: Mapping[str, Tensor]) -> Heads:
    """Return the classification heads of a state dict."""
    ends, start = (".out_proj.weight", ".dense.weight"), "classification_heads."
    names = [n[len(start) : -len(ends[0])] for n in tensors if n.startswith(start) and ends[0] in n]
    return {
        n: (len(tensors[start + n + ends[0]]), len(tensors[start + n + ends[1]])) for n in names
    }


def dummy_task(tensors: Mapping[str, Tensor], what: str) -> Any:
    """Return a task for building a transformer: dummy dictionaries of the embeddings' sizes.

    Args:
        what: the model, for the error message.
    Raises:
        ValueError: it has no embeddings.
    """
    rows = [len(tensors[name]) for name in _TABLES if name in tensors]
    if not rows:
        raise ValueError(f"{what}: expected a transformer with tables of embeddings, got none")
    source = _dictionary(rows[0])
    target = source if rows[-1] == rows[0] else _dictionary(rows[-1])
    return SimpleNamespace(source_dictionary=source, target_dictionary=target, dictionary=source)


def _dictionary(size: int) -> Dictionary:
    symbols = Dictionary()
    for i in range(size - len(symbols)):
        symbols.add_symbol(f"symbol{i}")
    return symbols
