"""How much each weight of a model matters: by its size, or by its effect on the loss."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from fairseq import utils
from fairseq.tasks import FairseqTask
from omegaconf import OmegaConf
from torch import Tensor, nn

from ..checkpoints.strip import stock_config, to_primitive

MEASURES = ("magnitude", "importance", "first")


@dataclass(frozen=True)
class Sample:
    """The batches on which importance is measured: `batches` of `max_tokens` from `split`."""

    batches: int = 16
    max_tokens: int = 2048
    split: str = "train"


def magnitudes(model: nn.Module) -> dict[str, Tensor]:
    """|weight|, by parameter name; a tied parameter appears once."""
    return {name: p.detach().abs() for name, p in model.named_parameters()}


def nothing(model: nn.Module) -> dict[str, Tensor]:
    """Zeros: where all scores are equal, the first dimensions are kept."""
    return {name: torch.zeros_like(p) for name, p in model.named_parameters()}


def importances(model: Any, task: FairseqTask, cfg: Any, sample: Sample) -> dict[str, Tensor]:
    """|weight * gradient of the loss|, summed over batches: the first-order effect of its loss.

    The loss is the model's own training criterion (without distillation) in nats a target, without
    dropout. The batches are drawn with a fixed seed.

    Args:
        model: of `task`, all parameters of which take gradients; they are cleared afterwards.
        cfg: the configuration of the checkpoint, for its criterion.
        sample: which batches.
    Returns:
        float32 tensors by parameter name; a tied parameter appears once.
    Raises:
        ValueError: the data is not there or too little, or the loss is not finite.
    Source: the sensitivity of HomoDistil (arXiv 2302.09632) without its moving average.
    """
    criterion = task.build_criterion(
        OmegaConf.create(stock_config(to_primitive(cfg, "cfg")))["criterion"]
    )
    scores = nothing(model)
    model.eval()
    criterion.eval()
    batches = 0
    for batch in islice(_batches(task, model, sample), sample.batches):
        model.zero_grad(set_to_none=True)
        loss, sample_size, _ = criterion(model, batch)
        if not torch.isfinite(loss):
            raise ValueError(f"--width-by importance: the teacher's loss is {loss.item()}")
        (loss / sample_size).backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                scores[name] += (parameter.detach() * parameter.grad).abs()
        batches += 1
    model.zero_grad(set_to_none=True)
    if batches < sample.batches:
        raise ValueError(
            f"--importance-batches: expected {sample.batches} batches of up to {sample.max_tokens} "
            f"tokens in split {sample.split}, found {batches}; ask for fewer or smaller ones"
        )
    return scores


def _batches(task: FairseqTask, model: Any, sample: Sample) -> Any:
    try:
        task.load_dataset(sample.split)
    except (FileNotFoundError, OSError) as error:
        raise ValueError(
            f"--width-by importance: split {sample.split} cannot be read (--data): {error}"
        ) from error
    batches = task.get_batch_iterator(
        dataset=task.dataset(sample.split),
        max_tokens=sample.max_tokens,
        max_positions=utils.resolve_max_positions(task.max_positions(), model.max_positions()),
        ignore_invalid_inputs=True,
        required_batch_size_multiple=1,
        seed=1,
    )
    return batches.next_epoch_itr(shuffle=True)
