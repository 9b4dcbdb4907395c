"""Models of checkpoints, built without the data that they were trained on."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from fairseq.data import Dictionary
from torch import Tensor

from ..convert.building import build, heads_in
from ..convert.strip import plain
from .layer_norm import is_masked
from .pruner import make_model_maskable

_TABLES = (
    "encoder.embed_tokens.weight",
    "encoder.sentence_encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
)


def stand_in_task(tensors: Mapping[str, Tensor]) -> Any:
    """What fairseq's transformers ask a task for when they are built: dictionaries, here with
    symbols without a meaning, as many as the embeddings have rows."""
    rows = [len(tensors[name]) for name in _TABLES if name in tensors]
    if not rows:
        raise ValueError("expected a transformer with tables of embeddings, found none")
    source = _dictionary(rows[0])
    target = source if rows[-1] == rows[0] else _dictionary(rows[-1])
    return SimpleNamespace(source_dictionary=source, target_dictionary=target, dictionary=source)


def _dictionary(size: int) -> Dictionary:
    symbols = Dictionary()
    for i in range(size - len(symbols)):
        symbols.add_symbol(f"symbol{i}")
    return symbols


def load_model(state: dict[str, Any], flag: str) -> Any:
    """The model of a checkpoint, masked or not, in eval mode, with its classification heads.

    Args:
        state: see `read_checkpoint`; its model section is complete.
        flag: the flag that named it, for the error messages.
    Raises:
        ValueError: the weights do not fit the model that the checkpoint describes.
    """
    cfg, tensors = state["cfg"].model, state["model"]
    model = build(cfg, stand_in_task(tensors), heads_in(tensors), flag)
    if is_masked(tensors):
        make_model_maskable(model)
    try:
        model.load_state_dict(tensors, strict=True, model_cfg=cfg)
    except RuntimeError as error:
        raise ValueError(
            f"{flag}: the weights do not fit the model that the checkpoint describes: {error}"
        ) from error
    return model


def pruning_state(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the pruner stored in a checkpoint; None where there was none."""
    extra: dict[str, Any] = state.get("extra_state") or {}
    for name, value in extra.items():
        if name.startswith("Prunable") and isinstance(value, dict) and "kept" in value:
            return value
    return None


def described(cfg: Any) -> str:
    """The values of a model section that fairseq-train takes to build a model of these sizes."""
    names = [
        f"{side}_{key}"
        for side in ("encoder", "decoder")
        for key in ("layers", "embed_dim", "attention_heads", "ffn_embed_dim")
    ]
    values = plain(cfg, "cfg.model")
    names += [n for n in ("decoder_input_dim", "decoder_output_dim") if "decoder_layers" in values]
    flags = [f"--{n.replace('_', '-')} {values[n]}" for n in names if values.get(n) is not None]
    flags += [
        f"--{side}-learned-pos"
        for side in ("encoder", "decoder")
        if values.get(f"{side}_learned_pos")
    ]
    return " ".join(flags)
