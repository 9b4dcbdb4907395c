"""Refuse launches that train nothing, or something else, and exit with success."""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import torch
from fairseq.distributed import utils as distributed_utils

from .compat.patching import patch


@patch(distributed_utils, "call_main", issues=(4696,))
def check_launch(original: Callable[..., None], cfg: Any, main: Any, **kwargs: Any) -> None:
    """Refuse a launch of fairseq-train that would not train what was asked for.

    `--distributed-world-size 2` without a GPU spawns no process; torchrun without
    `--distributed-world-size` trains independent models into one folder; `--bf16` of the argparse
    commands means TPU. `fairseq-hydra-train` launches before it imports a plug-in: there the first
    of these goes unnoticed, `trainer_hooks.check_before_training` catches the others.
    """
    if main.__module__ in ("fairseq_cli.train", "__main__"):
        check_launch_config(cfg)
    original(cfg, main, **kwargs)


def check_launch_config(cfg: Any) -> None:
    """Raise ValueError for a launch that `check_launch` refuses."""
    problem = _launch_problem(cfg)
    if problem:
        raise ValueError(problem)


def _launch_problem(cfg: Any) -> str | None:
    launch = cfg.distributed_training
    world_size = launch.distributed_world_size
    launched = int(os.environ.get("WORLD_SIZE") or 1)
    on_gpu = torch.cuda.is_available() and not cfg.common.cpu
    if launched > 1 and world_size == 1:
        return (
            f"WORLD_SIZE={launched} in the environment but --distributed-world-size 1: every "
            "process would train a model of its own. Add --distributed-world-size, "
            "--distributed-rank $RANK, --distributed-no-spawn, --distributed-init-method env://"
        )
    if world_size > 1 and not (on_gpu or cfg.common.tpu or launch.distributed_no_spawn):
        return (
            f"--distributed-world-size {world_size} without a GPU trains nothing: give "
            "--distributed-world-size 1, or start one process per rank yourself, with "
            "--distributed-no-spawn, --distributed-rank and --distributed-init-method"
        )
    if cfg.common.tpu and cfg.common.bf16 and not _has_tpu():
        return (
            "--bf16: this command means bfloat16 on a TPU, and there is none; use "
            "fairseq-hydra-train common.bf16=true"
        )
    return None


def _has_tpu() -> bool:
    return importlib.util.find_spec("torch_xla") is not None
