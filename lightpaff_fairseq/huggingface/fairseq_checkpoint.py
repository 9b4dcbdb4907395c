"""A fairseq checkpoint of given weights and flags, as fairseq-train would have written it."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from omegaconf import OmegaConf
from torch import Tensor

from ..checkpoints.building import build, heads_in, writable
from ..checkpoints.strip import stripped_state
from ..checkpoints.writing import verify_loads, write_checkpoint

CRITERIONS = {"masked_lm": "masked_lm", "sentence_prediction": "sentence_prediction"}


def parse(data: str, task: str, flags: Sequence[str]) -> Any:
    """The configuration of `fairseq-train DATA --task TASK FLAGS`.

    Raises:
        ValueError: a value that fairseq's parser refuses.
    """
    parser = options.get_training_parser()

    def refuse(message: str) -> NoReturn:
        raise ValueError(f"fairseq cannot hold this model: {message}")

    parser.error = refuse
    criterion = CRITERIONS.get(task, "cross_entropy")
    words = [data, "--task", task, "--criterion", criterion, "--optimizer", "adam", *flags]
    args = options.parse_args_and_arch(parser, words)
    with warnings.catch_warnings():  # hydra's, about fairseq's use of it
        warnings.simplefilter("ignore", UserWarning)
        return convert_namespace_to_omegaconf(args)


def set_up(cfg: Any, folder: Path) -> Any:
    """The task of a configuration, with the dictionaries in `folder`."""
    section = OmegaConf.create(cfg.task) if isinstance(cfg.task, dict) else cfg.task
    before = section.data
    with writable(section):
        section.data = str(folder)
    try:
        return tasks.setup_task(section)
    finally:
        with writable(section):
            section.data = before


def complete(cfg: Any, task: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Adds what a fairseq model has besides, and compares names and shapes with the model.

    Raises:
        ValueError: tensors that lack, that are left over or of another shape: all at once.
    """
    model = build(cfg.model, task, heads_in(tensors), "fairseq")
    own = model.state_dict()
    found = dict(tensors)
    for name, value in own.items():
        if name.endswith(".version"):
            found.setdefault(name, value)
    problems = {
        "missing": sorted(own.keys() - found.keys()),
        "left over": sorted(found.keys() - own.keys()),
        "of another shape": [
            f"{n} {tuple(found[n].shape)} instead of {tuple(own[n].shape)}"
            for n in sorted(own.keys() & found.keys())
            if own[n].shape != found[n].shape
        ],
    }
    lines = [f"{what}: {', '.join(names)}" for what, names in problems.items() if names]
    if lines:
        raise ValueError(f"the weights do not fit fairseq's model; {'; '.join(lines)}")
    return found


def write(cfg: Any, task: Any, tensors: dict[str, Tensor], path: Path) -> None:
    """Writes the checkpoint and reads it back into the model that it describes."""
    if heads_in(tensors):
        with writable(cfg.model):
            cfg.model.load_checkpoint_heads = True
    state = stripped_state(
        {"cfg": cfg, "model": tensors, "optimizer_history": [{"optimizer_name": "adam"}]}
    )
    write_checkpoint(state, path, lambda found: verify_loads(state, task, found))


def load(path: Path) -> tuple[Any, dict[str, Tensor]]:
    """(configuration, weights) of a checkpoint that `write` wrote."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    return OmegaConf.create(state["cfg"]), state["model"]
