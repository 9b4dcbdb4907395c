"""Models that a checkpoint's configuration describes: built, with their classification heads."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import fairseq.models as models
from fairseq.data import Dictionary
from omegaconf import OmegaConf, open_dict
from torch import Tensor

_TABLES = (
    "encoder.embed_tokens.weight",
    "encoder.sentence_encoder.embed_tokens.weight",
    "decoder.sentence_encoder.embed_tokens.weight",  # RoBERTa, as it was released
    "decoder.embed_tokens.weight",
)


def value_of(cfg: Any, name: str) -> Any:
    """A value of a section of fairseq's configuration, whichever kind; None where it has none."""
    return getattr(cfg, name, None)


def apply_arch_defaults(model_cfg: Any) -> None:
    """Gives a model section the defaults of its architecture, as building the model does."""
    name = value_of(model_cfg, "_name") or value_of(model_cfg, "arch")
    if name in models.ARCH_CONFIG_REGISTRY and name not in models.MODEL_DATACLASS_REGISTRY:
        with writable(model_cfg):
            models.ARCH_CONFIG_REGISTRY[name](model_cfg)


def writable(cfg: Any) -> AbstractContextManager[Any]:
    """Inside, a section of a configuration takes new keys."""
    context: AbstractContextManager[Any] = (
        open_dict(cfg) if OmegaConf.is_config(cfg) else nullcontext()
    )
    return context


def build(cfg: Any, task: Any, heads: Mapping[str, tuple[int, int]], what: str) -> Any:
    """The model of a model section, with classification heads of (classes, inner width)."""
    try:
        model = models.build_model(cfg, task)
    except Exception as error:  # whatever a model of any kind raises
        name = value_of(cfg, "_name") or value_of(cfg, "arch")
        raise ValueError(f"{what}: fairseq cannot build its model {name!r}: {error!r}") from error
    for name, (classes, inner) in heads.items():
        model.register_classification_head(name, num_classes=classes, inner_dim=inner)
    return model.eval()


def heads_in(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
    """(classes, inner width) of each classification head of a state dict, by its name."""
    ends, start = (".out_proj.weight", ".dense.weight"), "classification_heads."
    names = [n[len(start) : -len(ends[0])] for n in tensors if n.startswith(start) and ends[0] in n]
    return {
        n: (len(tensors[start + n + ends[0]]), len(tensors[start + n + ends[1]])) for n in names
    }


def dummy_task(tensors: Mapping[str, Tensor], what: str) -> Any:
    """What fairseq's transformers ask a task for when they are built: dictionaries, here with
    symbols without a meaning, as many as the embeddings have rows.

    Args:
        what: the model, for the error message.
    Raises:
        ValueError: it has no embeddings.
    """
    rows = [len(tensors[name]) for name in _TABLES if name in tensors]
    if not rows:
        raise ValueError(f"{what}: expected a transformer with tables of embeddings, found none")
    source = _dictionary(rows[0])
    target = source if rows[-1] == rows[0] else _dictionary(rows[-1])
    return SimpleNamespace(source_dictionary=source, target_dictionary=target, dictionary=source)


def _dictionary(size: int) -> Dictionary:
    symbols = Dictionary()
    for i in range(size - len(symbols)):
        symbols.add_symbol(f"symbol{i}")
    return symbols
