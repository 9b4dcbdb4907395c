"""One-shot importance of weights: by magnitude, or by effect on the loss."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from fairseq import utils
from fairseq.tasks import FairseqTask
from omegaconf import OmegaConf
from torch import Tensor, nn

from ..checkpoints.strip import stock_config, to_primitive
from ..problems import as_value_error

MEASURES = ("magnitude", "importance", "first")


@dataclass(frozen=True)
class Sample:
    """The batches for computing importance: `batches` of `max_tokens` tokens from `split`."""

    batches: int = 16
    max_tokens: int = 2048
    split: str = "train"


def magnitudes(model: nn.Module) -> dict[str, Tensor]:
    """Return |weight| by parameter name; a tied parameter appears once."""
    return {name: p.detach().abs() for name, p in model.named_parameters()}


def zeros(model: nn.Module) -> dict[str, Tensor]:
    """Return zeros by parameter name: where all scores are equal, the first units are kept."""
    return {name: torch.zeros_like(p) for name, p in model.named_parameters()}


def importances(model: Any, task: FairseqTask, cfg: Any, sample: Sample) -> dict[str, Tensor]:
    """Return |weight * gradient of the loss|, summed over batches: its first-order effect.

    The loss is the model's own training criterion (without distillation) in nats per target,
    without dropout. The batches are drawn with a fixed seed.

    Args:
        model: of `task`, all parameters of which take gradients; they are cleared afterwards.
        cfg: the configuration of the checkpoint, for its criterion.
    Returns:
        float32 tensors by parameter name; a tied parameter appears once.
    Raises:
        ValueError: the data is not there or too little, or the loss is not finite.
    Source: the sensitivity of HomoDistil (arXiv 2302.09632) without its moving average.
    """
    section = OmegaConf.create(stock_config(to_primitive(cfg, "cfg")))["criterion"]
    criterion = task.build_criterion(section)
    scores = zeros(model)
    model.eval()
    criterion.eval()
    batches = 0
    for batch in islice(_batches(task, model, sample), sample.batches):
        model.zero_grad(set_to_none=True)
        loss, sample_size, _ = criterion(model, batch)
        if not torch.isfinite(loss):
            raise ValueError(
                f"--layers, --width-by importance: the teacher's loss is {loss.item()}"
            )
        (loss / sample_size).backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                scores[name] += (parameter.detach() * parameter.grad).abs()
        batches += 1
    model.zero_grad(set_to_none=True)
    if batches < sample.batches:
        raise ValueError(
            f"--importance-batches: expected {sample.batches} batches of up to {sample.max_tokens} "
            f"tokens in split {sample.split}, got {batches}; use fewer or smaller ones"
        )
    return scores


def _batches(task: FairseqTask, model: Any, sample: Sample) -> Any:
    try:
        task.load_dataset(sample.split)
    except OSError as error:
        raise ValueError(
            f"--layers, --width-by importance: split {sample.split} cannot be read (--data): "
            f"{error}"
        ) from error
    with as_value_error(f"--importance-max-tokens {sample.max_tokens}", AssertionError):
        batches = task.get_batch_iterator(
            dataset=task.dataset(sample.split),
            max_tokens=sample.max_tokens,
            max_positions=utils.resolve_max_positions(task.max_positions(), model.max_positions()),
            ignore_invalid_inputs=True,
            required_batch_size_multiple=1,
            seed=1,
        )
        return batches.next_epoch_itr(shuffle=True)
