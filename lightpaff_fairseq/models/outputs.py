"""Run a fairseq model and return its prediction at N positions as a `ModelOutput`.

That is a `LinearOutput` (hidden states and output layer) if the output layer can be applied outside
the model's forward, else a `LogitsOutput`. Shape letters: B batch, T target length, N selected
positions.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from fairseq.models import FairseqDecoder, FairseqLanguageModel
from fairseq.models.roberta.model import RobertaEncoder, RobertaLMHead
from fairseq.models.transformer import TransformerDecoderBase
from torch import Tensor, nn

from ..losses.label_positions import LabelPositions
from ..losses.model_output import LinearOutput, LogitsOutput, ModelOutput


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the fairseq model inside data-parallel wrappers."""
    while isinstance(inner := getattr(model, "module", None), nn.Module):
        model = inner
    return model


def decoder_output(
    model: nn.Module, net_input: dict[str, Any], positions: LabelPositions
) -> ModelOutput:
    """Run an encoder-decoder or a decoder-only model; return its prediction at some positions.

    Args:
        model: a fairseq model, possibly wrapped for data-parallel training; it is called once,
            through its wrapper.
        net_input: keyword arguments of the model.
        positions: N of `(B, T)`.
    Returns:
        a `LinearOutput` if `separable_head` returns a layer, else a `LogitsOutput`.
    """
    head = separable_head(model)
    if head is not None:
        features = model(**net_input, features_only=True)[0]
        return _linear(positions.take(features), head.weight, head.bias)
    net_output = model(**net_input)
    if has_raw_logits(model):
        return LogitsOutput(positions.take(net_output[0]))
    normalize: Any = unwrapped(model).get_normalized_probs
    return LogitsOutput(positions.take(normalize(net_output, log_probs=True)))


def has_raw_logits(model: nn.Module) -> bool:
    """Return true if a model outputs logits, not values that only the model can normalize."""
    inner = unwrapped(model)
    decoder: Any = getattr(inner, "decoder", None)
    if decoder is None:  # encoders with a masked-LM head, and classifiers
        return True
    stock = type(decoder).get_normalized_probs is FairseqDecoder.get_normalized_probs
    return stock and getattr(decoder, "adaptive_softmax", None) is None


def is_separable(model: nn.Module) -> bool:
    """Return true if a model's output is a `LinearOutput`."""
    inner = unwrapped(model)
    if hasattr(inner, "decoder"):
        return separable_head(model) is not None
    return _lm_head(model) is not None


def _linear(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> LinearOutput:
    """Return the output in the dtype that autocast (`--amp`) uses for the output layer."""
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    return LinearOutput(hidden, weight, bias)


def encoder_output(
    model: nn.Module, net_input: dict[str, Any], positions: LabelPositions
) -> ModelOutput:
    """Run an encoder with a masked-LM head; predict at some positions, and only there.

    Args: see `decoder_output`.
    Returns:
        a `LinearOutput` after dense layer, activation and LayerNorm of RoBERTa's head; for other
        heads a `LogitsOutput`.
    """
    head = _lm_head(model)
    if head is None:
        return LogitsOutput(model(**net_input, masked_tokens=positions.mask)[0])
    features = model(**net_input, features_only=True)[0]
    hidden = head.layer_norm(head.activation_fn(head.dense(positions.take(features))))
    return _linear(hidden, head.weight, head.bias)


def _lm_head(model: nn.Module) -> Any:
    """Return RoBERTa's masked-LM head if it can be applied outside the forward, else None."""
    encoder: Any = getattr(unwrapped(model), "encoder", None)
    head = getattr(encoder, "lm_head", None)
    if type(head) is not RobertaLMHead or _is_sharded(model) or _finds_unused_parameters(model):
        return None
    stock = type(encoder).output_layer is RobertaEncoder.output_layer
    return head if stock else None


@contextmanager
def record_output(model: nn.Module) -> Iterator[list[Any]]:
    """Append the result of every call of `model` inside the block to the list."""
    outputs: list[Any] = []
    handle = model.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()


def separable_head(model: nn.Module) -> nn.Linear | None:
    """Return the output layer if it maps hidden states to exactly the model's logits, else None.

    It does not for adaptive softmax, decoders with a custom output layer, and FSDP-sharded models,
    nor for an untied head with `--find-unused-parameters` (DistributedDataParallel raises an error
    if such a head is used outside the wrapped forward).
    """
    inner = unwrapped(model)
    decoder = getattr(inner, "decoder", None)
    if not isinstance(decoder, TransformerDecoderBase) or _is_sharded(model):
        return None
    head = decoder.output_projection
    if type(decoder).output_layer is not TransformerDecoderBase.output_layer:
        return None
    if type(head) is not nn.Linear or not _takes_features_only(inner):
        return None
    tied = head.weight is decoder.embed_tokens.weight
    if not tied and _finds_unused_parameters(model):
        return None
    return head


def _takes_features_only(model: nn.Module) -> bool:
    callee = model.decoder if isinstance(model, FairseqLanguageModel) else model
    return "features_only" in inspect.signature(callee.forward).parameters


def _is_sharded(model: nn.Module) -> bool:
    return any(type(m).__name__ == "FullyShardedDataParallel" for m in model.modules())


def _finds_unused_parameters(model: nn.Module) -> bool:
    return any(getattr(m, "find_unused_parameters", False) for m in model.modules())
