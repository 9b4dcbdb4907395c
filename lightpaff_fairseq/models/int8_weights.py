"""Run a model with the weights that CTranslate2 serves in int8 (fake quantization).

Every matrix - of linear layers, embeddings and output layers - is rounded as CTranslate2's
converters round it; biases, LayerNorms and positions stay float, as there. Outside of the block the
model is the float model: nothing that optimizes, averages or saves it knows of the rounding.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from fairseq.modules import LearnedPositionalEmbedding
from torch import Tensor, nn

from ..losses.dense import at_least_float32
from ..problems import Problems

LARGEST = 127  # of int8, which is symmetric: -128 is not used
SMALLEST_ROW = 1e-36  # below, and in rows of zeros, the scale would overflow float32
logger = logging.getLogger(__name__)


class Matrix(NamedTuple):
    """A place of a matrix in a model; a tied matrix has several."""

    module: nn.Module
    name: str
    weight: Tensor


def rounded_to_int8(weight: Tensor) -> Tensor:
    """Return what int8 keeps of a matrix `(rows, columns)`, in its dtype.

    A row becomes whole numbers from -127 to 127 times one scale, its largest absolute value / 127.
    Source: CTranslate2 4.8, `ctranslate2/specs/model_spec.py`.
    """
    values = at_least_float32(weight.detach())
    largest = values.abs().amax(1, keepdim=True).clamp_min(SMALLEST_ROW)
    scale = largest.new_full((), LARGEST) / largest  # `LARGEST / largest` is less exact
    return (values * scale).round_().div_(scale).to(weight.dtype)


class _StraightThrough(torch.autograd.Function):
    """Round in forward, and pass the gradient unchanged."""

    @staticmethod
    def forward(_ctx: Any, weight: Tensor) -> Tensor:
        return rounded_to_int8(weight)

    @staticmethod
    def backward(_ctx: Any, grad: Tensor) -> Tensor:
        return grad


@contextmanager
def int8_weights(model: nn.Module) -> Iterator[None]:
    """Replace every matrix of a model by its rounded values, inside a `with` block.

    Gradients, also of a backward pass after the block, reach the float parameters unchanged: they
    are those of the float model at the rounded values (straight-through estimator). Tied
    matrices stay tied. The parameters themselves are never written.
    """
    matrices = list(matrices_of(model))
    rounded: dict[int, Any] = {}
    for _, _, weight in matrices:
        if id(weight) not in rounded:
            rounded[id(weight)] = _StraightThrough.apply(weight)  # type: ignore[no-untyped-call]
    try:
        for module, name, weight in matrices:
            module._parameters[name] = rounded[id(weight)]
        yield
    finally:
        for module, name, weight in matrices:
            module._parameters[name] = weight  # type: ignore[assignment]


def matrices_of(model: nn.Module) -> Iterator[Matrix]:
    """Yield every place of a matrix that CTranslate2 rounds."""
    for module in model.modules():
        if isinstance(module, LearnedPositionalEmbedding):
            continue
        for name, weight in module.named_parameters(recurse=False):
            if weight.dim() == 2:
                yield Matrix(module, name, weight)


def check_int8_training(model: nn.Module, flag: str) -> None:
    """Check that a model can be trained with `int8_weights`, and log what is rounded.

    Args:
        flag: the flag with its value, for messages.
    Raises:
        ValueError: lists all settings that do not fit.
    """
    kinds = [type(module) for module in model.modules()]
    problems = Problems()
    problems.unless(
        not any("forward" in vars(module) for module in model.modules()),
        f"{flag}: --checkpoint-activations would compute layers again with float weights; leave "
        "one of them out",
    )
    problems.unless(
        all(kind.__name__ != "FullyShardedDataParallel" for kind in kinds),
        f"{flag}: --ddp-backend fully_sharded has no whole matrices; use legacy_ddp",
    )
    problems.unless(
        not any(kind.__module__.startswith("fairseq.modules.quantization") for kind in kinds),
        f"{flag}: --quant-noise-scalar quantizes the model too; leave one of them out",
    )
    problems.raise_if_any()
    weights = {id(weight): weight.numel() for _, _, weight in matrices_of(model)}
    rounded, total = sum(weights.values()), sum(x.numel() for x in model.parameters())
    logger.info(
        f"{flag}: {len(weights)} matrices, {rounded:,} parameters, are rounded to int8; the other "
        f"{total - rounded:,} (biases, LayerNorms, positions) stay float"
    )
